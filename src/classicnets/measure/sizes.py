"""Why a network cannot take an image, in one sentence, for any network.

Sizes are tried on the meta device, where a pass costs milliseconds and no memory.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from classicnets.support.errors import one_line
from classicnets.support.hooks import temporary_hooks
from classicnets.support.meta import image_dtype, meta_copy, needs_values

LARGEST = 4096  # pixels a side; sizes beyond are not searched


def scores_shape(network: nn.Module, shape: Sequence[int]) -> tuple[int, ...] | None:
    """What the network gives, in evaluation mode, for images of this shape (n, c, h, w).

    None if only values could tell. Raises ValueError for images that it cannot take, as `explain`
    says, or when it gives anything but a tensor.

    >>> scores_shape(nn.Sequential(nn.Flatten(), nn.Linear(12, 5)), (2, 3, 2, 2))
    (2, 5)
    """
    if reason := explain(network, shape):
        raise ValueError(reason)
    try:
        twin = meta_copy(network).eval()
    except ValueError:
        return None
    try:
        scores = _forward(twin, shape)
    except Exception as error:
        if needs_values(error):
            return None
        raise ValueError(_failure("the network", shape, one_line(error))) from error
    if not isinstance(scores, Tensor):
        raise ValueError(f"the network gives a {type(scores).__name__}, not a tensor of scores")
    return tuple(scores.shape)


def explain(network: nn.Module, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> str:
    """One sentence on why the network cannot take images of this shape (n, c, h, w), or "".

    It names the layer that cannot work, what that layer got, and the nearest legal sizes. There is
    nothing to say of a network whose way depends on values, or that cannot be copied.
    """
    shape = tuple(shape)
    if len(shape) != 4:
        return (
            f"{_first(network)} reads images of four axes (n, c, h, w), not {len(shape)}: "
            f"{shape}; one image becomes a batch of one with x[None]"
        )
    if not dtype.is_floating_point:
        return (
            f"{_first(network)} reads floating-point images, not {dtype}; "
            "scale the pixels as the recipe says, or convert with x.float()"
        )
    try:
        twin = meta_copy(network)
    except ValueError:
        return ""
    steps = _attempt(twin, shape)
    if not _fits(steps):
        return _sentence(twin, shape, steps)
    if dtype != image_dtype(network):
        return (
            f"{_first(network)} has weights of {image_dtype(network)} and got images of {dtype}; "
            f"convert them with x.to({image_dtype(network)})"
        )
    return ""


class _Step(NamedTuple):
    """A layer of one pass: what went in and what came out, None where it failed."""

    name: str
    layer: nn.Module
    got: tuple[int, ...]
    gave: tuple[int, ...] | None
    error: str = ""


def _fits(steps: list[_Step]) -> bool:
    return not steps or steps[-1].gave is not None


def _forward(twin: nn.Module, shape: Sequence[int]) -> Any:
    with torch.no_grad(), torch.device("meta"):  # also for tensors that a forward makes
        return twin(torch.empty(*shape, dtype=image_dtype(twin)))


def _attempt(twin: nn.Module, shape: Sequence[int]) -> list[_Step]:
    """The layers of one pass in order of completion; the last is the one that failed, if any."""
    names = {layer: name for name, layer in twin.named_modules()}
    entered: list[tuple[nn.Module, tuple[int, ...]]] = [(twin, tuple(shape))]
    steps: list[_Step] = []

    def enter(layer: nn.Module, args: tuple) -> None:
        entered.append((layer, tuple(args[0].shape) if args and hasattr(args[0], "shape") else ()))

    def leave(layer: nn.Module, args: tuple, out: object) -> None:
        _, got = entered.pop()
        steps.append(_Step(names[layer], layer, got, tuple(getattr(out, "shape", ()))))

    hooks = (
        handle
        for layer in names
        for handle in (
            layer.register_forward_pre_hook(enter),
            layer.register_forward_hook(leave),
        )
    )
    try:
        with temporary_hooks(hooks):
            # two images: batch normalisation refuses to train on a single value
            _forward(twin, (2, *shape[1:]))
    except Exception as error:
        if needs_values(error):
            return []
        layer, got = entered[-1]
        steps.append(_Step(names[layer] or "the network", layer, got, None, one_line(error)))
    return steps


def _sentence(twin: nn.Module, shape: Sequence[int], steps: list[_Step]) -> str:
    _, c, h, w = shape
    failed = steps[-1]
    images = f"from images of {c}x{h}x{w}"
    channels = getattr(failed.layer, "in_channels", None)
    if channels and len(failed.got) == 4 and failed.got[1] != channels:
        got, s = failed.got[1], "s" * (channels > 1)
        remedy = f"; give it {channels}-channel images, or build the network with channels={c}"
        return (
            f"{failed.name} reads {channels} channel{s} and got {got}, {images}"
            f"{remedy * (got == c)}"
        )
    complaint = _complaint(shape, steps)
    if not complaint:
        return _failure(failed.name, shape, failed.error)
    lowest, highest = _legal_sides(twin, c)
    if lowest > highest:
        return f"{complaint}, {images}; no square image would do"
    nearest = min(max(min(h, w), lowest), highest)
    offer = f"the nearest legal size is {c}x{nearest}x{nearest}"
    if highest == LARGEST:
        offer += f" (any side from {lowest} will do)"
    elif highest > lowest:
        offer += f" (any side from {lowest} to {highest} will do)"
    return f"{complaint}, {images}; {_cause(twin, shape, steps, nearest)}{offer}"


def _complaint(shape: Sequence[int], steps: list[_Step]) -> str:
    """What a layer with a size of its own lacks; "" where another size of image need not help."""
    name, layer, got, *_ = steps[-1]
    if isinstance(layer, nn.Linear) and got and got[-1] != layer.in_features:
        seen = (maps for s in reversed(steps) for maps in (s.gave, s.got) if maps)
        maps, *sides = next((m for m in seen if len(m) == 4), shape)[1:]
        flat = got[-1] == math.prod((maps, *sides))
        side = math.isqrt(layer.in_features // maps)
        whole = flat and maps * side * side == layer.in_features
        return (
            f"{name} needs {layer.in_features} values{' an image' * (len(got) == 2)}"
            f"{f' ({maps}x{side}x{side})' * whole} and got {got[-1]}"
            f"{f' ({maps}x{sides[0]}x{sides[1]})' * flat}"
        )
    if min(_places(steps[-1]), default=1) < 1:
        k, *_ = _window(layer)
        return f"the {k[0]}x{k[1]} window of {name} does not fit into {got[2]}x{got[3]} pixels"
    return ""


def _failure(name: str, shape: Sequence[int], error: str) -> str:
    return f"{name}'s forward fails on images of {'x'.join(map(str, shape[1:]))}: {error}"


def _cause(twin: nn.Module, shape: Sequence[int], steps: list[_Step], nearest: int) -> str:
    """The first layer whose arithmetic leaves a remainder that the nearest legal size does not."""
    legal = {s.name: s for s in _attempt(twin, (*shape[:2], nearest, nearest))}
    for step in steps:
        fits = legal.get(step.name)
        places = _places(step)
        if step is steps[-1] or not fits or not places or getattr(step.layer, "ceil_mode", False):
            continue
        k, s, p, _ = (sides[0] for sides in _window(step.layer))
        if s > 1 and abs(fits.got[2] - step.got[2]) >= s:
            return ""  # more is missing than a remainder
        if places[0].is_integer() or not _places(fits)[0].is_integer():
            continue
        padded = f" + 2*{p}" if p else ""
        remainder = (
            f"at {step.name} ({step.got[2]}{padded} - {k}) / {s} + 1 = {places[0]:g} "
            "is no whole number; "
        )
        padding = _padding_that_fits(twin, shape, step.layer)
        return remainder + (f"padding {padding} at {step.name} would do, or " if padding else "")
    return ""


def _padding_that_fits(twin: nn.Module, shape: Sequence[int], layer: nn.Module) -> int | None:
    if not isinstance(layer, nn.Conv2d):
        return None
    as_built = layer.padding
    for padding in range(_pair(as_built)[0] + 1, layer.kernel_size[0] // 2 + 1):
        layer.padding = (padding, padding)
        if _fits(_attempt(twin, shape)):
            layer.padding = as_built
            return padding
    layer.padding = as_built
    return None


def _window(layer: nn.Module) -> tuple[tuple[int, int], ...]:
    """The kernel, stride, padding and dilation of a layer that slides a window, or nothing."""
    kernel = getattr(layer, "kernel_size", None)
    if kernel is None or getattr(layer, "transposed", False):
        return ()
    stride = getattr(layer, "stride", None) or kernel
    padding, dilation = getattr(layer, "padding", 0), getattr(layer, "dilation", 1)
    return tuple(map(_pair, (kernel, stride, padding, dilation)))


def _places(step: _Step) -> tuple[float, ...]:
    """How many places a window has along each side of its maps; whole if no pixel is left over."""
    window = _window(step.layer)
    if not window or len(step.got) != 4:
        return ()
    return tuple(
        (side + 2 * p - d * (k - 1) - 1) / s + 1
        for side, k, s, p, d in zip(step.got[2:], *window, strict=True)
    )


def _legal_sides(twin: nn.Module, channels: int) -> tuple[int, int]:
    """The smallest and the largest square the network takes; the first exceeds the second if none.

    Maps never shrink when the image grows, so halving the interval finds both ends.
    """

    def too_small_or_large(side: int) -> int:
        steps = _attempt(twin, (1, channels, side, side))
        if _fits(steps):
            return 0
        failed = steps[-1]
        if isinstance(failed.layer, nn.Linear) and failed.got[-1] > failed.layer.in_features:
            return 1
        return -1

    sides = range(1, LARGEST + 1)
    return (
        bisect_left(sides, 0, key=too_small_or_large) + 1,
        bisect_right(sides, 0, key=too_small_or_large),
    )


def _first(network: nn.Module) -> str:
    """The name of the first layer that has weights, as far as it has one."""
    names = (name.rpartition(".")[0] for name, _ in network.named_parameters())
    return next(names, "") or "the network"


def _pair(value: int | tuple[int, ...] | str) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    return (0, 0) if isinstance(value, str) else (value[0], value[-1])
