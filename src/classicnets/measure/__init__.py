"""Measuring a network layer by layer, in one forward pass that computes shapes but no values."""

from collections.abc import Callable

from torch import nn

from .memory import TrainingMemory, training_memory
from .receptive_field import ReceptiveField
from .recorder import Call
from .report import Layer, Pixels, Report, Stage
from .trace import trace

__all__ = ["Layer", "Report", "Stage", "TrainingMemory", "measure"]


def measure(
    network: nn.Module,
    size: tuple[int, ...],
    batch: int = 1,
    name: str = "",
    optimizer_copies: int = 1,
) -> Report:
    """The shape, parameters, arithmetic, memory and receptive field of every layer.

    Works on any module and leaves it unchanged: the forward pass runs in training mode on a copy
    without values. `size` is that of one image, (c, h, w); operations and bytes are for the whole
    batch. `optimizer_copies` is the number of values the optimizer stores per weight: 1 for
    momentum, 2 for Adam.
    Raises a ValueError for images that the network cannot take, and for a network that cannot be
    copied or whose forward reads tensor values.

    >>> measure(nn.Conv2d(3, 8, 5), (3, 32, 32)).totals.macs == 8 * 28 * 28 * 3 * 5 * 5
    True
    """
    if batch < 1:
        raise ValueError(f"batch must be at least 1 image, not {batch}")
    if not size or min(size) < 1:
        raise ValueError(f"size must be that of one image, such as (3, 224, 224), not {size}")
    traced = trace(network, size, batch)
    if all(call.training_only for call in traced.calls):
        raise ValueError(f"{type(network).__name__} runs no operator on an image of {size}")
    saved = sum(call.saved_bytes for call in traced.calls)
    return Report(
        name=name or type(network).__name__,
        input=tuple(size),
        batch=batch,
        layers=tuple(_layer(call, batch) for call in traced.calls if not call.training_only),
        training_only=tuple(_layer(call, batch) for call in traced.calls if call.training_only),
        training_memory=training_memory(traced.parameters, saved, optimizer_copies),
        optimizer_copies=optimizer_copies,
        uncounted=traced.uncounted,
        fused=traced.fused,
        single=traced.single,
        unused=traced.unused,
    )


def _layer(call: Call, batch: int) -> Layer:
    return Layer(
        name=call.name,
        type=call.type,
        output=call.output[1:] if call.output[:1] == (batch,) else call.output,
        params=call.params,
        **vars(call.cost),
        activation_bytes=call.activation_bytes,
        saved_bytes=call.saved_bytes,
        parameter_bytes=call.parameter_bytes,
        receptive_field=_pixels(call, lambda f: f.hi - f.lo + 1),
        smallest_receptive_field=_pixels(call, lambda f: f.smallest_hi - f.smallest_lo + 1),
        stride=_pixels(call, lambda f: f.stride),
        offset=_pixels(call, lambda f: f.lo),
    )


def _pixels(call: Call, value: Callable[[ReceptiveField], int]) -> Pixels:
    """One number where all sides of the image agree, else one per side."""
    sides = tuple(value(f) for f in call.fields or ())
    return sides[0] if len(set(sides)) == 1 else sides or None
