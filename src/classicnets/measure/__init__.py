"""Reading a network layer by layer, from one pass that computes shapes and no values."""

from collections.abc import Callable

from torch import nn

from .memory import TrainingMemory, training_memory
from .receptive_field import Field
from .report import Layer, Pixels, Report, Stage
from .trace import Call, watch

__all__ = ["Layer", "Report", "Stage", "TrainingMemory", "measure"]


def measure(
    network: nn.Module,
    size: tuple[int, ...],
    batch: int = 1,
    name: str = "",
    optimizer_copies: int = 1,
) -> Report:
    """Every layer's shape, parameters, arithmetic, memory and receptive field.

    Works on any module, and leaves it as it is: the pass runs in training mode over a copy without
    values. `size` is one image's, (c, h, w); operations and bytes are for the whole batch.
    `optimizer_copies` is what the optimizer holds for each weight: 1 for momentum, 2 for Adam.
    Raises ValueError for images that the network cannot take, and for a network that needs values
    or cannot be copied.

    >>> measure(nn.Conv2d(3, 8, 5), (3, 32, 32)).totals.macs == 8 * 28 * 28 * 3 * 5 * 5
    True
    """
    if batch < 1:
        raise ValueError(f"batch must be at least 1 image, not {batch}")
    if not size or min(size) < 1:
        raise ValueError(f"size must be that of one image, such as (3, 224, 224), not {size}")
    seen = watch(network, size, batch)
    if not seen.calls:
        raise ValueError(f"{type(network).__name__} does nothing with an image of {size}")
    kept = sum(call.saved_bytes for call in seen.calls)
    return Report(
        name=name or type(network).__name__,
        input=tuple(size),
        batch=batch,
        layers=tuple(_layer(call, batch) for call in seen.calls if not call.training_only),
        training_only=tuple(_layer(call, batch) for call in seen.calls if call.training_only),
        training_memory=training_memory(network.parameters(), kept, optimizer_copies),
        optimizer_copies=optimizer_copies,
        uncounted=seen.uncounted,
        fused=seen.fused,
        unused=seen.unused,
    )


def _layer(call: Call, batch: int) -> Layer:
    of_one = call.output[1:] if call.output[:1] == (batch,) else call.output
    return Layer(
        name=call.name,
        type=call.type,
        output=of_one,
        params=call.params,
        **vars(call.cost),
        activation_bytes=call.activation_bytes,
        saved_bytes=call.saved_bytes,
        parameter_bytes=call.parameter_bytes,
        receptive_field=_pixels(call, lambda f: f.hi - f.lo + 1),
        smallest_receptive_field=_pixels(call, lambda f: f.near_hi - f.near_lo + 1),
        stride=_pixels(call, lambda f: f.step),
        offset=_pixels(call, lambda f: f.lo),
    )


def _pixels(call: Call, of: Callable[[Field], int]) -> Pixels:
    """One number where all sides agree, a number for each where they differ."""
    sides = tuple(of(f) for f in call.fields or ())
    return sides[0] if len(set(sides)) == 1 else sides or None
