"""Builds the network of a design, and follows the shapes line by line on the meta device."""

from dataclasses import replace
from functools import lru_cache
from math import gcd, prod
from typing import NoReturn

import torch
from torch import nn

from classicnets.layers.lrn import LocalResponseNorm
from classicnets.layers.wiring import Aside, Concat, Network, Residual, chain
from classicnets.support.errors import first_few, plain_reason

from .expand import expand
from .kinds import Shape
from .tree import ASIDE, CLASSES, RESIDUAL, SEQUENCE, SIDE_BY_SIDE, Block, Design, Item, Layer

EITHER = ("relu", "squash", "dropout", "flatten")  # read maps or values
CHANNELS = (1, 3, 4)  # of images
MOST = 10**10  # parameters of a network, and values that a layer reads or gives
Stages = dict[str, nn.Module]


def build(design: Design, classes: int | None = None, channels: int | None = None) -> Network:
    """The network of a design: images (n, c, h, w) -> scores (n, classes).

    `classes` replaces the number of the last layer, `channels` that of the input. The shapes that
    are written are checked where neither differs from what is written.
    Raises ValueError, with the line, where the layers do not fit together.

    >>> from .reader import read
    >>> build(read("[4x4x3] input\\n[48] flatten\\n[5] fc: 5 neurons"), classes=2).fc.out_features
    2
    """
    return expand_and_build(design, classes, channels)[1]


def expand_and_build(
    design: Design, classes: int | None = None, channels: int | None = None
) -> tuple[Block, Network]:
    """The lines of a design, expanded, and the network that they build; see `build`."""
    body, builder = _follow(design, classes, channels)
    stages, _ = builder.sequence(body, (channels or design.input[0], *design.input[1:]))
    return body, Network(stages)


def shapes(design: Design, claimed: bool = True) -> dict[int, Shape]:
    """What every line gives: the number of the line -> (c, h, w) or (values,).

    A line that is used in several places, as in a part, is left out where they differ. Raises
    ValueError where the layers do not fit together or, unless they are not `claimed`, where a shape
    that is written is another.
    """
    body, builder = _follow(design, None, None)
    builder.check = claimed
    builder.modules = False
    builder.sequence(body, design.input)
    return {
        line: next(iter(found)) for line, found in builder.seen.items() if line and len(found) == 1
    }


def output_shape(design: Design) -> Shape:
    """The shape that the network gives for one image. Raises ValueError where layers do not fit."""
    body, builder = _follow(design, None, None)
    builder.check = builder.modules = False
    return builder.sequence(body, design.input)[1]


def check(design: Design) -> None:
    """Raises ValueError where the layers of a design do not fit together; builds nothing."""
    shapes(design)


class Shapes:
    """Follows the shape through the items of a network, one after another; `now` is the last."""

    def __init__(self, images: Shape):
        self.now = images
        self.builder = _Builder(1000, False, images)
        self.builder.modules = False

    def after(self, item: Item) -> Shape:
        """The shape after an item, which a side branch does not change."""
        _, self.now = self.builder.sequence(Block(SEQUENCE, ((item,),)), self.now)
        return self.now


def _follow(design: Design, classes: int | None, channels: int | None) -> "tuple[Block, _Builder]":
    expanded = expand(design)
    as_written = (classes or expanded.classes, channels or design.input[0])
    check = as_written == (expanded.classes, design.input[0])
    return expanded.body, _Builder(as_written[0], check, design.input)


