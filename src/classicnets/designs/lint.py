"""Warnings about designs that build, and are probably not what was meant."""

from collections.abc import Iterator

from classicnets.support.errors import first_few

from .expand import expand
from .kinds import WITH_WEIGHTS
from .tree import SIDE_BY_SIDE, Block, Design, Layer


def warnings(design: Design) -> list[str]:
    """What a reader of the papers would ask about, a sentence each.

    >>> from .reader import read
    >>> warnings(read("[8x8x3] input\\n[6x6x4] conv1: 4 3x3 filters\\n[2] fc2: 2 neurons"))
    ['no non-linearity between conv1 and fc2']
    """
    pairs = [f"{a} and {b}" for a, b in _linear(expand(design).body)]
    return [f"no non-linearity between {first_few(pairs)}"] * bool(pairs)


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
