"""The papers' moves as an experiment: a network against itself after each of them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from classicnets.designs.moves import MOVES
from classicnets.designs.reader import read
from classicnets.experiments.variants import Asked, as_settings
from classicnets.support.errors import suggest as nearest
from classicnets.support.names import as_path

from .paired import Experiment
from .prepare import Terms, as_name, prepare
from .recipe_moves import RECIPE_MOVES
from .recipes import choose_recipe, resolve_network, with_overrides

if TYPE_CHECKING:
    from .suggest import Suggestions


def measure_moves(
    found: "Suggestions", names: Sequence[str], overrides: Mapping[str, Any], terms: Terms
) -> Experiment:
    """The experiment of a network against itself after each of the moves; see `measure` there."""
    settings = _single(overrides)
    known = [move.name for move in (*MOVES, *RECIPE_MOVES)]
    for name in names:
        if name not in known:
            raise ValueError(f"no move {name!r}; {nearest(name, known)}")
    base = Asked(found.name, f"{Path(found.name).stem}.net", settings, found.design)
    designs = [*found.moves, *(found.beyond if names else ())]
    reasons = {move.name: reason for move, reason in found.others}
    asked = {
        one.move.name: Asked(one.move.name, f"{one.move.name}.net", settings, one.design)
        for one in designs
    }
    asked |= {one.name: one for one in _recipes(base, terms)}
    if missing := next((name for name in names if name not in asked), ""):
        raise ValueError(
            reasons.get(missing) or f"{missing} does not apply here: the recipe has it already"
        )
    chosen = [asked[name] for name in dict.fromkeys(names)] or list(asked.values())
    if not chosen:
        raise ValueError(f"no move applies to {found.name} within the budget: nothing to measure")
    return prepare([base, *chosen], terms, only_new=not names)


def _single(overrides: Mapping[str, Any]) -> dict[str, str]:
    """The settings of all variants. Raises a ValueError where a field has several values."""
    settings = as_settings(overrides)
    for name, values in settings.items():
        if len(values) > 1:
            raise ValueError(
                f"{name} has {len(values)} values; moves are measured with one, and `experiment` "
                "compares several"
            )
    return {name: value for name, (value,) in settings.items()}


def _recipes(base: Asked, terms: Terms) -> Iterator[Asked]:
    """The base with each move of the recipe that changes what it is trained by on these data."""
    data = as_name("data", terms.data, "a name or a path")
    with TemporaryDirectory() as scratch:
        path = str(Path(scratch) / base.network)
        Path(as_path(path)).write_text(base.design)
        target = resolve_network(path, data)
        recipe = choose_recipe(target, terms.recipe, data)
    recipe = with_overrides(recipe, terms.epochs, base.overrides)
    for move in RECIPE_MOVES:
        if values := move.overrides(recipe, read(base.design)):
            yield Asked(move.name, base.network, {**base.overrides, **values}, base.design)