class _Builder:
    """Builds blocks. `seen` collects what each line of the file gives."""

    def __init__(self, classes: int, check: bool, images: Shape):
        self.classes, self.check, self.images = classes, check, images
        self.modules = True
        self.seen: dict[int, set[Shape]] = {}
        self.parameters = 0

    def sequence(self, block: Block, shape: Shape, top: bool = True) -> tuple[Stages, Shape]:
        stages: Stages = {}
        ends: dict[int, Shape] = {}
        for (item,) in block.lines:
            if isinstance(item.what, Layer) and item.what.of.flat and len(shape) == 3:
                _add(stages, "flatten", nn.Flatten(), item)
                shape = (shape[0] * shape[1] * shape[2],)
            if isinstance(item.what, Block) and item.what.kind == ASIDE and not top:
                only = "only a whole network has side branches"
                _refuse(item, f"{item.name} is aside within a block; {only}")
            module, out = self.item(item, shape)
            _add(stages, item.name, module, item)
            self.compare(item, shape, out)
            ends[item.line] = out
            if not isinstance(module, Aside):
                shape = out
        self.note(ends)
        return stages, shape

    def note(self, ends: dict[int, Shape]) -> None:
        for line, out in ends.items():
            self.seen.setdefault(line, set()).add(out)

    def item(self, item: Item, shape: Shape) -> tuple[nn.Module, Shape]:
        what = item.what
        if isinstance(what, Layer):
            return self.layer(item, what, shape)
        assert isinstance(what, Block)
        if what.kind == SIDE_BY_SIDE:
            return self.side_by_side(item, what, shape)
        if what.kind == RESIDUAL:
            return self.residual(item, what, shape)
        stages, out = self.sequence(what, shape, top=False)
        if what.kind == ASIDE:
            return Aside(stages), out
        return chain(stages), out

    def layer(self, item: Item, layer: Layer, shape: Shape) -> tuple[nn.Module, Shape]:
        layer = _with_classes(layer, self.classes)
        if reason := _misfit(layer, shape):
            _refuse(item, f"{item.name}{_filters(layer)} {reason}{maps_first(self.images)}")
        try:
            out = _gives(layer, shape)
        except (RuntimeError, ValueError, TypeError) as error:
            reason = plain_reason(error)
            _refuse(item, f"{item.name} does not fit {written(shape)}: {reason}")
        if prod(out) > MOST:
            _refuse(item, f"{item.name} gives {written(out)}, more than {MOST:,} values")
        self.parameters += _parameters(layer, shape)
        if self.parameters > MOST:
            _refuse(item, f"with {item.name} the network has more than {MOST:,} parameters")
        return layer.of.build(layer.given, shape) if self.modules else _NOTHING, out

    def side_by_side(self, item: Item, block: Block, shape: Shape) -> tuple[nn.Module, Shape]:
        branches: Stages = {}
        outs: dict[str, Shape] = {}
        for (branch,) in block.lines:
            branches[branch.name], outs[branch.name] = self.item(branch, shape)
            self.compare(branch, shape, outs[branch.name])
            self.note({branch.line: outs[branch.name]})
        name, first = next(iter(outs.items()))
        for other, out in outs.items():
            if len(out) != 3 or out[1:] != first[1:]:
                both = f"{name} gives {written(first)}, {other} {written(out)}"
                _refuse(item, f"the branches of {item.name} do not fit: {both}")
        return Concat(branches), (sum(out[0] for out in outs.values()), *first[1:])

    def residual(self, item: Item, block: Block, shape: Shape) -> tuple[nn.Module, Shape]:
        stages, out = self.sequence(block, shape, top=False)
        shortcut, skipped = nn.Identity() if self.modules else _NOTHING, shape
        if block.shortcut:
            shortcut, skipped = self.item(block.shortcut[0], shape)
            self.note({block.shortcut[0].line: skipped})
        if out != skipped:
            what = "its shortcut gives" if block.shortcut else "its input is"
            hint = "" if block.shortcut else _shortcut_that_fits(shape, out)
            both = f"{item.name} gives {written(out)} and {what} {written(skipped)}"
            _refuse(item, f"{both}; they are added{hint}")
        if not self.modules:
            return _NOTHING, out
        relu = nn.ReLU() if block.relu else nn.Identity()
        return Residual(chain(stages), shortcut, relu), out

    def compare(self, item: Item, shape: Shape, out: Shape) -> None:
        """Refuses a line that claims another shape than it gives."""
        if self.check and item.shape is not None and item.shape != out:
            hint = ""
            if len(out) == 3 and (*item.shape[1:], item.shape[0]) == out:
                hint = "; maps are written last"
            elif isinstance(item.what, Layer) and item.shape[1:] != out[1:]:
                layer = _with_classes(item.what, self.classes)
                hint = _arithmetic(layer, shape) + _pad_that_fits(layer, shape, item.shape)
            both = f"{item.name} gives {written(out)}, and {written(item.shape)} is written"
            _refuse(item, f"{both}{hint}{maps_first(self.images)}")


_NOTHING = nn.Identity()


def written(shape: Shape) -> str:
    """A shape as a design writes it: [height x width x maps].

    >>> written((96, 55, 55)), written((1000,))
    ('[55x55x96]', '[1000]')
    """
    return f"[{'x'.join(map(str, (*shape[1:], shape[0])))}]"


def maps_first(images: Shape) -> str:
    """What to ask of an input that seems to have its channels first, such as [1x16x16]."""
    c, h, w = images
    if h not in CHANNELS or c in CHANNELS:
        return ""
    return f"; an input is height x width x maps: did you mean {written((h, w, c))}?"


def _add(stages: Stages, name: str, module: nn.Module, item: Item) -> None:
    if name in stages:
        _refuse(item, f"{name} is used twice" + ", by what flattens as well" * (name == "flatten"))
    stages[name] = module


def _refuse(item: Item, message: str) -> NoReturn:
    raise ValueError(f"line {item.line}: {message}" if item.line else message)


