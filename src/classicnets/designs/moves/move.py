"""A move: one lesson of one paper as a rewriting of a design, and where it applies."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from classicnets.designs.build import Shapes, check
from classicnets.designs.expand import expand
from classicnets.designs.fold import fold
from classicnets.designs.kinds import WITH_WEIGHTS, Shape
from classicnets.designs.reader import read
from classicnets.designs.scale import map_layers, with_classes
from classicnets.designs.tree import (
    RESIDUAL,
    SEQUENCE,
    SIDE_BY_SIDE,
    Block,
    Design,
    Item,
    Layer,
    Line,
)
from classicnets.designs.writer import write
from classicnets.support.errors import first_few, suggest

MOST_TRIED = 100  # places that are tried one by one where all of them together do not build


class Change(NamedTuple):
    """New items in place of `items[start:stop]` of a sequence."""

    start: int
    stop: int
    items: Sequence[Item]


@dataclass(frozen=True)
class Place:
    """An item of a sequence of an expanded design, `items[at]`.

    `shapes` are what each item reads, and at the end what the last one gives. `block` is the kind
    of the block that has the sequence, side by side for a branch; the network's own stages are
    `whole`.
    """

    items: tuple[Item, ...]
    at: int
    shapes: tuple[Shape, ...]
    block: str
    whole: bool

    @property
    def item(self) -> Item:
        return self.items[self.at]

    def layer(self, *kinds: str, at: int | None = None) -> Layer | None:
        """The layer here or `at` another index, if it is of one of these kinds."""
        at = self.at if at is None else at
        what = self.items[at].what if 0 <= at < len(self.items) else None
        return what if isinstance(what, Layer) and what.kind in kinds else None

    @property
    def first(self) -> bool:
        """Whether no layer with weights comes before, in the whole network."""
        before = (item.what for item in self.items[: self.at])
        return self.whole and all(
            isinstance(what, Layer) and what.kind not in WITH_WEIGHTS for what in before
        )

    def after(self, at: int | None = None) -> int:
        """The index behind the layers that follow the one here, such as its non-linearity."""
        stop = (self.at if at is None else at) + 1
        while stop < len(self.items) and _follows(self.items[stop]):
            stop += 1
        return stop

    def name(self, wanted: str, *more: str) -> str:
        """This name, or with a number if the sequence, or `more`, has it."""
        taken = {*(item.name for item in self.items), *more}
        names = (wanted, *(f"{wanted}_{n}" for n in range(2, len(taken) + 3)))
        return next(name for name in names if name not in taken)


def _follows(item: Item) -> bool:
    return isinstance(item.what, Layer) and item.what.of.follows


@dataclass(frozen=True)
class Move:
    """One lesson of one paper.

    It `looks_for` a pattern, and `rewrite` is what it puts in its place, None where the pattern
    does not stand. It is made at all such places that do not overlap, from the first on; `once`
    makes it at the middle one only.
    """

    name: str
    paper: str
    section: str
    claim: str
    looks_for: str
    rewrite: Callable[[Place], Change | None] = field(repr=False)
    once: bool = False

    @property
    def source(self) -> str:
        return f"{self.paper}, {self.section}"

    def apply(self, design: Design, at: str = "") -> "Moved":
        """The design after the move, at all places or at those of one layer or block.

        Raises a ValueError that says what it looks for and where it would apply.
        """
        require_layer(design, at)
        body = unshaped(expand(design).body)
        look = _Rewriting(self, design.input)
        look.network(body)
        wanted = [name for name in look.found if not at or f"{name}.".startswith(f"{at}.")]
        if self.once and not at:
            wanted = wanted[(len(wanted) - 1) // 2 :][:1]
        if not wanted:
            raise ValueError(self._refusal(look.found, at))
        return self._moved(design, body, wanted)

    def _moved(self, design: Design, body: Block, names: Sequence[str]) -> "Moved":
        """The design after the move at these places, or at those of them where it builds."""
        try:
            return self._made(design, body, names)
        except ValueError as error:
            fit = [n for n in names[:MOST_TRIED] if len(names) > 1 and self._fits(design, body, n)]
            if not fit:
                where = first_few(names)
                raise ValueError(f"{self.name} does not fit at {where}: {error}") from None
        return self._made(design, body, fit)

    def _fits(self, design: Design, body: Block, name: str) -> bool:
        try:
            self._made(design, body, [name])
        except ValueError:
            return False
        return True

    def _made(self, design: Design, body: Block, names: Sequence[str]) -> "Moved":
        rewriting = _Rewriting(self, design.input, names)
        done = rewriting.network(body)
        check(Design(design.input, done.lines))
        where = f"{self.name} at {first_few(rewriting.found)}: {self.source}"
        comment = "\n".join([design.comment, where]).strip()
        return Moved(folded(design, done, comment), tuple(rewriting.found))

    def _refusal(self, names: Sequence[str], at: str) -> str:
        where = f" at {at}" if at else " here"
        would = f"; it would apply at {first_few(names, 8)}" if names else ""
        return f"{self.name} does not apply{where}: it looks for {self.looks_for}{would}"


class Moved(NamedTuple):
    """A design after a move, and the layers or blocks where it was made."""

    design: Design
    places: tuple[str, ...]


def folded(design: Design, body: Block | None = None, comment: str | None = None) -> Design:
    """The design as the writer writes it, of another expanded body if one is given.

    Raises ValueError where the layers do not fit together, or a number is too large to be written.
    """
    expanded = expand(design)
    body = expanded.body if body is None else body
    body = map_layers(body, lambda layer: with_classes(layer, expanded.classes))
    comment = design.comment if comment is None else comment
    done = read(write(fold(Design(design.input, body.lines, comment=comment))))
    check(done)
    return done


def unshaped(body: Block) -> Block:
    """A body without the shapes and numbers of the lines that were written."""
    return map_layers(body, lambda layer: layer)


def require_layer(design: Design, name: str) -> None:
    """Raises a ValueError, which offers the nearest, unless a layer or block has this name."""
    known = _layer_names(expand(design).body)
    if name and name not in known:
        raise ValueError(f"no layer {name!r} in the network; {suggest(name, known)}")


def _layer_names(body: Block) -> list[str]:
    """The layers and blocks of an expanded design by their names in the network."""
    found: list[str] = []

    def visit(block: Block, prefix: str) -> None:
        inside = f"{prefix}body." if block.kind == RESIDUAL else prefix
        for line, path in (*((line, inside) for line in block.lines), (block.shortcut, prefix)):
            for item in line:
                found.append(path + item.name)
                if isinstance(item.what, Block):
                    visit(item.what, f"{path}{item.name}.")

    visit(body, "")
    return found


class _Rewriting:
    """Walks through an expanded design and makes a move at the places with these names.

    Without names it only looks. `found` are the places, while looking also those that overlap.
    """

    def __init__(self, move: Move, images: Shape, names: Sequence[str] | None = None):
        self.rewrite, self.images = move.rewrite, images
        self.wanted = None if names is None else set(names)
        self.found: list[str] = []

    def network(self, body: Block) -> Block:
        lines = self.sequence([item for (item,) in body.lines], self.images, "", SEQUENCE, True)
        return replace(body, lines=lines)

    def sequence(
        self, items: Sequence[Item], shape: Shape, prefix: str, block: str, whole: bool = False
    ) -> tuple[Line, ...]:
        follow = Shapes(self.images)
        follow.now = shape
        shapes = (shape, *map(follow.after, items))
        found: list[Item] = []
        done = 0
        for at, item in enumerate(items):
            if at < done:
                continue
            change = self.change(Place(tuple(items), at, shapes, block, whole), prefix, done)
            if change:
                start, done = min(change.start, at), max(change.stop, at + 1)
                del found[len(found) - (at - start) :]
                found += [*items[start : change.start], *change.items, *items[change.stop : done]]
            else:
                found.append(self.inside(item, shapes[at], prefix + item.name))
        return tuple((item,) for item in _apart(found))

    def change(self, place: Place, prefix: str, done: int) -> Change | None:
        name = prefix + place.item.name
        if self.wanted is not None and name not in self.wanted:
            return None
        change = self.rewrite(place)
        if change is None or change.start < done:
            return None
        self.found.append(name)
        return None if self.wanted is None else change

    def inside(self, item: Item, shape: Shape, name: str) -> Item:
        what = item.what
        if not isinstance(what, Block):
            return item
        items = [each for (each,) in what.lines]
        if what.kind == SIDE_BY_SIDE:
            lines = tuple((self.alone(each, shape, f"{name}."),) for each in items)
            return replace(item, what=replace(what, lines=lines))
        path = f"{name}.body." if what.kind == RESIDUAL else f"{name}."
        lines = self.sequence(items, shape, path, what.kind)
        shortcut = tuple(self.alone(each, shape, f"{name}.") for each in what.shortcut)
        return replace(item, what=replace(what, lines=lines, shortcut=shortcut))

    def alone(self, item: Item, shape: Shape, prefix: str) -> Item:
        """A branch or a shortcut, which becomes a sequence if more than one item is there then."""
        what = item.what
        if isinstance(what, Block) and what.kind == SEQUENCE:
            items = [each for (each,) in what.lines]
            lines = self.sequence(items, shape, f"{prefix}{item.name}.", SIDE_BY_SIDE)
            return replace(item, what=replace(what, lines=lines))
        if isinstance(what, Block):
            return self.inside(item, shape, prefix + item.name)
        lines = self.sequence([item], shape, prefix, SIDE_BY_SIDE)
        if len(lines) == 1:
            return replace(lines[0][0], name=item.name)
        return Item(Block(SEQUENCE, lines), item.name)


def _apart(items: Iterable[Item]) -> Iterator[Item]:
    """The items with a number where a name comes a second time."""
    taken: set[str] = set()
    for item in items:
        names = (item.name, *(f"{item.name}_{n}" for n in range(2, len(taken) + 3)))
        name = next(name for name in names if name not in taken)
        taken.add(name)
        yield replace(item, name=name)
