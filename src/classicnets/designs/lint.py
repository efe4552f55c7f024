"""Warnings about designs that build, and are probably not what was meant."""

from collections.abc import Iterator
from operator import ge

import torch

from classicnets.measure import Layer as Row, Report, measure
from classicnets.support.errors import first_few

from .build import expand_and_build, maps_first, output_shape, written
from .kinds import WITH_WEIGHTS, Shape
from .tree import RESIDUAL, SEQUENCE, SIDE_BY_SIDE, Block, Design, Layer, Use, layers

TOO_SMALL = 1 / 4  # of the image's side, for the field of the last convolution


def warnings(design: Design) -> list[str]:
    """What a reader of the papers would ask about, a sentence each.

    >>> from .reader import read
    >>> warnings(read("[8x8x3] input\\n[6x6x4] conv1: 4 3x3 filters\\n[2] fc2: 2 neurons"))
    ['no non-linearity between conv1 and fc2', 'fc2 holds 72 % of the parameters']
    """
    with torch.device("meta"):
        body, network = expand_and_build(design)
        report = measure(network, design.input)
    pairs = [f"{a} and {b}" for a, b in _linear(body)]
    found = [f"no non-linearity between {first_few(pairs)}"] * bool(pairs)
    used = {use.part for use in _uses(design)}
    if hint := maps_first(design.input):
        found.append(f"the input is {written(design.input)}{hint}")
    found += _maps(report.layers[-1].output)
    found += [f"part {p.name} is not used" for p in design.parts if p.name not in used]
    found += [f"{name} {skips}" for name, skips in _skipping(body, "")]
    found += dict.fromkeys(before_additions(body))
    return [*found, *_head(report), *_fields(report, dict(_convolutions(body, "")))]


def _skipping(block: Block, prefix: str) -> Iterator[tuple[str, str]]:
    """Layers whose windows leave out pixels, but those of residual blocks, as ResNet has them."""
    for (item,) in block.lines:
        what = item.what
        if isinstance(what, Block) and what.kind != RESIDUAL:
            yield from _skipping(what, f"{prefix}{item.name}.")
        elif isinstance(what, Layer) and "window" in what.given:
            window, stride = what.given["window"], what.given.get("stride", (1, 1))
            if any(s > w for s, w in zip(stride, window, strict=True)):
                sizes = ["x".join(map(str, dict.fromkeys(size))) for size in (stride, window)]
                why = f"its stride of {sizes[0]} is larger than its window of {sizes[1]}"
                yield prefix + item.name, f"skips pixels; {why}"


def before_additions(block: Block) -> Iterator[str]:
    """Non-linearities in which a branch of a residual block ends."""
    for what in (item.what for (item,) in block.lines if isinstance(item.what, Block)):
        yield from before_additions(what)
        for line in (what.lines[-1], what.shortcut) if what.kind == RESIDUAL else ():
            for last in list(layers(Block(SEQUENCE, (line,))))[-1:]:
                if isinstance(last.what, Layer) and last.what.of.non_linear:
                    where = f"line {last.line}: " * bool(last.line)
                    ends = f"{last.name} ends a branch that is added"
                    yield f"{where}{ends}; ResNet has no non-linearity right before an addition"


def _convolutions(block: Block, prefix: str) -> Iterator[tuple[str, Layer]]:
    """The convolutions by their names in the network."""
    inside = f"{prefix}body." if block.kind == RESIDUAL else prefix
    for (item,) in block.lines:
        what = item.what
        if isinstance(what, Block):
            yield from _convolutions(what, f"{inside}{item.name}.")
        elif isinstance(what, Layer) and what.kind in ("conv", "conv by table"):
            yield inside + item.name, what


def _head(report: Report) -> list[str]:
    """The fully connected layers, where they have more than half of the parameters."""
    full = [layer for layer in report.layers if layer.type == "Linear"]
    share = sum(layer.params for layer in full) / (report.totals.params or 1)
    if share <= 0.5 or not any(len(layer.output) == 3 for layer in report.layers):
        return []
    names = f"{full[0].name} to {full[-1].name} hold" if len(full) > 1 else f"{full[0].name} holds"
    return [f"{names} {100 * share:.0f} % of the parameters"]


def _fields(report: Report, convs: dict[str, Layer]) -> list[str]:
    """Convolutions that see nothing new, and a last one that sees little of the image."""
    sides, size = report.input[1:], "x".join(map(str, report.input[1:]))
    rows = {row.name: row for row in report.layers if row.name in convs}
    late = [name for name, row in rows.items() if _sees_all(row, convs[name], sides)]
    found = []
    if late:
        reads = f"{first_few(late)} read{'s' * (len(late) == 1)}"
        found.append(f"each value that {reads} depends on the whole image of {size} already")
    last = next(reversed(rows.values()), None)
    field = _sides(last.receptive_field) if last else ()
    if last and field and all(a < b * TOO_SMALL for a, b in zip(field, sides, strict=True)):
        seen = "x".join(map(str, field))
        found.append(f"{last.name}, the last convolution, sees only {seen} pixels of {size}")
    return found


def _sees_all(row: Row, conv: Layer, sides: tuple[int, ...]) -> bool:
    """Whether on the shortest path what a larger window reads sees the whole image already."""
    window, stride = conv.given["window"], conv.given.get("stride", (1, 1))
    fields, steps = _sides(row.smallest_receptive_field), _sides(row.stride)
    read = [f - (w - 1) * j // s for f, w, j, s in zip(fields, window, steps, stride, strict=False)]
    return max(window) > 1 and bool(read) and all(map(ge, read, sides))


def _sides(field: object) -> tuple[int, ...]:
    """A receptive field per side; nothing where it is unknown."""
    if isinstance(field, int):
        return (field, field)
    return field if isinstance(field, tuple) else ()


def ends_in_maps(design: Design) -> str:
    """What to say of a network that gives maps, of which there is no training; else empty."""
    return "".join(_maps(output_shape(design)))


def _maps(shape: Shape) -> list[str]:
    if len(shape) != 3:
        return []
    return [
        f"the network ends in maps, {written(shape)}, and training needs scores: end it with lines "
        "such as `average: global average` and `fc: 10 neurons`"
    ]


def _uses(design: Design) -> Iterator[Use]:
    bodies = [Block(SEQUENCE, design.lines), *(part.body for part in design.parts)]
    for item in (item for body in bodies for item in layers(body)):
        if isinstance(item.what, Use):
            yield item.what


def _linear(block: Block) -> Iterator[tuple[str, str]]:
    """Pairs of layers with weights between which everything is linear, but pooling."""
    before = ""
    for (item,) in block.lines:
        what = item.what
        if isinstance(what, Block):
            yield from _inside(what)
            before = ""
        elif isinstance(what, Layer) and what.kind in WITH_WEIGHTS:
            if before and not what.of.non_linear and what.kind != "prototypes":
                yield before, item.name
            before = item.name
        elif isinstance(what, Layer) and what.of.non_linear:
            before = ""


def _inside(block: Block) -> Iterator[tuple[str, str]]:
    if block.kind != SIDE_BY_SIDE:
        yield from _linear(block)
        return
    for (item,) in block.lines:
        if isinstance(item.what, Block):
            yield from _inside(item.what)
