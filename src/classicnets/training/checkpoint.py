"""A training state to disk and back, bit for bit."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import torch
from torch import Tensor, nn

from .disk import write
from .loop import State


def save(state: State, path: Path, told: Mapping[str, Any]) -> None:
    """Everything; chance has no state, since each draw follows from the seed and the step.

    `told` describes the run in the words of JSON, and must be the same when training goes on.
    """
    content = {
        "told": json.dumps(told),
        "network": state.network.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "average": state.average.state_dict() if state.average is not None else {},
        "totals": state.totals,
        "step": state.step,
        "validation": state.validation,
        "lowest": state.lowest,
        "best": state.best,
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write(path, buffer.getvalue())


def restore(state: State, path: Path, told: Mapping[str, Any]) -> None:
    """Sets a freshly started state to what was saved.

    No code in the file is run. Raises a ValueError when it is missing, damaged, or of another
    network, optimizer or recipe.
    """
    try:
        with ZipFile(path) as file:
            damaged = file.testzip()  # torch compares no checksums
        if damaged:
            raise ValueError(damaged)
        content = torch.load(path, weights_only=True, map_location="cpu")
    except FileNotFoundError:
        raise ValueError(f"there is no {path}, so nothing to go on from; train anew") from None
    except Exception as error:  # a damaged file makes torch raise nearly anything
        raise ValueError(f"{path} is damaged: no state of a training can be read") from error
    try:
        _require_same(told, content["told"], path)
        fill(state.network, content["network"], path)
        rates = [group["lr"] for group in state.optimizer.param_groups]
        state.optimizer.load_state_dict(content["optimizer"])
        for group, rate in zip(state.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate  # each step sets it anew, where it lay
        if state.average is not None:
            state.average.load_state_dict(content["average"])
        state.totals.copy_(content["totals"])
        state.step = int(content["step"])
        state.validation = tuple(map(float, content["validation"]))
        state.lowest = float(content["lowest"])
        top1_error, loss = map(float, content["best"])
    except Misfit:
        raise
    except Exception as error:  # whatever stands in the place of what was saved
        raise ValueError(f"{path} is damaged, or the state of another optimizer") from error
    state.best = top1_error, loss


class Misfit(ValueError):
    """This is the state of another network, or of another recipe."""


def _require_same(told: Mapping[str, Any], saved: str, path: Path) -> None:
    now, then = json.loads(json.dumps(told)), dict(json.loads(saved))
    for name in (*now, *then):
        if now.get(name) != then.get(name):
            raise Misfit(
                f"the run has changed since {path} was saved: "
                f"{name} was {then.get(name)} and is {now.get(name)}"
            )


def fill(network: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Puts tensors read from `path` into the network. Raises a Misfit for those of another."""
    shapes = {name: tuple(t.shape) for name, t in tensors.items()}
    wanted = {name: tuple(t.shape) for name, t in network.state_dict().items()}
    for name in (*wanted, *shapes):
        if shapes.get(name) != wanted.get(name):
            held, needed = shapes.get(name, "nothing"), wanted.get(name, "nothing")
            raise Misfit(
                f"{path} holds the weights of another network: "
                f"{name} should be {needed} and is {held}"
            )
    network.load_state_dict(tensors)
