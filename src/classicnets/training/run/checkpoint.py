"""A training state to disk and back, bit for bit."""

import io
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import ZipFile

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from classicnets.support.errors import plain_reason
from classicnets.support.files import open_named, write_atomic
from classicnets.support.tensors import find_difference, find_not_finite
from classicnets.training.recipe.optimizers import CaffeSGDOptimizer, DiagonalLevenbergMarquardt
from classicnets.training.recipe.serialization import parse_json

from .state import TrainingState

# they keep tensors of the shapes of their parameters, and Adam a count of steps
KNOWN = (torch.optim.SGD, torch.optim.Adam, CaffeSGDOptimizer, DiagonalLevenbergMarquardt)
ADAM = {"step", "exp_avg", "exp_avg_sq"}


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
        "first_lr": state.first_lr,
        "validation": state.validation,
        "lowest": state.lowest,
        "best": state.best,
        "waited": state.waited,
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_atomic(path, buffer.getvalue())


def _load(file: BinaryIO, path: Path) -> dict[str, Any]:
    try:
        with ZipFile(file) as archive:
            damaged = archive.testzip()  # torch compares no checksums
        if damaged:
            raise ValueError(damaged)
        file.seek(0)
        return torch.load(file, weights_only=True, map_location="cpu")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {plain_reason(error)}") from error
    except Exception as error:  # a damaged file makes torch raise nearly anything
        raise ValueError(f"{path} is damaged and holds no training state") from error


def restore(state: TrainingState, path: Path, fixed: Mapping[str, Any]) -> None:
    """Sets a freshly started state to what was saved.

    No code in the file runs. Raises a ValueError when it is missing, damaged, or of another
    network, optimizer or recipe.
    """
    try:
        with open_named(path) as file:
            content = _load(file, path)
    except FileNotFoundError:
        raise ValueError(f"no checkpoint {path} to resume from; train again") from None
    try:
        _require_same(fixed, content["fixed"], path)
        load_weights(state.network, content["network"], path)
        _require_optimizer(content["optimizer"]["state"], state.optimizer)
        rates = [group["lr"] for group in state.optimizer.param_groups]
        # the groups are the recipe's, as built
        state.optimizer.load_state_dict(
            {**state.optimizer.state_dict(), "state": content["optimizer"]["state"]}
        )
        for group, lr in zip(state.optimizer.param_groups, rates, strict=True):
            group["lr"] = lr  # each step sets it anew, at its own address
        if state.average is not None:
            load_weights(state.average, content["average"], path)
        totals = ({"totals": one} for one in (content["totals"], state.totals))
        _require(find_difference(*totals) == ("", "") and bool(content["totals"].isfinite().all()))
        content.setdefault("waited", 0)  # in a checkpoint of an older version
        for count in ("step", "waited"):
            _require(type(content[count]) is int and content[count] >= 0)
        errors = (*content["validation"], content["lowest"], *content["best"])
        _require(all(isinstance(error, float) and not math.isnan(error) for error in errors))
        _require(len(content["best"]) == 2)
        _require(isinstance(content["first_lr"], float) and math.isfinite(content["first_lr"]))
    except Mismatch:
        raise
    except Exception as error:  # whatever stands in the place of what was saved
        raise ValueError(f"{path} is damaged, or the state of another optimizer") from error
    state.totals.copy_(content["totals"])
    state.step, state.lowest = content["step"], content["lowest"]
    state.waited = content["waited"]
    state.first_lr = content["first_lr"]
    state.validation, state.best = tuple(content["validation"]), tuple(content["best"])


def load_weights(
    network: nn.Module,
    tensors: Mapping[str, Tensor],
    path: Path,
    assign: bool = False,
    finite: bool = False,
) -> None:
    """Loads tensors read from `path`, or `assign`s them to a network whose own values do not count,
    as they may be whatever lay in memory; `finite` says that the tensors are known to be.

    Raises a Mismatch for those of another network, other tables of indices in our own layers, and
    values that are not finite.
    """
    own = network.state_dict()
    name, difference = find_difference(tensors, own)
    if name:
        raise Mismatch(f"{path} holds the weights of another network: {name} {difference}")
    for name in _tables(network):
        if not torch.equal(tensors[name], own[name].to(tensors[name].device)):
            raise Mismatch(f"{path} is damaged: {name} is not the table of indices of the network")
    if not finite and (name := find_not_finite(tensors, {} if assign else own)):
        raise Mismatch(f"{path} is damaged: {name} holds NaN or infinite values")
    network.load_state_dict(tensors, assign=assign)


def _tables(network: nn.Module) -> Iterator[str]:
    """The buffers of whole numbers in this package's layers, but for counts; they never change."""
    for name, module in network.named_modules():
        if type(module).__module__.startswith("classicnets."):
            for key, buffer in module.named_buffers(name, recurse=False):
                if not buffer.is_floating_point() and buffer.ndim:
                    yield key


def _require_optimizer(saved: Mapping[int, Mapping[str, Any]], optimizer: Optimizer) -> None:
    """Raises where tensors are not what our optimizers keep of parameters; torch would cast."""
    if not isinstance(optimizer, KNOWN):
        return
    parameters = [(p, group) for group in optimizer.param_groups for p in group["params"]]
    for index, values in saved.items():
        of, group = parameters[index]
        if isinstance(optimizer, torch.optim.SGD) and group["momentum"]:
            # a step would stumble over that of some parameters only
            _require(values.get("momentum_buffer") is not None)
        _require(not isinstance(optimizer, torch.optim.Adam) or values.keys() == ADAM)
        for name, value in values.items():
            if value is not None:
                _require(value.is_floating_point() or value.dtype == of.dtype)
                _require(value.shape == (torch.Size() if name == "step" else of.shape))
                _require(not value.isnan().any())
                _require(name not in ("step", "exp_avg_sq") or bool((value >= 0).all()))


def _require(condition: bool) -> None:
    if not condition:
        raise ValueError


def _require_same(fixed: Mapping[str, Any], saved: str, path: Path) -> None:
    now, then = json.loads(json.dumps(fixed)), dict(parse_json(saved))
    for name in now:
        if name in then and now[name] != then[name]:  # an older version may know of fewer
            raise Mismatch(
                f"the run has changed since {path} was saved: "
                f"{name} was {then[name]} and is {now[name]}"
            )
