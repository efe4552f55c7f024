"""One-sentence explanations of why a network cannot take an image of some size.

Sizes are tried on the meta device, where a forward pass takes milliseconds and no memory.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from classicnets.support.errors import one_line
from classicnets.support.hooks import temporary_hooks
from classicnets.support.meta import meta_copy, needs_values
from classicnets.support.modules import image_dtype

LARGEST = 4096  # pixels per side, the end of the search for legal sizes


def scores_shape(network: nn.Module, shape: Sequence[int]) -> tuple[int, ...] | None:
    """The shape of the network's scores, in evaluation mode, for images of shape (n, c, h, w).

    None if it depends on values. Raises a ValueError for images that the network cannot take, with
    the reason that `explain` gives, and for an output that is not a tensor.

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
        raise ValueError(f"the network returns a {type(scores).__name__}, not a tensor of scores")
    return tuple(scores.shape)


def explain(network: nn.Module, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> str:
    """One sentence on why the network cannot take images of this shape (n, c, h, w), or "".

    It names the layer that fails, the input that layer got, and the nearest legal sizes. It is ""
    for a network whose forward depends on values, or that cannot be copied.
    """
    shape = tuple(shape)
    if len(shape) != 4:
        return (
            f"{_first(network)} reads images of four dimensions (n, c, h, w), not {len(shape)}: "
            f"{shape}; turn one image into a batch with x[None]"
        )
    if not dtype.is_floating_point:
        return (
            f"{_first(network)} reads floating-point images, not {dtype}; "
            "scale the pixels as the recipe does, or convert with x.float()"
        )
    try:
        twin = meta_copy(network)
    except ValueError:
        return ""
    calls = _attempt(twin, shape)
    if not _fits(calls):
        return _sentence(twin, shape, calls)
    if dtype != image_dtype(network):
        return (
            f"{_first(network)} has weights of {image_dtype(network)} and got images of {dtype}; "
            f"convert them with x.to({image_dtype(network)})"
        )
    return ""


class _Call(NamedTuple):
    """A layer of one forward pass: the shapes of its input and output, None where it failed."""

    name: str
    layer: nn.Module
    input: tuple[int, ...]
    output: tuple[int, ...] | None
    error: str = ""


def _fits(calls: list[_Call]) -> bool:
    return not calls or calls[-1].output is not None


def _forward(twin: nn.Module, shape: Sequence[int]) -> Any:
    with torch.no_grad(), torch.device("meta"):  # also for tensors that a forward creates
        return twin(torch.empty(*shape, dtype=image_dtype(twin)))


def _attempt(twin: nn.Module, shape: Sequence[int]) -> list[_Call]:
    """The layers of a forward pass in order of completion, ending with the one that failed."""
    names = {layer: name for name, layer in twin.named_modules()}
    entered: list[tuple[nn.Module, tuple[int, ...]]] = [(twin, tuple(shape))]
    calls: list[_Call] = []

    def enter(layer: nn.Module, args: tuple) -> None:
        entered.append((layer, tuple(args[0].shape) if args and hasattr(args[0], "shape") else ()))

    def leave(layer: nn.Module, args: tuple, out: object) -> None:
        _, got = entered.pop()
        calls.append(_Call(names[layer], layer, got, tuple(getattr(out, "shape", ()))))

    hooks = [layer.register_forward_pre_hook(enter) for layer in names]
    hooks += [layer.register_forward_hook(leave) for layer in names]
    try:
        with temporary_hooks(hooks):
            # two images: batch normalisation refuses to train on a single value
            _forward(twin, (2, *shape[1:]))
    except Exception as error:
        if needs_values(error):
            return []
        layer, got = entered[-1]
        calls.append(_Call(names[layer] or "the network", layer, got, None, one_line(error)))
    return calls


def _sentence(twin: nn.Module, shape: Sequence[int], calls: list[_Call]) -> str:
    _, c, h, w = shape
    failed = calls[-1]
    images = f"from images of {c}x{h}x{w}"
    channels = getattr(failed.layer, "in_channels", None)
    if channels and len(failed.input) == 4 and failed.input[1] != channels:
        got, s = failed.input[1], "s" * (channels > 1)
        remedy = f"; give it {channels}-channel images, or build the network with channels={c}"
        return (
            f"{failed.name} reads {channels} channel{s} and got {got}, {images}"
            f"{remedy * (got == c)}"
        )
    problem = _problem(shape, calls)
    if not problem:
        return _failure(failed.name, shape, failed.error)
    lowest, highest = _legal_sides(twin, c)
    if lowest > highest:
        return f"{problem}, {images}; no square image fits"
    nearest = min(max(min(h, w), lowest), highest)
    remedy = f"the nearest legal size is {c}x{nearest}x{nearest}"
    if highest == LARGEST:
        remedy += f" (any side from {lowest} fits)"
    elif highest > lowest:
        remedy += f" (any side from {lowest} to {highest} fits)"
    return f"{problem}, {images}; {_cause(twin, shape, calls, nearest)}{remedy}"


def _problem(shape: Sequence[int], calls: list[_Call]) -> str:
    """Why the last layer does not fit its input; "" where another image size may not help."""
    name, layer, got, *_ = calls[-1]
    if isinstance(layer, nn.Linear) and got and got[-1] != layer.in_features:
        shapes = (maps for s in reversed(calls) for maps in (s.output, s.input) if maps)
        maps, *sides = next((m for m in shapes if len(m) == 4), shape)[1:]
        flat = got[-1] == math.prod((maps, *sides))
        side = math.isqrt(layer.in_features // maps)
        whole = flat and maps * side * side == layer.in_features
        return (
            f"{name} needs {layer.in_features} values{' per image' * (len(got) == 2)}"
            f"{f' ({maps}x{side}x{side})' * whole} and got {got[-1]}"
            f"{f' ({maps}x{sides[0]}x{sides[1]})' * flat}"
        )
    if min(_positions(calls[-1]), default=1) < 1:
        k, *_ = _window(layer)
        return f"the {k[0]}x{k[1]} window of {name} does not fit into {got[2]}x{got[3]} pixels"
    return ""


def _failure(name: str, shape: Sequence[int], error: str) -> str:
    return f"{name}'s forward fails on images of {'x'.join(map(str, shape[1:]))}: {error}"


def _cause(twin: nn.Module, shape: Sequence[int], calls: list[_Call], nearest: int) -> str:
    """The first layer whose arithmetic leaves a remainder that the nearest legal size does not."""
    legal = {s.name: s for s in _attempt(twin, (*shape[:2], nearest, nearest))}
    for call in calls:
        fits = legal.get(call.name)
        positions = _positions(call)
        rounds_up = getattr(call.layer, "ceil_mode", False)
        if call is calls[-1] or not fits or not positions or rounds_up:
            continue
        k, s, p, _ = (sides[0] for sides in _window(call.layer))
        if s > 1 and abs(fits.input[2] - call.input[2]) >= s:
            return ""  # the size is off by more than a remainder
        if positions[0].is_integer() or not _positions(fits)[0].is_integer():
            continue
        padded = f" + 2*{p}" if p else ""
        remainder = (
            f"at {call.name} ({call.input[2]}{padded} - {k}) / {s} + 1 = {positions[0]:g} "
            "is not a whole number; "
        )
        padding = _padding_that_fits(twin, shape, call.layer)
        return remainder + (f"padding {padding} at {call.name} would fit; " if padding else "")
    return ""


def _padding_that_fits(twin: nn.Module, shape: Sequence[int], layer: nn.Module) -> int | None:
    if not isinstance(layer, nn.Conv2d):
        return None
    as_built = layer.padding
    try:
        for padding in range(_pair(as_built)[0] + 1, layer.kernel_size[0] // 2 + 1):
            layer.padding = (padding, padding)
            if _fits(_attempt(twin, shape)):
                return padding
        return None
    finally:
        layer.padding = as_built


def _window(layer: nn.Module) -> tuple[tuple[int, int], ...]:
    """The kernel, stride, padding and dilation of a layer with a sliding window, else ()."""
    kernel = getattr(layer, "kernel_size", None)
    if kernel is None or getattr(layer, "transposed", False):
        return ()
    stride = getattr(layer, "stride", None) or kernel
    padding, dilation = getattr(layer, "padding", 0), getattr(layer, "dilation", 1)
    return tuple(map(_pair, (kernel, stride, padding, dilation)))


def _positions(call: _Call) -> tuple[float, ...]:
    """The positions of a window along each side of its maps; whole where no pixel is left over."""
    window = _window(call.layer)
    if not window or len(call.input) != 4:
        return ()
    return tuple(
        (side + 2 * p - d * (k - 1) - 1) / s + 1
        for side, k, s, p, d in zip(call.input[2:], *window, strict=True)
    )


def _legal_sides(twin: nn.Module, channels: int) -> tuple[int, int]:
    """The smallest and the largest side of a square image that fits; smallest > largest if none.

    Maps never shrink when the image grows, so bisection finds both ends.
    """

    def too_small_or_large(side: int) -> int:
        calls = _attempt(twin, (1, channels, side, side))
        if _fits(calls):
            return 0
        failed = calls[-1]
        if isinstance(failed.layer, nn.Linear) and failed.input[-1] > failed.layer.in_features:
            return 1
        return -1

    sides = range(1, LARGEST + 1)
    return (
        bisect_left(sides, 0, key=too_small_or_large) + 1,
        bisect_right(sides, 0, key=too_small_or_large),
    )


def _first(network: nn.Module) -> str:
    """The name of the first layer with weights, or "the network"."""
    names = (name.rpartition(".")[0] for name, _ in network.named_parameters())
    return next(names, "") or "the network"


def _pair(value: int | tuple[int, ...] | str) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    return (0, 0) if isinstance(value, str) else (value[0], value[-1])
