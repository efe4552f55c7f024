"""The papers' moves on a network: where they apply, what they change, and what that costs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from classicnets.catalog import Entry
from classicnets.designs.build import written
from classicnets.designs.moves import MOVES, Move, find_move, folded, require_layer
from classicnets.designs.writer import write
from classicnets.support.errors import first_few, suggest as nearest
from classicnets.support.files import require_place, write_atomic
from classicnets.support.progress import progress
from classicnets.support.tables import align, format_bytes, html_lines
from classicnets.support.units import format_change, parse_bytes, parse_count

from .design import Network, describe_network
from .diff import Difference, Priced, difference, network_name, priced
from .measured_moves import measure_moves
from .paired import Experiment
from .prepare import Terms
from .recipe_moves import RECIPE_MOVES, RecipeMove
from .recipes import resolve_network

BY = ("params", "macs", "memory", "receptive-field")  # what moves can be ranked by


@dataclass(frozen=True)
class Figures:
    """What a network costs, and how far it sees.

    Multiply-adds are for one image, the memory is that of a training step, and the receptive field
    is that of the last layer, in pixels, None where it is unknown.
    """

    params: int
    macs: int
    memory: int
    receptive_field: int | tuple[int, ...] | None

    @property
    def field_size(self) -> int:
        """The larger side of the receptive field; 0 where it is unknown."""
        field = self.receptive_field
        return max(field) if isinstance(field, tuple) else field or 0


def _figures(network: Priced) -> Figures:
    report = network.report
    totals = report.totals
    memory = report.training_memory.total
    return Figures(totals.params, totals.macs // report.batch, memory, totals.receptive_field)


@dataclass(frozen=True, repr=False)
class Suggestion:
    """A move on a network, made at some places: the new design as text, and what it changes."""

    move: Move
    places: tuple[str, ...]
    design: str
    before: Figures
    after: Figures
    difference: Difference

    def save(self, path: str | Path, exist_ok: bool = False) -> None:
        """Writes the design to a new file. Raises a ValueError where there is one already, unless
        exist_ok replaces it.
        """
        path = Path(path)
        require_place(path, ".net", "a design's file", exist_ok)
        write_atomic(path, self.design.encode())

    def text(self) -> str:
        """What the move is, the lines that it changes, and both totals."""
        head = f"{self.move.name} at {first_few(self.places, 8)}: {self.move.source}"
        return f"{head}\n{self.move.claim}\n\n{self.difference.text()}"

    def json(self) -> str:
        """The move, its figures, the lines that it changes and the whole design as JSON."""
        found = _as_dict(self) | {"before": asdict(self.before), "design": self.design}
        return json.dumps(found, indent=2)

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html_lines(self.text())


@dataclass(frozen=True, repr=False)
class Suggestions:
    """The moves that apply to a network, best first, and those that do not.

    `moves` are within the budget and `beyond` are not; `recipe` has, for the moves that change the
    training, the field and its value as --set takes them; `others` are moves that do not apply,
    with the reason. `design` is the network itself as text.
    """

    name: str
    batch: int
    design: str
    before: Figures
    moves: tuple[Suggestion, ...]
    beyond: tuple[Suggestion, ...]
    recipe: tuple[tuple[RecipeMove, dict[str, str]], ...]
    others: tuple[tuple[Move | RecipeMove, str], ...]

    def measure(
        self,
        data: str | Path = "digits",
        moves: Sequence[str] = (),
        overrides: Mapping[str, Any] | None = None,
        **terms: Any,
    ) -> Experiment:
        """An experiment on what the moves are worth on these data, to be iterated or finished.

        The network as a design is the baseline. By default the others are all moves within the
        budget, each made everywhere it applies, and those of the recipe; else these `moves`, by
        their names. `overrides` has one value for each field; `terms` are more arguments of
        `experiment`: recipe, seeds, epochs, budget, processes, out, search_lr, device,
        allow_missing_classes. The designs are written into the experiment's directory.

        Raises a ValueError where `experiment` does, for an unknown move, and for one that does not
        apply.
        """
        return measure_moves(self, moves, overrides or {}, Terms(data, **terms))

    def text(self, every: bool = False) -> str:
        """The tables; with `every` also what each of the other moves looks for."""
        parts = [self._heading(), *self._tables()]
        if every and self.others:
            parts.append(
                "\n".join(["do not apply:", *(f"  {reason}" for _, reason in self.others)])
            )
        elif self.others:
            count = len(self.others)
            parts.append(f"{count} moves do not apply here; --all says what each looks for")
        return "\n\n".join(parts)

    def __str__(self) -> str:
        return self.text(every=True)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html_lines(str(self))

    def json(self) -> str:
        """Everything as JSON; the changes of each move as in the JSON of `diff`."""
        return json.dumps(
            {
                "network": self.name,
                "batch": self.batch,
                "before": asdict(self.before),
                "moves": [_as_dict(each) for each in self.moves],
                "beyond_budget": [_as_dict(each) for each in self.beyond],
                "recipe": [_about(move) | {"set": values} for move, values in self.recipe],
                "not_applicable": [_about(m) | {"reason": reason} for m, reason in self.others],
            },
            indent=2,
        )

    def _heading(self) -> str:
        b = self.before
        memory = f"{format_bytes(b.memory)} for a training step at batch {self.batch}"
        costs = f"{b.params:,} params, {b.macs:,} multiply-adds, {memory}"
        return f"{self.name}: {costs}, receptive field {_field(b)}"

    def _tables(self) -> Iterator[str]:
        for title, moves in (("", self.moves), ("beyond the budget:\n", self.beyond)):
            if moves:
                yield title + "\n".join(align([HEAD, *map(_row, moves)], left=LEFT))
        if not self.moves:
            yield "no move applies within the budget" if self.beyond else "no move applies"
        if self.recipe:
            rows = [
                [move.name, f"{name}={value}", move.source]
                for move, values in self.recipe
                for name, value in values.items()
            ]
            head = ["for the recipe", "value for train --set", "from"]
            yield "\n".join(align([head, *rows], left=head))


HEAD = ["move", "at", "params", "multiply-adds", "memory", "receptive field", "from"]
LEFT = ("move", "at", "from")


def _row(found: Suggestion) -> list[str]:
    a, b = found.before, found.after
    pairs = ((a.params, b.params), (a.macs, b.macs), (a.memory, b.memory))
    field = f"{_field(a)} to {_field(b)}" if a.receptive_field != b.receptive_field else "same"
    places = first_few(found.places, 1)
    costs = (format_change(before, after) for before, after in pairs)
    return [found.move.name, places, *costs, field, found.move.source]


def _field(figures: Figures) -> str:
    field = figures.receptive_field
    return (
        "?" if field is None else "x".join(map(str, field if isinstance(field, tuple) else [field]))
    )


def _about(move: Move | RecipeMove) -> dict[str, Any]:
    return {
        "move": move.name,
        "from": move.source,
        "claim": move.claim,
        "looks_for": move.looks_for,
    }


def _as_dict(found: Suggestion) -> dict[str, Any]:
    changes = json.loads(found.difference.json())["changes"]
    changed = [change for change in changes if change["sign"] != " "]
    after = asdict(found.after) | {"changes": changed}
    return _about(found.move) | {"places": found.places} | after


class _Base:
    """A network as the moves see it."""

    def __init__(self, network: Network, size: tuple[int, int, int] | None, batch: int):
        if batch < 1:
            raise ValueError(f"batch must be at least 1, not {batch}")
        self.network, self.name, self.batch = network, network_name(network), batch
        self.design = folded(describe_network(network, size))
        if size and tuple(size) != self.design.input:
            raise ValueError(
                f"{self.name} is for images of {written(self.design.input)}, not "
                f"{written(size)}; `design` with --input writes it for others"
            )

    @cached_property
    def priced(self) -> Priced:
        return priced(self.design, self.name, self.batch)

    def apply(self, move: Move, at: str) -> Suggestion:
        moved = move.apply(self.design, at)
        after = priced(moved.design, f"with {move.name}", self.batch)
        return Suggestion(
            move,
            moved.places,
            write(moved.design),
            _figures(self.priced),
            _figures(after),
            difference(self.priced, after),
        )


def apply_move(
    network: Network,
    name: str,
    at: str = "",
    size: tuple[int, int, int] | None = None,
    batch: int = 1,
) -> Suggestion:
    """A network after one move of a paper: its `design` as text, which `save` writes to a file.

    The move is made everywhere it applies, or `at` one layer or block, by the name that `show`
    prints. `network` is as for `design`; a module needs `size`. Raises a ValueError for an unknown
    move or layer, a move that does not apply, and one that changes the recipe only.

    >>> apply_move("vgg_d", "global-average").after.params
    37694248
    """
    for move in RECIPE_MOVES:
        if move.name == name:
            raise ValueError(
                f"{name} changes the recipe, not the design; `suggest` prints its value for "
                "train --set"
            )
    return _Base(network, size, batch).apply(find_move(name), at)


def suggest(
    network: Network,
    by: str = "params",
    max_params: str | int | float | None = None,
    max_macs: str | int | float | None = None,
    max_memory: str | int | float | None = None,
    at: str = "",
    batch: int = 1,
    size: tuple[int, int, int] | None = None,
) -> Suggestions:
    """The moves of the papers that apply to a network, with what each changes and costs.

    Ranked `by` params, macs or memory, the least first, or by receptive-field, the largest first.
    The budget is numbers or text: `max_params="1M"`, `max_macs="50M"` for one image,
    `max_memory="2GB"` for a training step at `batch` images. `at` looks at one layer or block only.
    Raises a ValueError for a network that a design cannot hold, an unknown layer, and a
    budget that is not a number.

    >>> [found.move.name for found in suggest("alexnet").moves][0]
    'global-average'
    """
    if by not in BY:
        raise ValueError(f"cannot rank by {by!r}; {nearest(by, BY)}")
    budget = {
        name: parse(value)
        for name, value, parse in (
            ("params", max_params, lambda text: parse_count("max-params", text)),
            ("macs", max_macs, lambda text: parse_count("max-macs", text)),
            ("memory", max_memory, parse_bytes),
        )
        if value is not None
    }
    base = _Base(network, size, batch)
    require_layer(base.design, at)
    found, others = _tried(base, at)
    found.sort(key=lambda each: _rank(each, by))
    within = [each for each in found if _fits(each.after, budget)]
    beyond = [each for each in found if not _fits(each.after, budget)]
    recipe, rest = ((), ()) if at else _recipe_moves(base)
    others = [*others, *rest]
    return Suggestions(
        name=base.name,
        batch=batch,
        design=write(base.design),
        before=_figures(base.priced),
        moves=tuple(within),
        beyond=tuple(beyond),
        recipe=tuple(recipe),
        others=tuple(others),
    )


def _tried(base: _Base, at: str) -> tuple[list[Suggestion], list[tuple[Any, str]]]:
    found: list[Suggestion] = []
    others: list[tuple[Any, str]] = []
    for k, move in enumerate(MOVES):
        progress.get()(f"moves of {base.name}", k, len(MOVES))
        try:
            found.append(base.apply(move, at))
        except ValueError as error:
            others.append((move, str(error)))
    return found, others


def _rank(found: Suggestion, by: str) -> float:
    if by == "receptive-field":
        return float(-found.after.field_size)
    return float(getattr(found.after, by))


def _fits(figures: Figures, budget: dict[str, float]) -> bool:
    return all(getattr(figures, name) <= most for name, most in budget.items())


def _recipe_moves(base: _Base) -> tuple[list[Any], list[Any]]:
    """The moves that change the recipe that the network has without data."""
    network = base.network.name if isinstance(base.network, Entry) else base.network
    recipe = resolve_network(network, "").recipe
    found: list[tuple[RecipeMove, dict[str, str]]] = []
    others: list[tuple[RecipeMove, str]] = []
    for move in RECIPE_MOVES:
        if values := move.overrides(recipe, base.design):
            found.append((move, values))
        else:
            others.append((move, f"{move.name} does not apply here: it looks for {move.looks_for}"))
    return found, others
