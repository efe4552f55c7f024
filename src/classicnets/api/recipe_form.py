"""A recipe as a form: every value with its source, and what is wrong with one that is typed in."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

import torch

from classicnets.data.images import Splits
from classicnets.recipes.adapt import adapt
from classicnets.support.devices import select_device
from classicnets.support.rng import require_seed
from classicnets.training.recipe.overrides import override
from classicnets.training.recipe.recipe import ABOUT_PAPER, Recipe, typed
from classicnets.training.recipe.schedules import Schedule, rate_of
from classicnets.training.run.directory import Run
from classicnets.training.run.stages import require_start

from .finetune import from_run
from .introduction import FEW_STEPS
from .pretrained import is_kept, list_weights, open_start
from .recipes import (
    Target,
    adaptable,
    choose_recipe,
    fit_to_network,
    macs_on_cpu,
    resolve_network,
    set_by_hand,
)


class Value(NamedTuple):
    """A field of a recipe: its value as one types it, empty where it has none, and its source.

    `number` is its value in short, as the rate at which a schedule starts.
    """

    field: str
    text: str
    number: str
    source: str
    adapted: bool


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

    def values(self, overrides: Mapping[str, str]) -> tuple[Value, ...]:
        """Every field that can be set, in the order of `classicnets recipe`; see `trained`."""
        return self.described(*self.trained(overrides))

    def described(self, recipe: Recipe, adapted: Mapping[str, str]) -> tuple[Value, ...]:
        """Every field of what `trained` has given."""
        found = []
        for name in (field.name for field in fields(Recipe) if field.name not in ABOUT_PAPER):
            value, before = getattr(recipe, name), getattr(self.recipe, name)
            source = [recipe.cited.get(name)]
            if name in adapted:
                then = None if before is None else f"the recipe has {typed(before)}"
                source = [f"adapted: {adapted[name]}", ", ".join(filter(None, (then, *source)))]
            elif name in recipe.assumed:
                source.append(f"assumed: {recipe.assumed[name]}")
            text = "" if value is None else typed(value)
            number = f"{rate_of(value):g}" if isinstance(value, Schedule) else text
            source = "; ".join(filter(None, source))
            found.append(Value(name, text, number, source, name in adapted))
        return tuple(found)

    def trained(self, overrides: Mapping[str, str]) -> tuple[Recipe, dict[str, str]]:
        """The recipe that `train` takes with fields changed, adapted to the data; and field -> why.

        Raises a ValueError where `check` does, and for a run to start from that does not fit.
        """
        wanted = self.check(overrides, start=True)
        if self.splits is None:
            return wanted, {}
        target, classes = self.target, self.splits.classes
        by_hand = set_by_hand(self.recipe, wanted, None, overrides)
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

    def too_short(self, recipe: Recipe) -> tuple[int, int] | None:
        """The steps of a training that will hardly learn, and how many epochs would; else nothing,
        as where the data are not known, or learnt weights begin it. `recipe` is that of `trained`.
        """
        if self.splits is None or self.start is not None:
            return None
        images = len(self.splits.train)
        total, epoch = recipe.total_steps(images), recipe.steps_per_epoch(images)
        return (total, math.ceil(FEW_STEPS / epoch)) if total < FEW_STEPS else None

    def check(self, overrides: Mapping[str, str], start: bool = False) -> Recipe:
        """The recipe with fields changed.

        Raises a ValueError, as `train` does, for a value that is none or out of range, and for
        layers held back where there are no weights to `start` from.
        """
        changed = override(self.recipe, overrides)
        if not start:
            require_start(changed)
        return changed

    def fault(self, field: str, text: str) -> str:
        """What is wrong with the text of a field, or of the seed; empty where nothing is."""
        try:
            if field == "seed":
                require_seed(int(text) if text.lstrip("-").isdecimal() else text)
            else:
                self.check({field: text}, start=True)
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
