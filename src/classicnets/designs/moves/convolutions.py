"""Moves that put other convolutions in the place of convolutions."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from math import lcm

from classicnets.designs.expand import follower_name
from classicnets.designs.tree import SEQUENCE, SIDE_BY_SIDE, Block, Item, Layer

from .layers import NORMS, POOLS, changed, gives, hidden, layer, renamed, square
from .move import Change, Place

WIDER = (4 / 3, 8 / 3, 2)  # from 384, 384, 256 to 512, 1024, 512
ACTIVATIONS = ("batch norm", "relu", "squash")


def smaller_first_window(place: Place) -> Change | None:
    """7x7 at half the stride; the second convolution at stride 2."""
    conv = place.layer("conv")
    second = _next_conv(place)
    if not conv or not second or not place.first:
        return None
    window, stride = (square(conv.given[name]) for name in ("window", "stride"))
    then = place.items[second].what
    assert isinstance(then, Layer)
    if window <= 7 or stride % 2 or not stride or then.given["stride"] != (1, 1):
        return None
    read, side = place.shapes[place.at], 2 * place.shapes[place.at + 1][1]
    finer = [
        changed(conv, window=(7, 7), stride=(stride // 2, stride // 2), pad=(pad, pad))
        for pad in range(4)
    ]
    sides = {abs(shape[1] - side): c for c in reversed(finer) if (shape := gives(c, read))}
    items = list(place.items[place.at : second + 1])
    items[0] = replace(items[0], what=sides[min(sides)])
    items[-1] = replace(items[-1], what=changed(then, stride=(2, 2)))
    return Change(place.at, second + 1, items)


def _next_conv(place: Place) -> int:
    """The index of the next convolution before a block; 0 if there is none."""
    for at in range(place.at + 1, len(place.items)):
        if not isinstance(place.items[at].what, Layer):
            return 0
        if place.layer("conv", at=at):
            return at
    return 0


def stacked(place: Place, count: int) -> Change | None:
    """`count` convolutions of 3x3 in place of one that reads as many pixels: 5x5 or 7x7."""
    conv = place.layer("conv")
    if not conv or square(conv.given["window"]) != 2 * count + 1 or not hidden(conv):
        return None
    name, stop = place.item.name, place.after()
    followers = place.items[place.at + 1 : stop]
    items: list[Item] = []
    for n in range(1, count + 1):
        own = place.name(f"{name}_{n}")
        one = changed(
            conv, window=(3, 3), pad=tuple(_share(p, n, count) for p in conv.given["pad"])
        )
        if n < count:
            one = changed(one, stride=(1, 1))
        chain = followers if n == count else _activation(followers)
        items += [Item(one, own), *renamed(chain, own)]
    return Change(place.at, stop, items)


two_3x3, three_3x3 = partial(stacked, count=2), partial(stacked, count=3)


def _share(pad: int, n: int, count: int) -> int:
    """The n-th of `count` parts of a padding, as equal as can be."""
    return pad // count + (n <= pad % count)


def _activation(followers: Sequence[Item]) -> list[Item]:
    """Normalisation and non-linearity as after a layer; ReLU if that has none."""
    found = [i for i in followers if isinstance(i.what, Layer) and i.what.kind in ACTIVATIONS]
    if any(isinstance(item.what, Layer) and item.what.of.non_linear for item in found):
        return found
    return [*found, Item(layer("relu"))]


def wider_middle(place: Place) -> Change | None:
    """Three convolutions with more maps."""
    run = list(_run(place))
    if len(run) != 3 or _plain(place, place.at) is None or place.first:
        return None
    if _plain(place, _before(place)):
        return None
    convs = [place.items[at].what for at in run]
    maps = [conv.given["maps"] for conv in convs if isinstance(conv, Layer)]
    groups = lcm(*(conv.given["groups"] for conv in convs if isinstance(conv, Layer)))
    items = list(place.items[place.at : run[-1] + 1])
    for at, n, factor in zip(run, maps, WIDER, strict=True):
        wider = groups * max(1, round(n * factor / groups))
        item = items[at - place.at]
        assert isinstance(item.what, Layer)
        items[at - place.at] = replace(item, what=changed(item.what, maps=wider))
    return Change(place.at, run[-1] + 1, items)


def _plain(place: Place, at: int) -> Layer | None:
    conv = place.layer("conv", at=at)
    if not conv or conv.given["window"] != (3, 3) or conv.given["stride"] != (1, 1):
        return None
    return conv if hidden(conv) else None


def _run(place: Place) -> Iterator[int]:
    """The convolutions of 3x3 one after another from here on."""
    at = place.at
    while _plain(place, at):
        yield at
        at = place.after(at)


def _before(place: Place) -> int:
    """The index of the layer that those before this one follow; -1 if there is none."""
    at = place.at - 1
    while place.layer("relu", "squash", "batch norm", "dropout", at=at):
        at -= 1
    return at


def one_by_one(place: Place) -> Change | None:
    """A 1x1 convolution before a pool."""
    conv, stop = place.layer("conv"), place.after()
    if not conv or place.first or max(conv.given["window"]) < 3:
        return None
    followers = place.items[place.at + 1 : stop]
    pooled = stop + bool(place.layer(*NORMS, at=stop))
    if not place.layer(*POOLS, at=pooled):
        return None
    name = place.name(f"{place.item.name}_1x1")
    values = {"maps": conv.given["maps"], "window": (1, 1), "bias": conv.given["bias"]}
    chain = renamed(_activation(followers), name)
    return Change(stop, stop, [Item(layer("conv", **values), name), *chain])


def reduction(place: Place) -> Change | None:
    """A 1x1 convolution to half of the maps before a larger window."""
    conv = place.layer("conv")
    if not conv or place.first or conv.given["groups"] != 1:
        return None
    read, window = place.shapes[place.at][0], conv.given["window"]
    before = place.layer("conv", at=_before(place))
    reduced = before and before.given["window"] == (1, 1)
    if reduced or min(window) < 3 or read < 8:
        return None
    if read >= window[0] * window[1] * conv.given["maps"]:  # it would cost more than it saves
        return None
    name = place.name(f"{place.item.name}_reduce")
    values = {"maps": read // 2, "window": (1, 1), "bias": conv.given["bias"]}
    followers = place.items[place.at + 1 : place.after()]
    chain = renamed(_activation(followers), name)
    return Change(place.at, place.at, [Item(layer("conv", **values), name), *chain])


# --- inception


def inception(place: Place) -> Change | None:
    """An inception module of as many maps."""
    conv = place.layer("conv")
    if not conv or place.first or place.block != SEQUENCE or not hidden(conv):
        return None
    v, stop = conv.given, place.after()
    same = v["pad"] == (square(v["window"]) // 2,) * 2 and v["stride"] == (1, 1)
    if square(v["window"]) not in (3, 5) or not same or v["groups"] != 1 or v["maps"] < 16:
        return None
    followers = place.items[place.at + 1 : stop]
    if any(isinstance(i.what, Layer) and i.what.kind not in ACTIVATIONS for i in followers):
        return None
    name = place.name(follower_name("inception", place.item.name))
    module = _module(v["maps"], v["bias"], _activation(followers))
    return Change(place.at, stop, [Item(module, name)])


def _module(maps: int, bias: bool, chain: Sequence[Item]) -> Block:
    """A module of so many maps, with the shares of inception 3a; `chain` follows each layer.

    >>> [len(line) for line in _module(256, True, []).lines]
    [1, 1, 1, 1]
    """
    quarter, eighth, sixteenth = maps // 4, maps // 8, maps // 16

    def conv(own: str, n: int, window: int) -> list[Item]:
        values = {"maps": n, "window": (window, window), "bias": bias}
        pad = (window // 2, window // 2)
        return [Item(layer("conv", **values, pad=pad), own), *renamed(chain, own)]

    branches = {
        "1x1": conv("1x1", quarter, 1),
        "3x3": conv("3x3_reduce", quarter + eighth, 1)
        + conv("3x3", maps - quarter - 2 * eighth, 3),
        "5x5": conv("5x5_reduce", sixteenth, 1) + conv("5x5", eighth, 5),
        "pool": [
            Item(layer("max pool", window=(3, 3), pad=(1, 1)), "pool"),
            *conv("pool_proj", eighth, 1),
        ],
    }
    lines = ((_branch(own, items),) for own, items in branches.items())
    return Block(SIDE_BY_SIDE, tuple(lines))


def _branch(name: str, items: Sequence[Item]) -> Item:
    return Item(Block(SEQUENCE, tuple((item,) for item in items)), name)
