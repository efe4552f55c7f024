"""A training state to disk and back, bit for bit."""

import io
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from .disk import write
from .loop import State


def save(state: State, path: Path) -> None:
    """Everything: the network, the optimizer, where it stands, and both sources of chance."""
    content = {
        "network": state.network.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "generator": state.generator.get_state(),
        "chance": state.chance,
        "order": state.order,
        "totals": state.totals,
        "step": state.step,
        "best": state.best,
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write(path, buffer.getvalue())


def restore(state: State, path: Path) -> None:
    """Sets a freshly started state to what was saved.

    No code in the file is run. Raises a ValueError when it is missing, damaged, or of another
    network or optimizer.
    """
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
    except FileNotFoundError:
        raise ValueError(f"there is no {path}, so nothing to go on from; train anew") from None
    except Exception as error:  # a damaged file makes torch raise nearly anything
        raise ValueError(f"{path} is damaged: no state of a training can be read") from error
    try:
        fill(state.network, content["network"], path)
        state.optimizer.load_state_dict(content["optimizer"])
        state.generator.set_state(content["generator"])
        state.chance = [chance.byte() for chance in content["chance"]]
        state.order = content["order"].long()
        state.totals.copy_(content["totals"])
        state.step = int(content["step"])
        top1_error, loss = map(float, content["best"])
    except Misfit:
        raise
    except Exception as error:  # whatever stands in the place of what was saved
        raise ValueError(f"{path} is damaged, or the state of another optimizer") from error
    state.best = top1_error, loss


class Misfit(ValueError):
    """These are the weights of another network."""


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
