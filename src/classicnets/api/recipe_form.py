"""A recipe as a form: every value with its source, and what is wrong with one that is typed in."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch

from classicnets.data.images import Splits
from classicnets.recipes.adapt import adapt
from classicnets.support.arguments import FIELDS
from classicnets.support.devices import select_device
from classicnets.support.rng import require_seed
from classicnets.training.recipe.overrides import override
from classicnets.training.recipe.recipe import ABOUT_PAPER, Recipe, typed
from classicnets.training.recipe.schedules import Schedule, rate_of
from classicnets.training.run.directory import Run
from classicnets.training.run.stages import require_start

from .finetune import from_run
from .pretrained import is_kept, list_weights, open_start
from .recipes import (
    Target,
    adaptable,
    choose_recipe,
    fit_to_network,
    macs_on_cpu,
    resolve_network,
    set_by_hand,
    with_overrides,
)

NOTHING: Mapping[str, str] = MappingProxyType({})
WHOLE = re.compile("-?[0-9]+")


class Value(NamedTuple):
    """A field of a recipe: its value as one types it, empty where it has none, and its source.

    `number` is what a field for numbers says of it, such as the rate at which a schedule starts.
    """

    field: str
    text: str
    source: str
    adapted: bool
    number: str


class Weights(NamedTuple):
    """Published weights to start from: their source, what is to be read of them, and whether they
    are in the cache."""

    source: str
    about: str
    kept: bool


@dataclass(frozen=True)
class RecipeForm:
    """The recipe by which a network would be trained, to be read and changed field by field.

    `recipe` is the one that was `asked` for; `splits` are the data that `train` adapts it to, where
    they are known, and `start` is the run whose weights it starts from.
    """

    target: Target
    recipe: Recipe
    data: str
    asked: str | None = None
    start: Run | None = None
    splits: Splits | None = None

    @classmethod
    def of(
        cls,
        network: str,
        data: str,
        recipe: str | None = None,
        start: str | Path | None = None,
    ) -> "RecipeForm":
        """The recipe that `train` takes for these arguments; nothing is downloaded for it.

        Raises a ValueError for an unknown network or recipe, and a run to start from that is
        missing or damaged.
        """
        target = resolve_network(network, data)
        published = next((w for w in published_weights(target.name) if w.source == start), None)
        there = start is not None and (published is None or published.kept)
        run = open_start(start, target.name) if start is not None and there else None
        return cls(target, choose_recipe(target, recipe, data, run), data, recipe, run)

    def values(
        self, changes: Mapping[str, str] = NOTHING, numbers: Mapping[str, str] = NOTHING
    ) -> tuple[Value, ...]:
        """Every field that can be set, in the order of `classicnets recipe`; see `trained`."""
        recipe, adapted = self.trained(changes, numbers)
        sources = {name: (cited, assumed) for name, _, cited, assumed in recipe.rows()}
        found = []
        for field in fields(Recipe):
            name = field.name
            if name in ABOUT_PAPER:
                continue
            value, before = getattr(recipe, name), getattr(self.recipe, name)
            cited, assumed = sources.get(name, ("", ""))
            source = [cited, assumed and f"assumed: {assumed}"]
            if name in adapted:
                then = "" if before is None else f"the recipe has {typed(before)}"
                source = [f"adapted: {adapted[name]}", ", ".join(filter(None, (then, cited)))]
            text = "" if value is None else typed(value)
            number = f"{rate_of(value):g}" if isinstance(value, Schedule) else text
            source = "; ".join(filter(None, source))
            found.append(Value(name, text, source, name in adapted, number))
        return tuple(found)

    def trained(
        self, changes: Mapping[str, str], numbers: Mapping[str, str]
    ) -> tuple[Recipe, dict[str, str]]:
        """The recipe that `train` takes with these changes and numbers, as for `check`, adapted to
        the data; and field -> why it was.

        Raises a ValueError where `check` does, and for a run to start from that does not fit.
        """
        wanted = self.check(changes, numbers, start=True)
        if self.splits is None:
            return wanted, {}
        target, classes = self.target, self.splits.classes
        by_hand = set_by_hand(self.recipe, wanted, *_taken_apart(changes, numbers))
        with torch.device("meta"):
            module = target.build(classes=len(classes), channels=target.channels)
        if self.start is not None:
            values = from_run(self.start, wanted, module, target, classes, by_hand)
            wanted, by_hand = override(wanted, values), by_hand | values.keys()
        source = adaptable(target, self.recipe, self.asked, self.data)
        macs = macs_on_cpu(target, wanted, select_device("auto"))
        wanted, adapted = adapt(wanted, self.splits, source, by_hand, macs)
        if wanted.progressive_resizing is None:
            return wanted, adapted
        shape = (target.channels, wanted.crop, wanted.crop)
        wanted, fixed = fit_to_network(wanted, module, target.name, shape, len(classes))
        return wanted, adapted | fixed

    def check(
        self, changes: Mapping[str, str], numbers: Mapping[str, str], start: bool = False
    ) -> Recipe:
        """The recipe with fields changed, and with the numbers of `train`: epochs, lr, batch_size.

        Raises a ValueError, as `train` does, for a value that is none or out of range (a `seed` may
        be among the numbers), for a field that is given twice, and for layers held back where there
        are no weights to `start` from.
        """
        seed = numbers.get("seed", "0")
        require_seed(int(seed) if WHOLE.fullmatch(seed) else float(seed))
        for option in numbers:
            if twice := [name for name in changes if name in FIELDS.get(option, ())]:
                raise ValueError(f"{twice[0]} is given twice; give one")
        changed = with_overrides(self.recipe, *_taken_apart(changes, numbers))
        if not start:
            require_start(changed)
        return changed

    def fault(
        self, changes: Mapping[str, str] = NOTHING, numbers: Mapping[str, str] = NOTHING
    ) -> str:
        """What is wrong with these fields or numbers; empty where nothing is."""
        try:
            self.check(changes, numbers, start=True)
        except ValueError as error:
            return str(error)
        return ""


def _taken_apart(
    changes: Mapping[str, str], numbers: Mapping[str, str]
) -> tuple[int | None, dict[str, Any]]:
    """The epochs, and the overrides, as `train` takes them."""
    epochs = numbers.get("epochs", "1")
    if not WHOLE.fullmatch(epochs):
        raise ValueError(f"epochs must be a whole number of at least 1, not {epochs}")
    options = {name: text for name, text in numbers.items() if name not in ("epochs", "seed")}
    given = {FIELDS[name][0]: text for name, text in options.items()}
    return int(epochs) if "epochs" in numbers else None, given | dict(changes)


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
