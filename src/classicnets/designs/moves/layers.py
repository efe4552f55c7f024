"""Moves that exchange, add or leave out single layers."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from typing import Any

from classicnets.designs.build import Shapes
from classicnets.designs.expand import follower_name
from classicnets.designs.kinds import BY_NAME, Shape
from classicnets.designs.tree import CLASSES, Item, Layer

from .move import Change, Place

POOLS = ("max pool", "average pool")
NORMS = ("response norm", "response norm caffe")


def layer(kind: str, **values: Any) -> Layer:
    """A layer with all its values, those that are not given as usual."""
    return Layer(kind, tuple((BY_NAME[kind].options | values).items()))


def changed(before: Layer, **values: Any) -> Layer:
    """A layer with other values."""
    return replace(before, values=tuple((before.given | values).items()))


def square(value: Any) -> int:
    """The side of a square window, stride or padding; 0 for another."""
    return value[0] if value[0] == value[1] else 0


def gives(what: Layer, shape: Shape) -> Shape | None:
    """What a layer gives for an input of this shape; None where it does not fit."""
    follow = Shapes((3, 1, 1))
    follow.now = shape
    try:
        return follow.after(Item(what, "layer"))
    except ValueError:
        return None


def renamed(items: Iterable[Item], anchor: str) -> list[Item]:
    """Layers that follow another one, with the names that they have after a layer of this name."""
    return [
        replace(item, name=follower_name(item.what.of.short, anchor))
        for item in items
        if isinstance(item.what, Layer)
    ]


def hidden(what: Layer) -> bool:
    """Whether a layer with weights is not the one that gives the scores."""
    return CLASSES not in what.given.values()


def _here(place: Place, *items: Item) -> Change:
    return Change(place.at, place.at + 1, items)


def _before_prototypes(place: Place) -> bool:
    return place.layer("prototypes", at=place.after()) is not None


# --- non-linearities, dropout, normalisation


def relu(place: Place) -> Change | None:
    """ReLU in place of the scaled tanh."""
    return _exchanged(place, "squash", "relu")


def squash(place: Place) -> Change | None:
    """The scaled tanh in place of ReLU."""
    return _exchanged(place, "relu", "squash")


def _exchanged(place: Place, before: str, after: str) -> Change | None:
    if not place.layer(before) or _before_prototypes(place):
        return None
    name = place.item.name
    if name.startswith(BY_NAME[before].short):
        name = place.name(BY_NAME[after].short + name.removeprefix(BY_NAME[before].short))
    return _here(place, Item(layer(after), name))


def dropout(place: Place) -> Change | None:
    """Dropout behind a hidden fully connected layer."""
    fc, stop = place.layer("fc"), place.after()
    followers = [place.layer("dropout", at=at) for at in range(place.at + 1, stop)]
    last = stop == len(place.items)
    if not fc or not hidden(fc) or any(followers) or last or _before_prototypes(place):
        return None
    name = place.name(follower_name("drop", place.item.name))
    return Change(stop, stop, [Item(layer("dropout", p=0.5), name)])


def batch_norm(place: Place) -> Change | None:
    """Batch normalisation behind a convolution, without its response normalisation."""
    conv, stop = place.layer("conv"), place.after()
    normed = any(place.layer("batch norm", at=at) for at in range(place.at + 1, stop))
    if not conv or not hidden(conv) or normed:
        return None
    name = place.name(follower_name("bn", place.item.name))
    conv = replace(place.item, what=changed(conv, bias=False))
    norm = _norm_after(place, stop)
    between = place.items[place.at + 1 : norm] if norm else ()
    done = [conv, Item(layer("batch norm"), name), *between]
    return Change(place.at, norm + 1 if norm else place.at + 1, done)


def _norm_after(place: Place, start: int) -> int:
    """The index of the response normalisation of a convolution's maps, 0 if there is none."""
    for at in range(start, len(place.items)):
        if place.layer(*NORMS, at=at):
            return at
        if not place.layer(*POOLS, at=at):
            break
    return 0


# --- pooling


def overlapping(place: Place) -> Change | None:
    """A pool of 3x3 that gives the same shape."""
    pool = place.layer(*POOLS)
    if not pool or square(pool.given["window"]) != 2 or square(pool.given["stride"]) != 2:
        return None
    read, wanted = place.shapes[place.at : place.at + 2]
    for pad, up in product(((0, 0), (1, 1)), (False, True)):
        larger = changed(pool, window=(3, 3), pad=pad, up=up)
        if gives(larger, read) == wanted:
            return _here(place, replace(place.item, what=larger))
    return None


def average(place: Place) -> Change | None:
    """An average pool of the same windows."""
    if pool := place.layer("max pool"):
        return _here(place, replace(place.item, what=layer("average pool", **pool.given)))
    if place.layer("subsample"):
        pool = layer("average pool", window=(2, 2), stride=(2, 2))
        return _here(place, replace(place.item, what=pool))
    return None


def subsampling(place: Place) -> Change | None:
    """LeNet-5's subsampling in place of a pool."""
    pool = place.layer(*POOLS)
    read, wanted = place.shapes[place.at : place.at + 2]
    if not pool or any(square(pool.given[name]) != 2 for name in ("window", "stride")):
        return None
    if gives(layer("subsample"), read) != wanted:
        return None
    name = place.name(follower_name("squash", place.item.name))
    after = () if place.layer("squash", at=place.at + 1) else (Item(layer("squash"), name),)
    return _here(place, replace(place.item, what=layer("subsample")), *after)


def strided(place: Place) -> Change | None:
    """The convolution at the pool's stride, without the pool."""
    pool = place.layer(*POOLS, "subsample")
    start = _conv_before(place)
    if not pool or start is None:
        return None
    stride = (2, 2) if pool.kind == "subsample" else pool.given["stride"]
    stop = place.after() if pool.kind == "subsample" else place.at + 1
    conv, read = place.items[start].what, place.shapes[start]
    assert isinstance(conv, Layer)
    if square(stride) < 2 or conv.given["stride"] != (1, 1):
        return None
    pads = dict.fromkeys([conv.given["pad"], *((p, p) for p in range(conv.given["window"][0]))])
    for pad in pads:
        longer = changed(conv, stride=stride, pad=pad)
        after = gives(longer, read)
        if after and after[1:] == place.shapes[place.at + 1][1:]:
            first = replace(place.items[start], what=longer)
            return Change(start, stop, [first, *place.items[start + 1 : place.at]])
    return None


def _conv_before(place: Place) -> int | None:
    """The convolution before, if only normalisation and a non-linearity lie between."""
    at = place.at - 1
    while place.layer("relu", "squash", "batch norm", *NORMS, at=at):
        at -= 1
    return at if place.layer("conv", at=at) else None


def global_average(place: Place) -> Change | None:
    """Global average pooling before the first fully connected layer."""
    start = place.at - 1 if place.layer("flatten", at=place.at - 1) else place.at
    read = place.shapes[start]
    before = [place.layer("fc", at=at) for at in range(place.at)]
    if not place.layer("fc") or any(before) or len(read) != 3 or read[1:] == (1, 1):
        return None
    pool = Item(layer("global average"), place.name("average"))
    return Change(start, place.at + 1, [pool, *place.items[start : place.at + 1]])
