"""Why a network cannot take an image, in one sentence, for any network.

Sizes are tried on the meta device, where a pass costs milliseconds and no memory.
"""

import copy
import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

LARGEST = 4096  # pixels a side; sizes beyond are not searched


def meta_copy(network: nn.Module) -> nn.Module:
    """The same network with tensors that have shapes but no values; nothing is allocated."""
    meta: dict[int, Tensor] = {
        id(p): nn.Parameter(p.detach().to("meta"), p.requires_grad) for p in network.parameters()
    }
    meta |= {id(b): b.to("meta") for b in network.buffers()}
    return copy.deepcopy(network, {**meta})


def explain(network: nn.Module, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> str:
    """One sentence on why the network cannot take images of this shape (n, c, h, w), or "".

    It names the layer that cannot work, what that layer got, and the nearest legal sizes.
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
    twin = meta_copy(network)
    steps = _attempt(twin, shape)
    if not _fits(steps):
        return _sentence(twin, shape, steps)
    if dtype != _dtype(network):
        return (
            f"{_first(network)} has weights of {_dtype(network)} and got images of {dtype}; "
            f"convert them with x.to({_dtype(network)})"
        )
    return ""


class _Step(NamedTuple):
    """A layer of one pass: what went in and what came out, None where it failed."""

    name: str
    layer: nn.Module
    got: tuple[int, ...]
    gave: tuple[int, ...] | None


def _fits(steps: list[_Step]) -> bool:
    return not steps or steps[-1].gave is not None


def _attempt(twin: nn.Module, shape: Sequence[int]) -> list[_Step]:
    """The layers of one pass in order of completion; the last is the one that failed, if any."""
    names = {layer: name for name, layer in twin.named_modules()}
    entered: list[tuple[nn.Module, tuple[int, ...]]] = []
    steps: list[_Step] = []

    def enter(layer: nn.Module, args: tuple) -> None:
        entered.append((layer, tuple(args[0].shape) if args and hasattr(args[0], "shape") else ()))

    def leave(layer: nn.Module, args: tuple, out: object) -> None:
        _, got = entered.pop()
        steps.append(_Step(names[layer], layer, got, tuple(getattr(out, "shape", ()))))

    hooks = [
        handle
        for layer in names
        for handle in (
            layer.register_forward_pre_hook(enter),
            layer.register_forward_hook(leave),
        )
    ]
    try:
        # two images: batch normalisation refuses to train on a single value
        with torch.no_grad():
            twin(torch.empty(2, *shape[1:], dtype=_dtype(twin), device="meta"))
    except NotImplementedError:  # control flow that needs values; nothing can be said
        return []
    except RuntimeError:
        layer, got = entered[-1]
        steps.append(_Step(names[layer] or "the network", layer, got, None))
    finally:
        for hook in hooks:
            hook.remove()
    return steps


def _sentence(twin: nn.Module, shape: Sequence[int], steps: list[_Step]) -> str:
    _, c, h, w = shape
    failed = steps[-1]
    images = f"from images of {c}x{h}x{w}"
    channels = getattr(failed.layer, "in_channels", None)
    if channels and len(failed.got) == 4 and failed.got[1] != channels:
        return (
            f"{failed.name} reads {channels} channel{'s' * (channels > 1)} "
            f"and got {failed.got[1]}, {images}; "
            f"give it {channels}-channel images, or build the network with channels={c}"
        )
    lowest, highest = _legal_sides(twin, c)
    if lowest > highest:
        return f"{_complaint(failed, steps)}, {images}; no square image would do"
    nearest = min(max(min(h, w), lowest), highest)
    offer = f"the nearest legal size is {c}x{nearest}x{nearest}"
    if highest == LARGEST:
        offer += f" (any side from {lowest} will do)"
    elif highest > lowest:
        offer += f" (any side from {lowest} to {highest} will do)"
    return f"{_complaint(failed, steps)}, {images}; {_cause(twin, shape, steps, nearest)}{offer}"


def _complaint(failed: _Step, steps: list[_Step]) -> str:
    if isinstance(failed.layer, nn.Linear):
        maps, *sides = next(s.gave for s in reversed(steps) if s.gave and len(s.gave) == 4)[1:]
        needed, side = failed.layer.in_features, math.isqrt(failed.layer.in_features // maps)
        wanted = f" ({maps}x{side}x{side})" if maps * side * side == needed else ""
        got = f"{failed.got[-1]} ({maps}x{sides[0]}x{sides[1]})"
        return f"{failed.name} needs {needed} values an image{wanted} and got {got}"
    if (kernel := getattr(failed.layer, "kernel_size", None)) is not None:
        k, got = _pair(kernel), failed.got[-2:]
        return (
            f"the {k[0]}x{k[1]} window of {failed.name} does not fit into {got[0]}x{got[1]} pixels"
        )
    return f"{failed.name} cannot work on maps of {'x'.join(map(str, failed.got[1:]))}"


def _cause(twin: nn.Module, shape: Sequence[int], steps: list[_Step], nearest: int) -> str:
    """The first layer whose arithmetic leaves a remainder that the nearest legal size does not."""
    legal = {s.name: s for s in _attempt(twin, (*shape[:2], nearest, nearest))}
    for step in steps:
        rounds_down = hasattr(step.layer, "kernel_size") and not getattr(step.layer, "ceil_mode", 0)
        if step is steps[-1] or not rounds_down or len(step.got) != 4:
            continue
        if _places(step)[0].is_integer() or not _places(legal[step.name])[0].is_integer():
            continue
        stride = _pair(getattr(step.layer, "stride"))[0]  # noqa: B009
        if abs(legal[step.name].got[2] - step.got[2]) >= stride:
            continue  # more is missing than this remainder
        k, s, p = (_pair(getattr(step.layer, a))[0] for a in ("kernel_size", "stride", "padding"))
        padded = f" + 2*{p}" if p else ""
        remainder = (
            f"at {step.name} ({step.got[2]}{padded} - {k}) / {s} + 1 = {_places(step)[0]:g} "
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


def _places(step: _Step) -> tuple[float, ...]:
    """How many places a window has along each side of its input; whole if no pixel is left over."""
    k, s, p = (_pair(getattr(step.layer, a)) for a in ("kernel_size", "stride", "padding"))
    d = _pair(getattr(step.layer, "dilation", 1))
    return tuple((step.got[2 + i] + 2 * p[i] - d[i] * (k[i] - 1) - 1) / s[i] + 1 for i in (0, 1))


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


def _dtype(network: nn.Module) -> torch.dtype:
    return next(network.parameters(), torch.empty(0)).dtype


def _first(network: nn.Module) -> str:
    """The name of the first layer that has weights, as far as it has one."""
    names = (name.rpartition(".")[0] for name, _ in network.named_parameters())
    return next(names, "") or "the network"


def _pair(value: int | tuple[int, ...] | str) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    return (0, 0) if isinstance(value, str) else (value[0], value[-1])
