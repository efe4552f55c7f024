"""How many images a training step has memory for."""

import math

from torch import nn

from classicnets.measure import measure
from classicnets.support.devices import DTYPES

USABLE = 0.8  # of the free memory; operators need the rest as workspace


def largest_batch(
    network: nn.Module,
    shape: tuple[int, int, int],
    free: float,
    precision: str = "fp32",
    copies: int = 1,
) -> float:
    """The largest batch of images of `shape` (c, h, w) that a training step fits in `free` bytes.

    The optimizer keeps `copies` values per weight. In bf16 the activations saved for backward take
    half as much. Infinite where it is unknown: for a network that cannot be measured, such as one
    whose forward depends on values or that has sparse tensors, or unknown free memory.
    """
    try:
        one = measure(network, shape, optimizer_copies=copies).training_memory
    except (ValueError, RuntimeError):
        return math.inf
    if math.isinf(free) or not one.activations:
        return math.inf
    room = USABLE * free - (one.total - one.activations)
    return max(0.0, room // (one.activations * DTYPES[precision].itemsize / 4))


def accumulation_steps(
    network: nn.Module,
    shape: tuple[int, int, int],
    batch: int,
    free: float,
    precision: str,
    copies: int = 1,
) -> tuple[int, str]:
    """The fewest accumulation steps that fit in memory; and the figures, where that is not one."""
    largest = largest_batch(network, shape, free, precision, copies)
    if batch <= largest:
        return 1, ""
    whole = measure(network, shape, batch, optimizer_copies=copies).training_memory
    need = (whole.total - whole.activations * (1 - DTYPES[precision].itemsize / 4)) / 2**30
    why = f"the whole batch needs {need:.1f} GiB, {free / 2**30:.1f} are free"
    why += f"; the largest batch that fits is {largest:.0f}" if largest else "; not one image fits"
    return min(batch, math.ceil(batch / max(largest, 1))), why
