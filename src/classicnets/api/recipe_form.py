"""A recipe as a form: every value with its source, and what is wrong with one that is typed in."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from classicnets.support.arguments import FIELDS
from classicnets.training.recipe.recipe import ABOUT_PAPER, Recipe, typed
from classicnets.training.run.stages import require_start

from .pretrained import is_kept, list_weights, open_start
from .recipes import Target, choose_recipe, resolve_network, with_overrides


class Value(NamedTuple):
    """A field of a recipe: its value as one types it, empty where it has none, and its source."""

    field: str
    text: str
    source: str


class Weights(NamedTuple):
    """Published weights to start from: their source, what is to be read of them, and whether they
    are in the cache."""

    source: str
    about: str
    kept: bool


@dataclass(frozen=True)
class RecipeForm:
    """The recipe by which a network would be trained, to be read and changed field by field."""

    target: Target
    recipe: Recipe

    @classmethod
    def of(
        cls, network: str, data: str, recipe: str | None = None, start: str | Path | None = None
    ) -> "RecipeForm":
        """The recipe that `train` takes for these arguments; nothing is downloaded for it.

        Raises a ValueError for an unknown network or recipe, and a run to start from that is
        missing or damaged.
        """
        target = resolve_network(network, data)
        published = next((w for w in published_weights(target.name) if w.source == start), None)
        there = start is not None and (published is None or published.kept)
        run = open_start(start, target.name) if start is not None and there else None
        return cls(target, choose_recipe(target, recipe, data, run))

    @cached_property
    def values(self) -> tuple[Value, ...]:
        """Every field that can be set, in the order of `classicnets recipe`."""
        sources = {name: (cited, assumed) for name, _, cited, assumed in self.recipe.rows()}
        found = []
        for field in fields(Recipe):
            if field.name in ABOUT_PAPER:
                continue
            value = getattr(self.recipe, field.name)
            cited, assumed = sources.get(field.name, ("", ""))
            source = "; ".join(filter(None, (cited, assumed and f"assumed: {assumed}")))
            found.append(Value(field.name, "" if value is None else typed(value), source))
        return tuple(found)

    def check(
        self, changes: Mapping[str, str], numbers: Mapping[str, str], start: bool = False
    ) -> Recipe:
        """The recipe with fields changed, and with the numbers of `train`: epochs, lr, batch_size.

        Raises a ValueError, as `train` does, for a value that is none or out of range, for a field
        that is given twice, and for layers held back where there are no weights to `start` from.
        """
        if not numbers.get("epochs", "1").isdecimal():
            raise ValueError(f"epochs must be a whole number, not {numbers['epochs']}")
        for option in numbers:
            if twice := [name for name in changes if name in FIELDS[option]]:
                raise ValueError(f"{twice[0]} is given twice; give one")
        given = {FIELDS[option][0]: text for option, text in numbers.items() if option != "epochs"}
        epochs = int(numbers["epochs"]) if "epochs" in numbers else None
        changed = with_overrides(self.recipe, epochs, given | dict(changes))
        if not start:
            require_start(changed)
        return changed

    def fault(self, field: str, text: str) -> str:
        """What is wrong with the text of a field; empty where nothing is."""
        try:
            self.check({field: text}, {}, start=True)
        except ValueError as error:
            return str(error)
        return ""


def published_weights(network: str) -> tuple[Weights, ...]:
    """The published weights that a network can start from; none for most.

    >>> [weights.source for weights in published_weights("resnet18")]
    ['torchvision']
    """
    try:
        found = list_weights(network)
    except ValueError:
        return ()
    return tuple(
        Weights(one.source, f"{one.megabytes} MB, {one.licence}", is_kept(one)) for one in found
    )


def fetch_weights(source: str | Path, network: str) -> None:
    """Downloads weights to start from where they are not in the cache yet.

    Raises an OSError that says where to put the file when it cannot be downloaded.
    """
    open_start(source, resolve_network(network, "").name)
