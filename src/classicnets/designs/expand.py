"""From a design as it is written to one named layer or block a line: parts, ranges, `every`."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from .kinds import EVERY, WITH_WEIGHTS
from .tree import (
    ASIDE,
    CLASSES,
    SEQUENCE,
    SIDE_BY_SIDE,
    Block,
    Design,
    Item,
    Layer,
    Line,
    Use,
)

MOST_LAYERS = 20_000
MOST_NESTED = 20


class Expansion:
    """A design with one named layer or block a line, in sequence: its `body`.

    `classes` is the number of classes that the design is written for.
    """

    def __init__(self, design: Design):
        self.every = {kind: every for every in design.every for kind in EVERY[every.kind]}
        self.parts = {part.name: part for part in design.parts}
        self.count, self.depth, self.classes = 0, 0, 1000
        self.ends: list[tuple[int, Item]] = []  # the numbers of classes that are written
        self.body = Block(SEQUENCE, _lines(self.sequence(design.lines, {}, last=True)))
        for number, item in self.ends:
            if number != self.classes:
                raise ValueError(
                    f"line {item.line}: {item.name} gives scores of {number:,} classes, and "
                    f"another branch of {self.classes:,}; all have those of the network"
                )

    def sequence(
        self, lines: tuple[Line, ...], numbers: Mapping[str, Any], last: bool = False
    ) -> list[Item]:
        """The items of some lines, with names and what `every` adds.

        `last` is whether the network, or a block aside, ends with them.
        """
        written: list[Item] = []
        for item in (item for line in lines for item in line):
            written += spread(item)
            if self.count + len(written) > MOST_LAYERS:
                raise ValueError(f"line {item.line}: more than {MOST_LAYERS:,} layers")
        self.count += len(written)
        closing = len(written) - 1
        while closing and self.is_aside(written[closing]):
            closing -= 1
        end = _end(written[: closing + 1]) if last else None
        names = Names(item.name for item in written)
        found: list[Item] = []
        for i, item in enumerate(written):
            what = self.what(item, numbers, last=last and i == closing)
            if i == end and isinstance(what, Layer):
                what = self.for_classes(what, item)
            found.append(replace(item, what=what, name=names.of(item, what)))
            if isinstance(what, Layer) and not (last and i == closing):
                for follower in self.followers(what, written, i + 1):
                    follower = replace(follower, line=item.line)
                    assert isinstance(follower.what, Layer)
                    found.append(replace(follower, name=names.of(follower, follower.what)))
        return found

    def is_aside(self, item: Item) -> bool:
        what = self.parts[item.what.part].body if isinstance(item.what, Use) else item.what
        return isinstance(what, Block) and what.kind == ASIDE

    def for_classes(self, layer: Layer, item: Item) -> Layer:
        """The layer whose number the data replace."""
        name = layer.of.count
        number, shape = layer.given[name], item.shape
        if isinstance(number, int):
            self.ends.append((number, item))
            self.classes = number
        elif shape:
            self.classes = shape[-1]
        return replace(layer, values=tuple((layer.given | {name: CLASSES}).items()))

    def followers(self, layer: Layer, written: Sequence[Item], at: int) -> Line:
        """What `every` adds after a layer: nothing where what follows it has it already."""
        every = self.every.get(layer.kind)
        if not every or not every.chain or following(written, at, every.chain[0].what):
            return ()
        return tuple(replace(item, what=_all_values(item.what)) for item in every.chain)

    def what(self, item: Item, numbers: Mapping[str, Any], last: bool) -> Layer | Block:
        """A layer with all its values, or a block of expanded lines."""
        what = item.what
        if isinstance(what, Layer):
            every = self.every.get(what.kind)
            return _all_values(what, every.values if every else (), numbers)
        body = what
        if isinstance(what, Use):
            part = self.parts[what.part]
            given = (numbers.get(n, n) if isinstance(n, str) else n for n in what.numbers)
            body, numbers = part.body, dict(zip(part.parameters, given, strict=True))
        assert isinstance(body, Block)
        self.depth += 1
        if self.depth > MOST_NESTED:
            raise ValueError(f"line {item.line}: blocks are nested more than {MOST_NESTED} deep")
        block = self.block(body, numbers, last)
        self.depth -= 1
        return block

    def block(self, block: Block, numbers: Mapping[str, Any], last: bool) -> Block:
        if block.kind == SIDE_BY_SIDE:
            return replace(block, lines=_lines(self.branch(line, numbers) for line in block.lines))
        last = block.kind == ASIDE or (last and block.kind == SEQUENCE)
        lines = _lines(self.sequence(block.lines, numbers, last))
        shortcut: Line = ()
        if block.shortcut:
            shortcut = (self.joined(block.shortcut, numbers, "shortcut"),)
        return replace(block, lines=lines, shortcut=shortcut)

    def branch(self, line: Line, numbers: Mapping[str, Any]) -> Item:
        """A line of a block side by side: the layer itself, or a sequence named as its last one."""
        return self.joined(line, numbers, line[-1].name)

    def joined(self, line: Line, numbers: Mapping[str, Any], name: str) -> Item:
        items = self.sequence((line,), numbers)
        if len(items) == 1:
            return replace(items[0], name=name or items[0].name)
        return Item(Block(SEQUENCE, _lines(items)), name or items[0].name, line=line[0].line)


def following(items: Sequence[Item], at: int, layer: object) -> bool:
    """Whether a layer of this kind is among those from `at` on that follow another layer, or a
    batch norm, between which and its convolution `every conv: relu` puts nothing.
    """
    for item in (items[i] for i in range(at, len(items))):
        if not isinstance(item.what, Layer) or not item.what.of.follows:
            return False
        if isinstance(layer, Layer) and item.what.kind in (layer.kind, "batch norm"):
            return True
    return False


class Names:
    """Names for the items of one sequence that have none of their own."""

    def __init__(self, written: Iterator[str]):
        self.taken = {name for name in written if name}
        self.last: dict[str, int] = {}  # the number that a name was last given
        self.anchor = ""  # the name of the last layer with weights

    def of(self, item: Item, what: Layer | Block) -> str:
        """The name of an item, its own or one made from its kind: `relu1` after `conv1`."""
        name = item.name
        if not name:
            short = what.of.short if isinstance(what, Layer) else "block"
            follows = isinstance(what, Layer) and what.of.follows
            name = self.free(follower_name(short, self.anchor) if follows else short)
        if isinstance(what, Block) or what.kind in WITH_WEIGHTS:
            self.anchor = name
        return name

    def free(self, name: str) -> str:
        number = self.last.get(name, 1)
        found = name if number == 1 else f"{name}{'_' * name[-1].isdigit()}{number}"
        while found in self.taken:
            number += 1
            found = f"{name}{'_' * name[-1].isdigit()}{number}"
        self.taken.add(found)
        self.last[name] = number
        return found


def follower_name(short: str, anchor: str) -> str:
    """The name of a layer that follows another.

    >>> follower_name("relu", "conv5_3"), follower_name("drop", "fc6"), follower_name("bn", "conv")
    ('relu5_3', 'drop6', 'bn')
    >>> follower_name("relu", "3x3_reduce")
    'relu_3x3_reduce'
    """
    if not anchor or anchor in ("conv", "fc"):
        return short
    number = re.fullmatch(r"[A-Za-z]+(\d[\d_]*)", anchor)
    return short + (number[1] if number else f"_{anchor}")


def spread(item: Item) -> Iterator[Item]:
    """The items of a range of names, `conv4_2 to conv4_6`; an item without a range itself."""
    if not item.to:
        yield item
        return
    head, first, last = names_of_range(item)
    for number in range(first, last + 1):
        yield replace(item, name=f"{head}{number}", to="")


def names_of_range(item: Item) -> tuple[str, int, int]:
    """What the names of a range have in common, its first number and its last one."""
    begin, end = (re.fullmatch(r"(.*?)(\d+)", name) for name in (item.name, item.to))
    if not begin or not end or begin[1] != end[1] or int(begin[2]) >= int(end[2]):
        raise ValueError(
            f"line {item.line}: {item.name} to {item.to} is not a range; "
            "names differ in their last number, which grows, as in conv2_2 to conv2_6"
        )
    if int(end[2]) - int(begin[2]) > MOST_LAYERS:
        raise ValueError(
            f"line {item.line}: {item.name} to {item.to} are more than {MOST_LAYERS:,}"
        )
    return begin[1], int(begin[2]), int(end[2])


def _lines(items: Any) -> tuple[Line, ...]:
    return tuple((item,) for item in items)


def _end(items: list[Item]) -> int | None:
    """The layer whose number is that of the classes: the last one that has a number."""
    for i in range(len(items) - 1, -1, -1):
        what = items[i].what
        if not isinstance(what, Layer):
            return None
        if what.of.count and what.kind != "zero maps":
            return i
    return None


def _all_values(
    layer: Any, every: tuple[tuple[str, Any], ...] = (), numbers: Mapping[str, Any] | None = None
) -> Layer:
    """The layer with its defaults, and numbers in place of a part's parameters."""
    return _filled(layer.kind, layer.values, every, tuple((numbers or {}).items()))


@lru_cache(maxsize=4096)
def _filled(kind: str, values: Any, every: Any, numbers: Any) -> Layer:
    layer, named = Layer(kind), dict(numbers)

    def number(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(number, value))
        return named.get(value, value) if isinstance(value, str) else value

    full = {**layer.of.options, **dict(every), **dict(values)}
    return Layer(kind, tuple((name, number(value)) for name, value in full.items()))


def expand(design: Design) -> Expansion:
    """The design with one named layer or block a line, in sequence.

    Raises ValueError for a range of names that is none, and for more than 20,000 layers.
    """
    return Expansion(design)
