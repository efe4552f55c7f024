"""Starting a training from the weights of another run, or from published ones."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from classicnets.support.names import as_text
from classicnets.support.tensors import find_difference, map_tensors
from classicnets.training.recipe.init import AsBuilt, FromRun, Random
from classicnets.training.recipe.recipe import CustomPart, Recipe
from classicnets.training.run.directory import Run

from .recipes import Target


def from_run(
    then: Run,
    recipe: Recipe,
    network: nn.Module,
    target: Target,
    classes: tuple[str, ...],
    given: Collection[str] = (),
) -> dict[str, Any]:
    """What in the recipe of a network changes to start from a run.

    `init` takes its weights, and the recipe's own draws what is new: the layers with a weight for
    each class, where the classes differ. `pixels` are scaled as those weights have
    learnt, unless they are `given`. Raises a ValueError when the run has no weights, or is of
    another network.
    """
    if not then.weights.exists():
        raise ValueError(f"{then.directory} has no weights yet: no {then.weights.name}")
    counts = (len(then.config.classes), len(classes))
    learnt, own = map_tensors(then.weights), network.state_dict()
    heads = [key for key in own if key in learnt and _is_head(learnt[key], own[key], *counts)]
    if counts[0] == counts[1] and then.config.classes != classes:
        heads = [key for key in _by_class(target, own, len(classes)) if key in learnt]
    tensors = ({k: t for k, t in all_.items() if k not in heads} for all_ in (learnt, own))
    key, difference = find_difference(*tensors)
    if key:
        raise ValueError(
            f"{target.name} cannot start from {then.directory}, a run of {then.config.network}: "
            f"{key} {difference}"
        )
    new = tuple(dict.fromkeys(key.rpartition(".")[0] for key in heads))
    init, pixels = recipe.init, then.config.recipe.pixels
    init = init.rest if isinstance(init, FromRun) else init
    rest = init if isinstance(init, Random) else AsBuilt()  # a part of your own cannot be stored
    pixels = recipe.pixels if isinstance(pixels, CustomPart) else pixels
    init = FromRun(as_text(then.directory), rest=rest, new=new)
    return {"init": init} | ({} if "pixels" in given else {"pixels": pixels})


def _is_head(learnt: Tensor, own: Tensor, before: int, now: int) -> bool:
    """Whether a tensor has a row for each class, and their number has changed."""
    rows = (*learnt.shape[:1], *own.shape[:1])
    return before != now and rows == (before, now) and learnt.shape[1:] == own.shape[1:]


def _by_class(target: Target, own: Mapping[str, Tensor], classes: int) -> list[str]:
    """The tensors with a row for each class: they differ in a network for one class more. Those of
    the last layer, where nothing differs, as of a module that is given."""
    with suppress(Exception), torch.device("meta"):  # a builder of your own may need values
        other = target.build(classes=classes + 1, channels=target.channels).state_dict()
        if found := [k for k in own if k in other and other[k].shape != own[k].shape]:
            return found
    last = [*own][-1].rpartition(".")[0]
    return [key for key in own if key.rpartition(".")[0] == last]
