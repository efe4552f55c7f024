"""Starting a training from the weights of another run, or from published ones."""

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from classicnets.support.names import as_text
from classicnets.support.tensors import find_difference, read_tensors
from classicnets.training.recipe.init import AsBuilt, FromRun, Random
from classicnets.training.recipe.recipe import CustomPart, Recipe

from .pretrained import open_start


def from_run(
    run: str | Path,
    recipe: Recipe,
    network: nn.Module,
    name: str,
    classes: tuple[str, ...],
) -> dict[str, Any]:
    """What in the recipe of a network of this name changes to start from `run`: a run directory,
    the source of published weights, or a file of them.

    `init` takes its weights, and the recipe's own draws what is new: the layers with a weight for
    each class, where the number of classes differs. `pixels` are scaled as those weights have
    learnt. Raises a ValueError when the run is missing, has no weights, or is of another network.
    """
    then = open_start(run, name)
    if not then.weights.exists():
        raise ValueError(f"{run} has no weights yet: no {then.weights.name}")
    counts = (len(then.config.classes), len(classes))
    learnt, own = read_tensors(then.weights), network.state_dict()
    heads = [key for key in own if key in learnt and _is_head(learnt[key], own[key], *counts)]
    tensors = ({k: t for k, t in all_.items() if k not in heads} for all_ in (learnt, own))
    key, difference = find_difference(*tensors)
    if key:
        raise ValueError(
            f"{name} cannot start from {run}, a run of {then.config.network}: {key} {difference}"
        )
    new = tuple(dict.fromkeys(key.rpartition(".")[0] for key in heads))
    init, pixels = recipe.init, then.config.recipe.pixels
    init = init.rest if isinstance(init, FromRun) else init
    rest = init if isinstance(init, Random) else AsBuilt()  # a part of your own cannot be stored
    pixels = recipe.pixels if isinstance(pixels, CustomPart) else pixels
    return {"init": FromRun(as_text(then.directory), rest=rest, new=new), "pixels": pixels}


def _is_head(learnt: Tensor, own: Tensor, before: int, now: int) -> bool:
    """Whether a tensor has a row for each class, and their number has changed."""
    rows = (*learnt.shape[:1], *own.shape[:1])
    return before != now and rows == (before, now) and learnt.shape[1:] == own.shape[1:]
