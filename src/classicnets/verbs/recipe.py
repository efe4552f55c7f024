"""Which recipe a network is trained by: its paper's, the modern one, or one from a file."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from torch import nn

from classicnets import catalog
from classicnets.data.images import Splits
from classicnets.recipes import FOR_SETS, MORE
from classicnets.recipes.adapt import NOT_MIRRORED
from classicnets.recipes.fast import fast
from classicnets.training.init import AsBuilt
from classicnets.training.recipe import Recipe


class Subject(NamedTuple):
    """What is trained: its name, its recipe, how many channels it reads, and how it is made.

    `more` has other recipes by their names.
    """

    name: str
    recipe: Recipe
    channels: int
    build: Callable[..., nn.Module]


def subject(network: str | nn.Module, data: str | Splits) -> Subject:
    """What is trained under this name, or this module."""
    if isinstance(network, str):
        entry = catalog.find(network)
        channels, side, _ = entry.input
        if entry.paper:
            return Subject(entry.name, entry.recipe, channels, entry.build)
        path, _, builder = entry.name.rpartition(":")
        name = f"{Path(path).resolve()}:{builder}"
        return Subject(name, _fast(side, channels, data), channels, entry.build)
    kernels = next((p for p in network.parameters() if p.ndim == 4), None)
    channels, side = 3 if kernels is None else kernels.shape[1], 224
    if isinstance(data, Splits):
        channels, side = data.channels, int(data.train.sizes.min())
    recipe = replace(_fast(side, channels, data), init=AsBuilt())
    return Subject(type(network).__name__, recipe, channels, lambda **_: network)


def chosen(subject: Subject, recipe: str | Recipe | None, data: str | Splits) -> Recipe:
    """The recipe by what it is asked for: nothing, "paper", "fast", a paper's other one, a file.

    Raises a ValueError for a name that is none of these.
    """
    if isinstance(recipe, Recipe):
        return recipe
    named = {"paper": subject.recipe, "fast": _fast(subject.recipe.crop, subject.channels, data)}
    for family, others in MORE.items():
        named |= others if subject.name.startswith(family) else {}
    if recipe is None:
        own = FOR_SETS.get((subject.name, data)) if isinstance(data, str) else None
        return own or subject.recipe
    if ".py" in recipe:
        return load_recipe(recipe)
    if recipe not in named:
        there = ", ".join(named)
        raise ValueError(f"there is no recipe {recipe!r}; there is {there}, and FILE.py")
    return named[recipe]


def _fast(side: int, channels: int, data: str | Splits) -> Recipe:
    """It flips neither grey pictures nor a set that would mean something else."""
    name = data if isinstance(data, str) else data.name
    return fast(side, flip=channels > 1 and name not in NOT_MIRRORED)


def load_recipe(name: str) -> Recipe:
    """The recipe of a file: `path/to/file.py` if it makes one, else `path/to/file.py:NAME`.

    One that the file only imports from here is not meant. Raises a ValueError for a file that
    cannot be read or run, and where the name is missing or is no recipe's.
    """
    path, _, wanted = (name, "", "") if name.endswith(".py") else name.rpartition(":")
    if not path:
        raise ValueError(f"a recipe in a file is written path/to/file.py:NAME, not {name!r}")
    held = vars(catalog.run_file(Path(path)))
    found = {key: value for key, value in held.items() if isinstance(value, Recipe)}
    if wanted and wanted not in found:
        there = f"; it has {', '.join(found)}" if found else ""
        raise ValueError(f"{path} has no recipe {wanted!r}{there}")
    if wanted:
        return found[wanted]
    own = {key: value for key, value in found.items() if not _is_ours(value)} or found
    if len(own) == 1:
        return next(iter(own.values()))
    if not own:
        raise ValueError(f"{path} has no recipe: no classicnets.Recipe among its names")
    raise ValueError(f"{path} has {', '.join(own)}; name one, as in {path}:{next(iter(own))}")


def _is_ours(recipe: Recipe) -> bool:
    rooms = (m for name, m in sys.modules.items() if name.startswith("classicnets.recipes."))
    return any(value is recipe for room in rooms for value in vars(room).values())
