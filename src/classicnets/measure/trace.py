"""The calls of a network in one forward pass, without values, and why there are none."""

from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from classicnets.support.errors import one_line
from classicnets.support.meta import materialise, meta_copy, needs_values
from classicnets.support.modules import image_dtype

from .recorder import Call, Recorder
from .sizes import explain


@dataclass
class Trace:
    """The calls of one forward pass in order, and what their numbers leave out."""

    calls: list[Call]
    parameters: tuple[Tensor, ...]  # those of the network, without values
    uncounted: tuple[str, ...]  # operators without a counting rule
    fused: tuple[str, ...]  # calls that a device runs as one kernel, which may save other bytes
    single: tuple[str, ...]  # batch normalisations of one value per map, which cannot train
    unused: dict[str, int]  # modules with parameters that no operator read, and how many


def trace(network: nn.Module, size: tuple[int, ...], batch: int) -> Trace:
    """Records one forward pass in training mode over a copy with shapes but no values.

    Where the network returns more than scores in training, a second pass in evaluation mode finds
    the calls that happen in training only. Under autocast the pass is repeated over tensors that
    claim to be on the device, since casts depend on it. Raises a ValueError for images that the
    network cannot take, and for a network that cannot be copied or whose forward reads tensor
    values.
    """
    twin = meta_copy(network).train()
    materialise(twin, (2, *size))
    dtype = image_dtype(twin)
    recorder = Recorder(twin)
    try:
        if device := _record(recorder, (batch, *size), "meta"):
            with FakeTensorMode(allow_non_fake_inputs=True):
                recorder = Recorder(meta_copy(twin, device))
                _record(recorder, (batch, *size), device)
    except Exception as error:
        raise ValueError(_reason(network, (batch, *size), dtype, recorder, error)) from error
    recorder.assign_saved_bytes()
    return Trace(
        recorder.calls,
        tuple(twin.parameters()),
        tuple(sorted(recorder.uncounted)),
        tuple(sorted(recorder.fused)),
        tuple(call.name for call in recorder.single),
        recorder.unused(),
    )


def _record(recorder: Recorder, shape: tuple[int, ...], device: str) -> str:
    """Records a pass over images on a device; returns the one that operators are cast on, or ""."""
    network = recorder.network.train()
    image = torch.empty(*shape, dtype=image_dtype(network), device=device)
    try:
        output = recorder.run(image)
    except RuntimeError as error:
        if "unsupported autocast device_type 'meta'" in str(error):
            return "cpu"
        raise
    if not isinstance(output, Tensor):
        evaluation = Recorder(network.eval())
        evaluation.run(image)
        _mark_training_only(recorder.entered, evaluation.entered)
    return recorder.autocast


def _mark_training_only(training: list[Call], evaluation: list[Call]) -> None:
    """Calls are the same if they call the same for an output of the same shape, as often."""
    left = Counter((call.path, call.output) for call in evaluation)
    for call in training:
        left[call.path, call.output] -= 1
        call.training_only = left[call.path, call.output] < 0


def _reason(
    network: nn.Module,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    recorder: Recorder,
    error: Exception,
) -> str:
    kind = type(network).__name__
    images = "x".join(map(str, shape[1:]))
    if needs_values(error):
        return (
            f"{kind} cannot be measured from shapes alone: its forward reads the values of a "
            f"tensor, or creates one on a fixed device; torch reports {one_line(error)}"
        )
    if "more than 1 value per channel" in str(error):
        layer = recorder.entered[-1].path
        return (
            f"{layer} cannot train on one value per map, from images of {images}; "
            "use a batch of at least 2, or larger images"
        )
    if any(words in str(error) for words in ("calculation overflowed", "Overflow when unpacking")):
        return f"{shape[0]} images of {images} are more than a tensor can hold; use fewer"
    reason = explain(network, shape, dtype) if len(shape) == 4 else ""
    return reason or f"{kind} cannot take images of {images}; its forward raised {one_line(error)}"
