"""Fewer lines for the same network: what repeats becomes a part, a range of names, or `every`."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from .expand import follower_name, following
from .kinds import EVERY, WITH_WEIGHTS
from .tree import (
    ASIDE,
    RESIDUAL,
    SEQUENCE,
    SIDE_BY_SIDE,
    Block,
    Design,
    Every,
    Item,
    Layer,
    Line,
    Part,
    Use,
    layers,
)

LETTERS = "abcdefghij"  # the numbers of a part


def fold(design: Design) -> Design:
    """The same network in fewer lines: `every`, parts, ranges of names, and one line for a layer
    and what follows it.
    """
    body = Block(SEQUENCE, design.lines)
    every = _find_every(body)
    folder = _Folder(every, _repeated(body))
    lines = folder.sequence(body, last=True)
    short = [replace(each, chain=tuple(map(folder.short, each.chain))) for each in every]
    return replace(design, lines=lines, parts=tuple(folder.parts.values()), every=tuple(short))


def _repeated(body: Block) -> dict[object, list[Block]]:
    """The blocks that differ in their numbers only, by what they have in common; not those within
    such a block.
    """
    count = Counter(_skeleton(block) for block in _blocks(body, within=lambda block: True))
    found: dict[object, list[Block]] = {}
    for block in _blocks(body, within=lambda block: count[_skeleton(block)] == 1):
        if count[_skeleton(block)] > 1:
            found.setdefault(_skeleton(block), []).append(block)
    return {key: blocks for key, blocks in found.items() if len(blocks) > 1}


def _blocks(body: Block, within: Callable[[Block], bool]) -> Iterator[Block]:
    """The blocks in a block, and those in them where `within` says so."""
    for line in (*body.lines, body.shortcut):
        for item in line:
            if isinstance(item.what, Block):
                yield item.what
                if within(item.what):
                    yield from _blocks(item.what, within)


def _find_every(body: Block) -> list[Every]:
    """For each kind the options and followers that all its layers have, but the last one."""
    found = []
    for kind, kinds in EVERY.items():
        runs = [
            (layer, tuple(after))
            for sequence, last in _sequences(body, last=True)
            for layer, after in _runs(sequence, kinds, last)
        ]
        chain = _common([after for _, after in runs if after is not None])
        values: tuple[tuple[str, Any], ...] = ()
        given = [
            item.what.given
            for item in layers(body)
            if isinstance(item.what, Layer) and item.what.kind == kind
        ]
        if kind == "conv" and given and not any(v["bias"] for v in given):
            values = (("bias", False),)
        if chain or values:
            found.append(Every(kind, values, tuple(Item(layer) for layer in chain)))
    return found


def _sequences(block: Block, last: bool) -> Iterator[tuple[tuple[Line, ...], bool]]:
    """The lines of every block that is in sequence, and whether the network ends with them."""
    if block.kind != SIDE_BY_SIDE:
        yield block.lines, last
    for i, line in enumerate((*block.lines, block.shortcut)):
        for item in line:
            if isinstance(item.what, Block):
                ends = last and i == len(block.lines) - 1 and item.what.kind == SEQUENCE
                yield from _sequences(item.what, ends or item.what.kind == ASIDE)
            elif block.kind == SIDE_BY_SIDE or line is block.shortcut:
                yield (line,), False


def _runs(
    lines: tuple[Line, ...], kinds: tuple[str, ...], last: bool
) -> Iterator[tuple[Layer, list[Layer]]]:
    """The layers of some kinds with what follows them, without the last layer of the network."""
    items = [item for line in lines for item in line]
    for i, item in enumerate(items):
        if not isinstance(item.what, Layer) or item.what.kind not in kinds:
            continue
        if last and i == len(items) - 1:
            continue
        after = []
        for follower in items[i + 1 :]:
            if not isinstance(follower.what, Layer) or not follower.what.of.follows:
                break
            after.append(follower.what)
        yield item.what, after


def _common(runs: list[tuple[Layer, ...]]) -> tuple[Layer, ...]:
    """The longest beginning of all of them."""
    if not runs:
        return ()
    length = 0
    while all(len(run) > length and run[length] == runs[0][length] for run in runs):
        length += 1
    return runs[0][:length]


def _skeleton(what: Any) -> object:
    """A block without its numbers: what its lines are, and their names."""
    if isinstance(what, Layer):
        fixed = tuple(v for name, v in what.values if name not in _numbers(what))
        return (what.kind, fixed)
    lines = tuple(tuple((i.name, _skeleton(i.what)) for i in line) for line in what.lines)
    shortcut = tuple((i.name, _skeleton(i.what)) for i in what.shortcut)
    return (what.kind, lines, shortcut, what.relu)


def _numbers(layer: Layer) -> list[str]:
    """The values of a layer that may differ between two uses of a part."""
    names = [name for name in ("maps", "width", "classes", "groups") if name in layer.given]
    stride = layer.given.get("stride")
    return names + ["stride"] * (stride is not None and len(set(stride)) == 1)


def _values(what: Any) -> list[tuple[int, bool]]:
    """The numbers of a block in the order of its lines, and whether each is a stride."""
    if isinstance(what, Layer):
        given = ((what.given[name], name == "stride") for name in _numbers(what))
        return [(v[0] if stride else v, stride) for v, stride in given]
    return [v for line in (*what.lines, what.shortcut) for item in line for v in _values(item.what)]


class _Folder:
    """Folds blocks; collects the parts in the order of their first use."""

    def __init__(self, every: list[Every], repeated: dict[object, list[Block]]):
        self.chains = {kind: each.chain for each in every for kind in EVERY[each.kind]}
        self.defaults = {kind: dict(each.values) for each in every for kind in EVERY[each.kind]}
        self.repeated = repeated
        self.parts: dict[object, Part] = {}
        self.places: dict[object, list[int]] = {}  # of each number of a part, among its values

    def sequence(self, block: Block, last: bool = False) -> tuple[Line, ...]:
        """The lines of a block, a layer and what follows it in one, without what `every` adds."""
        items = [item for (item,) in block.lines]
        lines: list[Line] = []
        anchor, i = "", 0
        while i < len(items):
            item = items[i]
            end = last and i == len(items) - 1
            if (
                isinstance(item.what, Layer)
                and item.what.of.follows
                and lines
                and self.joins(lines[-1])
            ):
                name = follower_name(item.what.of.short, anchor)
                lines[-1] += (
                    self.short(replace(item, name="" if item.name == name else item.name)),
                )
                i += 1
                continue
            lines.append((self.short(item, last=end),))
            if not isinstance(item.what, Layer) or item.what.kind in WITH_WEIGHTS:
                anchor = item.name
            i += 1
            if not end and isinstance(item.what, Layer):
                i += self.implied(item.what, items[i:], anchor)
        return _ranges(lines)

    def joins(self, line: Line) -> bool:
        """Whether the layers that follow stand in the same line; not below rows of a table."""
        what = line[0].what
        return isinstance(what, Layer) and what.kind in WITH_WEIGHTS and not _has_rows(what)

    def implied(self, layer: Layer, after: list[Item], anchor: str) -> int:
        """How many of the layers after this one `every` adds with just these names."""
        chain = self.chains.get(layer.kind, ())
        names = [
            follower_name(each.what.of.short, anchor)
            for each in chain
            if isinstance(each.what, Layer)
        ]
        if names != [item.name for item in after[: len(chain)]]:
            return 0
        # a second one would be taken for the first
        return 0 if chain and following(after, len(chain), chain[0].what) else len(chain)

    def short(self, item: Item, last: bool = False) -> Item:
        """An item whose layer has only the values that differ from the usual."""
        what = item.what
        if isinstance(what, Layer):
            usual = what.of.options | self.defaults.get(what.kind, {})
            values = tuple((n, v) for n, v in what.values if n not in usual or usual[n] != v)
            return replace(item, what=Layer(what.kind, values))
        assert isinstance(what, Block)
        key = _skeleton(what)
        if key in self.repeated:
            return replace(item, what=self.use(key, what))
        return replace(item, what=self.block(what, last))

    def block(self, block: Block, last: bool = False) -> Block:
        if block.kind == SIDE_BY_SIDE:
            lines = tuple(self.branch(item) for (item,) in block.lines)
        else:
            lines = self.sequence(block, block.kind == ASIDE or (last and block.kind == SEQUENCE))
        shortcut = self.shortcut(block.shortcut[0]) if block.shortcut else ()
        return replace(block, lines=lines, shortcut=shortcut)

    def branch(self, item: Item) -> Line:
        """A branch in one line, if it is named as its last layer and holds more than that layer."""
        if isinstance(item.what, Block) and item.what.kind == SEQUENCE:
            flat = [each for line in self.sequence(item.what) for each in line]
            plain = not any(_has_rows(each.what) for each in flat)
            if plain and flat[-1].name == item.name and len(item.what.lines) > 1:
                return tuple(flat)
        return (self.short(item),)

    def shortcut(self, item: Item) -> Line:
        """The layers of a shortcut in one line."""
        if isinstance(item.what, Block) and item.what.kind == SEQUENCE and len(item.what.lines) > 1:
            flat = [each for line in self.sequence(item.what) for each in line]
            if not any(_has_rows(each.what) for each in flat):
                usual = isinstance(flat[0].what, Layer) and flat[0].name == flat[0].what.of.short
                return (replace(flat[0], name="" if usual else flat[0].name), *flat[1:])
        return (replace(self.short(item), name=""),)

    def use(self, key: object, block: Block) -> Use:
        """The part of a block, written when it is first met, with the numbers of this use."""
        if key not in self.parts:
            columns = list(zip(*map(_values, self.repeated[key]), strict=True))
            varying = [column for column in dict.fromkeys(columns) if len(set(column)) > 1]
            varying.sort(key=lambda column: column[0][1])  # maps first, then strides
            self.places[key] = [columns.index(column) for column in varying]
            letters = [f"n{i}" for i in range(1, len(varying) + 1)]
            if len(varying) <= len(LETTERS):
                letters = list(LETTERS[: len(varying)])
            named = dict(zip(varying, letters, strict=True))
            names = [named.get(column) for column in columns]
            body = self.block(_with_parameters(block, iter(names)))
            self.parts[key] = Part(self.name(block), tuple(letters), body)
        numbers = [number for number, _ in _values(block)]
        return Use(self.parts[key].name, tuple(numbers[place] for place in self.places[key]))

    def name(self, block: Block) -> str:
        wanted, number = _part_name(block), 1
        name = wanted
        while name in {part.name for part in self.parts.values()}:
            number += 1
            name = f"{wanted}_{number}"
        return name


def _with_parameters(what: Any, names: Iterator[str | None]) -> Any:
    """A block with the names of a part's numbers in their places; None keeps a number."""
    if isinstance(what, Layer):
        values = dict(what.given)
        for name in _numbers(what):
            parameter = next(names)
            if parameter is not None:
                values[name] = (parameter, parameter) if name == "stride" else parameter
        return Layer(what.kind, tuple(values.items()))
    lines = tuple(
        tuple(replace(i, what=_with_parameters(i.what, names)) for i in line) for line in what.lines
    )
    shortcut = tuple(replace(i, what=_with_parameters(i.what, names)) for i in what.shortcut)
    return replace(what, lines=lines, shortcut=shortcut)


