"""Warnings about designs that build, and are probably not what was meant."""

from collections.abc import Iterator

from classicnets.support.errors import first_few

from .build import shapes, written
from .expand import expand
from .kinds import WITH_WEIGHTS
from .tree import SEQUENCE, SIDE_BY_SIDE, Block, Design, Layer, Use, layers


def warnings(design: Design) -> list[str]:
    """What a reader of the papers would ask about, a sentence each.

    >>> from .reader import read
    >>> warnings(read("[8x8x3] input\\n[6x6x4] conv1: 4 3x3 filters\\n[2] fc2: 2 neurons"))
    ['no non-linearity between conv1 and fc2']
    """
    pairs = [f"{a} and {b}" for a, b in _linear(expand(design).body)]
    found = [f"no non-linearity between {first_few(pairs)}"] * bool(pairs)
    used = {use.part for use in _uses(design)}
    found += filter(None, [ends_in_maps(design)])
    return found + [f"part {p.name} is not used" for p in design.parts if p.name not in used]


def ends_in_maps(design: Design) -> str:
    """What to say of a network that gives maps, of which there is no training; else empty."""
    (item,) = expand(design).body.lines[-1]
    shape = shapes(design, claimed=False).get(item.line, ())
    if len(shape) != 3:
        return ""
    return (
        f"the network ends in maps, {written(shape)}, and training needs scores: end it with lines "
        "such as `average: global average` and `fc: 10 neurons`"
    )


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
