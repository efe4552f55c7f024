"""Moves that make and change blocks: shortcuts, bottlenecks, auxiliary heads."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from classicnets.designs.expand import follower_name
from classicnets.designs.kinds import Shape
from classicnets.designs.tree import ASIDE, CLASSES, RESIDUAL, SEQUENCE, Block, Item, Layer

from .layers import POOLS, changed, hidden, layer, renamed
from .move import Change, Place


def sequence(items: Sequence[Item]) -> Block:
    """These items one after another."""
    return Block(SEQUENCE, tuple((item,) for item in items))


# --- shortcuts


def shortcut(place: Place, count: int) -> Change | None:
    """A shortcut around `count` convolutions that end with a ReLU."""
    stop = place.at
    for _ in range(count):
        conv = place.layer("conv", at=stop)
        if not conv or not hidden(conv):
            return None
        stop = place.after(stop)
    if place.first or place.block != SEQUENCE or not place.layer("relu", at=stop - 1):
        return None
    around = _around(place.shapes[place.at], place.shapes[stop])
    if around is None:
        return None
    lines = sequence(place.items[place.at : stop - 1]).lines
    name = place.name(follower_name("block", place.item.name))
    return Change(place.at, stop, [Item(Block(RESIDUAL, lines, around), name)])


shortcut_2, shortcut_3 = partial(shortcut, count=2), partial(shortcut, count=3)


def _around(read: Shape, given: Shape) -> tuple[Item, ...] | None:
    """The parameter-free shortcut: nothing, or zero maps for those that are added."""
    if read == given:
        return ()
    if len(read) != 3 or len(given) != 3 or given[0] <= read[0]:
        return None
    stride = tuple(round(a / b) for a, b in zip(read[1:], given[1:], strict=True))
    return (Item(_zero_maps(given[0] - read[0], stride), "shortcut"),)


def _zero_maps(maps: int, stride: tuple[int, ...]) -> Layer:
    return layer("zero maps", maps=maps, stride=stride)


def projection(place: Place) -> Change | None:
    """A 1x1 projection in place of zero maps."""
    block = _residual(place)
    pad = block.shortcut[0].what if block and block.shortcut else None
    if not block or not isinstance(pad, Layer) or pad.kind != "zero maps":
        return None
    maps = place.shapes[place.at][0] + pad.given["maps"]
    normed = any(isinstance(i.what, Layer) and i.what.kind == "batch norm" for (i,) in block.lines)
    values = {"maps": maps, "window": (1, 1), "stride": pad.given["stride"]}
    conv = layer("conv", **values, bias=not normed)
    items = [Item(conv, "conv"), Item(layer("batch norm"), "bn")]
    way = Item(sequence(items) if normed else conv, "shortcut")
    return _with(place, replace(block, shortcut=(way,)))


def zero_maps(place: Place) -> Change | None:
    """Zero maps in place of a projection."""
    block = _residual(place)
    way = block.shortcut[0].what if block and block.shortcut else None
    if isinstance(way, Block) and way.kind == SEQUENCE:
        way = way.lines[0][0].what
    if not block or not isinstance(way, Layer) or way.kind != "conv":
        return None
    added = way.given["maps"] - place.shapes[place.at][0]
    if added < 1 or way.given["window"] != (1, 1):
        return None
    pad = Item(_zero_maps(added, way.given["stride"]), "shortcut")
    return _with(place, replace(block, shortcut=(pad,)))


def _residual(place: Place) -> Block | None:
    what = place.item.what
    return what if isinstance(what, Block) and what.kind == RESIDUAL else None


def _with(place: Place, block: Block) -> Change:
    return Change(place.at, place.at + 1, [replace(place.item, what=block)])


def bottleneck(place: Place) -> Change | None:
    """1x1, 3x3, 1x1 in place of two layers of 3x3."""
    block = _residual(place)
    if not block:
        return None
    items = [item for (item,) in block.lines]
    at = [i for i, item in enumerate(items) if isinstance(item.what, Layer) and _is_3x3(item.what)]
    kinds = [item.what for item in items]
    follow = all(isinstance(k, Layer) and (k.of.follows or i in at) for i, k in enumerate(kinds))
    if len(at) != 2 or at[0] != 0 or not follow:
        return None
    first, second = items[0], items[at[1]]
    assert isinstance(first.what, Layer)
    assert isinstance(second.what, Layer)
    maps = second.what.given["maps"]
    narrow = {"maps": max(1, maps // 4), "groups": 1}
    one = changed(first.what, **narrow, window=(1, 1), pad=(0, 0))
    wide = changed(second.what, window=(1, 1), pad=(0, 0), groups=1)
    name = _third(first.name, second.name, [item.name for item in items])
    between, after = items[1 : at[1]], items[at[1] + 1 :]
    body = [
        replace(first, what=one),
        *between,
        replace(second, what=changed(second.what, **narrow)),
        *renamed(between, second.name),
        Item(wide, name),
        *renamed(after, name),
    ]
    return _with(place, replace(block, lines=sequence(body).lines))


def _is_3x3(conv: Layer) -> bool:
    return conv.kind == "conv" and conv.given["window"] == (3, 3) and conv.given["pad"] == (1, 1)


def _third(first: str, second: str, taken: Sequence[str]) -> str:
    """The name of the third layer: conv3 after conv1 and conv2."""
    stem = second.rstrip("0123456789")
    number = second.removeprefix(stem)
    name = f"{stem}{int(number) + 1}" if number else f"{second}_3"
    while name in taken:
        name += "_3"
    return name


# --- auxiliary heads


def auxiliary(place: Place) -> Change | None:
    """An auxiliary head behind a pool or block, of maps of at least 5x5."""
    shape, what = place.shapes[place.at + 1], place.item.what
    asides = [i for i in place.items if isinstance(i.what, Block) and i.what.kind == ASIDE]
    pooled = isinstance(what, Block) or place.layer(*POOLS)
    if not place.whole or asides or not pooled or len(shape) != 3 or min(shape[1:]) < 5:
        return None
    if place.at + 1 == len(place.items):
        return None
    head = Item(_head(shape[0]), place.name(follower_name("aux", place.item.name)))
    return Change(place.at + 1, place.at + 1, [head])


def _head(maps: int) -> Block:
    """GoogLeNet's head: 128 maps and 1024 neurons for 512 maps, in proportion for others."""
    items = [
        Item(layer("average pool", window=(5, 5), stride=(3, 3)), "average"),
        Item(layer("conv", maps=max(1, maps // 4), window=(1, 1)), "conv"),
        Item(layer("relu"), "relu"),
        Item(layer("fc", width=2 * maps), "fc1"),
        Item(layer("relu"), "relu1"),
        Item(layer("dropout", p=0.7), "drop1"),
        Item(layer("fc", width=CLASSES), "fc2"),
    ]
    return Block(ASIDE, sequence(items).lines)