def _has_rows(what: Any) -> bool:
    """Whether there are lines below this one: those of a block, or of a table."""
    return isinstance(what, Block) or (isinstance(what, Layer) and what.kind == "conv by table")


def _part_name(block: Block) -> str:
    """A name by what the block is: the papers' names for their blocks, else `module` or `block`."""
    windows = [
        item.what.given["window"]
        for (item,) in block.lines
        if isinstance(item.what, Layer) and item.what.kind == "conv"
    ]
    if block.kind == RESIDUAL:
        name = "bottleneck" if windows == [(1, 1), (3, 3), (1, 1)] else "basic"
        name = name if len(windows) in (2, 3) else "residual_block"
        first = block.shortcut[0].what if block.shortcut else None
        change = "pad" if isinstance(first, Layer) and first.kind == "zero maps" else "project"
        return f"{name}_{change}" if first else name
    return {SIDE_BY_SIDE: "inception", ASIDE: "head"}.get(block.kind, "block")


def _ranges(lines: list[Line]) -> tuple[Line, ...]:
    """Consecutive uses of a part with the same numbers as one line, `conv4_2 to conv4_6`."""
    found: list[Line] = []
    for line in lines:
        before = found[-1][0] if found and len(found[-1]) == 1 else None
        item = line[0]
        same = before and len(line) == 1 and isinstance(item.what, Use) and item.what == before.what
        if before and same and _follows(before.to or before.name, item.name):
            found[-1] = (replace(before, to=item.name),)
        else:
            found.append(line)
    return tuple(found)


def _follows(before: str, name: str) -> bool:
    one, two = (re.fullmatch(r"(.*?)(0|[1-9]\d*)", each) for each in (before, name))
    return bool(one and two and one[1] == two[1] and int(one[2]) + 1 == int(two[2]))
