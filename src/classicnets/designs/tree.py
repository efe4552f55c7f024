"""What a design file says, as values.

The tree as read has chains, parts, ranges of names and `every`; the tree as expanded (`Block` all
the way down) has none of them: every line is one named layer or block.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .kinds import BY_NAME, Kind, Shape

SEQUENCE, SIDE_BY_SIDE, RESIDUAL, ASIDE = "in sequence", "side by side", "residual", "aside"
BLOCKS = (SIDE_BY_SIDE, RESIDUAL, ASIDE)
CLASSES = "classes"  # a number that the data decide


@dataclass(frozen=True)
class Layer:
    """A layer of a kind: the values that are written, as pairs, or all of them once expanded.

    A value may be the name of a part's number.
    """

    kind: str
    values: tuple[tuple[str, Any], ...] = ()

    @property
    def of(self) -> Kind:
        return BY_NAME[self.kind]

    @cached_property
    def given(self) -> dict[str, Any]:
        return dict(self.values)


@dataclass(frozen=True)
class Use:
    """A part with its numbers, `inception 64 96 128 16 32 32`."""

    part: str
    numbers: tuple[int | str, ...] = ()


@dataclass(frozen=True)
class Block:
    """Indented lines: in sequence, side by side, residual, or aside.

    `shortcut` is that of a residual block, empty for the identity; `relu` is whether one follows
    the addition.
    """

    kind: str
    lines: "tuple[Line, ...]"
    shortcut: "Line" = ()
    relu: bool = True


@dataclass(frozen=True)
class Item:
    """A layer, a block or a part in use, with its name; `to` is the last name of a range.

    `shape` is what the line claims that it gives. `line` is its number in the file, 0 in a design
    that was not read from one.
    """

    what: Layer | Use | Block
    name: str = ""
    to: str = ""
    shape: Shape | None = None
    line: int = field(default=0, compare=False)


Line = tuple[Item, ...]


@dataclass(frozen=True)
class Part:
    """Lines that are written once and used under several names, with other numbers."""

    name: str
    parameters: tuple[str, ...]
    body: Block
    line: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Every:
    """What every layer of a kind has: options that differ from the usual, and layers after it."""

    kind: str
    values: tuple[tuple[str, Any], ...]
    chain: Line
    line: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Design:
    """A network as text says it: the size of its images (c, h, w), its lines, and what they use."""

    input: Shape
    lines: tuple[Line, ...]
    parts: tuple[Part, ...] = ()
    every: tuple[Every, ...] = ()
    comment: str = ""

    def part(self, name: str) -> Part:
        return next(part for part in self.parts if part.name == name)


def layers(block: Block) -> Iterator[Item]:
    """The layers of an expanded block, in the order in which they are written."""
    for line in (*block.lines, block.shortcut):
        for item in line:
            if isinstance(item.what, Block):
                yield from layers(item.what)
            else:
                yield item
