"""A training state to disk and back, bit for bit."""

import io
import pickle
from pathlib import Path

import torch

from .disk import write
from .loop import State


def save(state: State, path: Path) -> None:
    """Everything: the network, the optimizer, where it stands, and both sources of chance."""
    content = {
        "network": state.network.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "generator": state.generator.get_state(),
        "order": state.order,
        "totals": state.totals,
        "step": state.step,
        "best": state.best,
        "chance": torch.get_rng_state(),  # dropout draws from here, or from the next line
        "chance_on_gpus": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write(path, buffer.getvalue())


def restore(state: State, path: Path) -> None:
    """Sets a freshly started state, and torch's own chance, to what was saved.

    No code in the file is run. Raises a ValueError when it is missing, damaged, or of another
    network or optimizer.
    """
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
        state.network.load_state_dict(content["network"])
        state.optimizer.load_state_dict(content["optimizer"])
        state.generator.set_state(content["generator"])
        state.order, state.totals = content["order"], content["totals"].to(state.totals.device)
        state.step, state.best = content["step"], tuple(content["best"])
        torch.set_rng_state(content["chance"])
        if len(content["chance_on_gpus"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(content["chance_on_gpus"])
    except FileNotFoundError:
        raise ValueError(
            f"there is no {path}; the run was stopped before its first epoch"
        ) from None
    except (
        RuntimeError,
        ValueError,
        KeyError,
        TypeError,
        EOFError,
        pickle.UnpicklingError,
    ) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path} is damaged or of another network: {reason}") from error