@lru_cache(maxsize=4096)
def _with_classes(layer: Layer, classes: int) -> Layer:
    values = tuple((name, classes if v == CLASSES else v) for name, v in layer.values)
    return replace(layer, values=values)


@lru_cache(maxsize=4096)
def _gives(layer: Layer, shape: Shape) -> Shape:
    """What a layer gives for an input of this shape, found on the meta device."""
    if layer.of.module is LocalResponseNorm and len(shape) == 3:
        return shape  # its operator would load torch's compiler, which takes seconds
    with torch.device("meta"), torch.no_grad():
        module = layer.of.build(layer.given, shape).eval()
        return tuple(module(torch.empty(1, *shape)).shape[1:])


def _parameters(layer: Layer, shape: Shape) -> int:
    """The weights of a layer, without its biases."""
    v = layer.given
    if "maps" in v and "window" in v:
        return shape[0] * v["maps"] * prod(v["window"]) // v.get("groups", 1)
    return shape[0] * v.get("width", 0)


def _misfit(layer: Layer, shape: Shape) -> str:
    """Why a layer cannot read an input of this shape; empty if nothing speaks against it."""
    values, maps = layer.given, shape[0]
    if len(shape) == 1 and not layer.of.flat and layer.kind not in EITHER:
        return f"reads maps, and gets {written(shape)} values"
    if prod(shape) > MOST:
        return f"gets {written(shape)}, more than {MOST:,} values"
    if _parameters(layer, shape) > MOST:
        return f"has more than {MOST:,} parameters, for {written(shape)}"
    groups = values.get("groups", 1)
    if maps % groups or values.get("maps", 0) % groups:
        both = f"{maps} maps in and {values['maps']} out"
        most = gcd(maps, values["maps"])
        fit = first_few([str(n) for n in range(1, most + 1) if most % n == 0], 8)
        return f"has {both}, which do not divide into {groups} groups; groups {fit} would fit"
    if (size := values.get("size", 1)) % 2 == 0:
        return f"is over {size} maps, an even number; {size - 1} or {size + 1} would fit"
    if "window" not in values:
        return ""
    pads = values.get("pad", (0, 0))
    for side, window, pad in zip(shape[1:], values["window"], pads, strict=True):
        if side + 2 * pad < window:
            padding = f" padded by {pad}" * bool(pad)
            largest = "x".join(str(n + 2 * p) for n, p in zip(shape[1:], pads, strict=True))
            gets = f"gets {written(shape)}{padding}; {largest} would fit"
            return f"has windows of {window} pixels and {gets}"
        if layer.kind.endswith("pool") and pad > window // 2:
            half = f"more than half of its window of {window}; pad {window // 2} would fit"
            return f"is padded by {pad}, {half}"
    return ""


def _filters(layer: Layer) -> str:
    """The filters of a convolution, where its name stands in a sentence."""
    if layer.kind != "conv":
        return ""
    return f", {layer.given['maps']} {'x'.join(map(str, layer.given['window']))} filters,"


def _arithmetic(layer: Layer, shape: Shape) -> str:
    """How the height of the output comes about."""
    v = layer.given
    if "window" not in v or len(shape) != 3:
        return ""
    window, pad, stride = v["window"][0], v.get("pad", (0, 0))[0], v.get("stride", (1, 1))[0]
    exact = (shape[1] + 2 * pad - window) / stride + 1
    rounding = "" if exact.is_integer() else f", rounded {'up' if v.get('up') else 'down'}"
    padding = f" + 2 x {pad}" * bool(pad)
    return f"; ({shape[1]}{padding} - {window}) / {stride} + 1 = {exact:g}{rounding}"


def _pad_that_fits(layer: Layer, shape: Shape, wanted: Shape) -> str:
    """The padding with which a layer gives the sides that are written."""
    v = layer.given
    if "pad" not in v or len(shape) != len(wanted) or v["window"][0] > 100:
        return ""
    for pad in range(v["window"][0] // 2 + 1):
        padded = replace(layer, values=tuple((v | {"pad": (pad, pad)}).items()))
        if not _misfit(padded, shape) and _gives(padded, shape)[1:] == wanted[1:]:
            return f"; pad {pad} would give {written(wanted)}"
    return ""


def _shortcut_that_fits(shape: Shape, out: Shape) -> str:
    if len(shape) != 3 or len(out) != 3 or not out[1]:
        return ""
    stride = round(shape[1] / out[1])
    if -(-shape[1] // stride) != out[1] if stride else True:
        return ""
    at = f" at stride {stride}" if stride > 1 else ""
    return f"; a shortcut of {out[0]} 1x1 filters{at} would fit"
