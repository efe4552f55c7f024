"""Rectangles of pictures brought to one size, each picture its own rectangle."""

import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from .transfer import to_device

TOGETHER = 2**25  # numbers in a batch of floating-point pictures; more are worked on in parts


def resample(
    x: UInt8[Tensor, "n c h w"], windows: Float32[Tensor, "n 4"], side: int
) -> UInt8[Tensor, "n c side side"]:
    """The windows as squares of `side` pixels, bicubic and with antialiasing as in Pillow's resize.

    Two products of matrices, since both directions can be worked on one after the other. Pixels
    whose middle lies outside the picture are black.
    """
    _, c, h, w = x.shape
    parts = max(1, TOGETHER // (c * max(h, side) * max(w, side)))
    return torch.cat(
        [
            _resampled(some, places, side)
            for some, places in zip(
                x.split(parts), to_device(windows, x.device).split(parts), strict=True
            )
        ]
    )


def _resampled(x: Tensor, windows: Tensor, side: int) -> Tensor:
    top, left, height, width = windows.unbind(1)
    rows = _weights(top, height, side, x.shape[2])
    columns = _weights(left, width, side, x.shape[3])
    y = rows[:, None] @ x.float() @ columns[:, None].transpose(-1, -2)
    return y.round_().clamp_(0, 255).to(torch.uint8)


def _weights(
    start: Float32[Tensor, " n"], length: Float32[Tensor, " n"], side: int, old: int
) -> Float32[Tensor, "n side old"]:
    """How much each of the `old` pixels contributes to each of the `side` new ones."""
    along = (torch.arange(side, device=start.device) + 0.5) / side
    middle = (start[:, None] + length[:, None] * along)[:, :, None]
    pixel = torch.arange(old, device=start.device) + 0.5
    # the kernel widens with the reduction: what is dropped has to be averaged first
    reduction = (length / side).clamp(min=1)[:, None, None]
    weights = _bicubic((pixel - middle) / reduction)
    weights /= weights.sum(2, keepdim=True).where(weights.any(2, keepdim=True), 1)
    return weights * ((middle >= 0) & (middle < old))


def _bicubic(x: Tensor) -> Tensor:
    """Keys' cubic convolution kernel with a = -1/2 (1981), which is Pillow's."""
    x = x.abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, 0))
