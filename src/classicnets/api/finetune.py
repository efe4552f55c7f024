"""Starting a training from the weights of another run."""

from pathlib import Path

from torch import Tensor, nn

from classicnets.support.tensors import find_difference, read_tensors
from classicnets.training.recipe.init import AsBuilt, FromRun, Init, Random
from classicnets.training.recipe.recipe import CustomPart
from classicnets.training.run.directory import open_run


def from_run(
    run: str | Path,
    init: Init | CustomPart,
    network: nn.Module,
    name: str,
    classes: tuple[str, ...],
) -> FromRun:
    """The initial values that `run` gives a network of this name; `init` draws what is new.

    New are the layers with a weight for each class, where the number of classes differs. Raises a
    ValueError when the run is missing, has no weights, or is of another network.
    """
    then = open_run(Path(run))
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
    init = init.rest if isinstance(init, FromRun) else init
    rest = init if isinstance(init, Random) else AsBuilt()  # a part of your own cannot be stored
    return FromRun(str(run), rest=rest, new=new)


def _is_head(learnt: Tensor, own: Tensor, before: int, now: int) -> bool:
    """Whether a tensor has a row for each class, and their number has changed."""
    rows = (*learnt.shape[:1], *own.shape[:1])
    return before != now and rows == (before, now) and learnt.shape[1:] == own.shape[1:]
