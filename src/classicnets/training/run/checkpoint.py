"""A training state to disk and back, bit for bit."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import torch
from torch import Tensor, nn

from classicnets.support.files import write_atomic

from .state import TrainingState


class Mismatch(ValueError):
    """The state or the weights of another network, or of another recipe."""


def save(state: TrainingState, path: Path, fixed: Mapping[str, Any]) -> None:
    """Writes the whole state; random numbers have none, since each draw follows from seed and step.

    `fixed` is the run's configuration as JSON that must be the same when training resumes.
    """
    content = {
        "fixed": json.dumps(fixed),
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
    write_atomic(path, buffer.getvalue())


def restore(state: TrainingState, path: Path, fixed: Mapping[str, Any]) -> None:
    """Sets a freshly started state to what was saved.

    No code in the file runs. Raises a ValueError when it is missing, damaged, or of another
    network, optimizer or recipe.
    """
    try:
        with ZipFile(path) as file:
            damaged = file.testzip()  # torch compares no checksums
        if damaged:
            raise ValueError(damaged)
        content = torch.load(path, weights_only=True, map_location="cpu")
    except FileNotFoundError:
        raise ValueError(f"no checkpoint {path} to resume from; train again") from None
    except Exception as error:  # a damaged file makes torch raise nearly anything
        raise ValueError(f"{path} is damaged and holds no training state") from error
    try:
        _require_same(fixed, content["fixed"], path)
        load_weights(state.network, content["network"], path)
        rates = [group["lr"] for group in state.optimizer.param_groups]
        state.optimizer.load_state_dict(content["optimizer"])
        for group, lr in zip(state.optimizer.param_groups, rates, strict=True):
            group["lr"] = lr  # each step sets it anew, at its own address
        if state.average is not None:
            state.average.load_state_dict(content["average"])
        state.totals.copy_(content["totals"])
        state.step = int(content["step"])
        state.validation = tuple(map(float, content["validation"]))
        state.lowest = float(content["lowest"])
        top1_error, loss = map(float, content["best"])
    except Mismatch:
        raise
    except Exception as error:  # whatever stands in the place of what was saved
        raise ValueError(f"{path} is damaged, or the state of another optimizer") from error
    state.best = top1_error, loss


def load_weights(network: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Loads tensors read from `path`. Raises a Mismatch for those of another network."""
    held = {name: tuple(t.shape) for name, t in tensors.items()}
    needed = {name: tuple(t.shape) for name, t in network.state_dict().items()}
    for name in (*needed, *held):
        if held.get(name) != needed.get(name):
            raise Mismatch(
                f"{path} holds the weights of another network: {name} is "
                f"{held.get(name, 'missing')} there and {needed.get(name, 'missing')} here"
            )
    network.load_state_dict(tensors)


def _require_same(fixed: Mapping[str, Any], saved: str, path: Path) -> None:
    now, then = json.loads(json.dumps(fixed)), dict(json.loads(saved))
    for name in (*now, *then):
        if now.get(name) != then.get(name):
            raise Mismatch(
                f"the run has changed since {path} was saved: "
                f"{name} was {then.get(name)} and is {now.get(name)}"
            )
