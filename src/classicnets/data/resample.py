"""Bicubic resizing of a batch in which each image has its own crop box."""

import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from .crops import Boxes
from .transfer import to_device

CHUNK = 2**25  # elements of a chunk in floating point; larger batches are resized in chunks


def resample(
    x: UInt8[Tensor, "n c h w"], boxes: Boxes, side: int
) -> UInt8[Tensor, "n c side side"]:
    """The crops resized to `side`, bicubic and antialiased as by Pillow's resize.

    The filter is separable, so this is a matrix product for each direction. Pixels whose centre
    lies outside the image are black.
    """
    _, c, h, w = x.shape
    count = max(1, CHUNK // (c * max(h, side) * max(w, side)))
    chunks = zip(x.split(count), to_device(boxes, x.device).split(count), strict=True)
    return torch.cat([_resample(chunk, places, side) for chunk, places in chunks])


def _resample(x: Tensor, boxes: Tensor, side: int) -> Tensor:
    top, left, height, width = boxes.unbind(1)
    rows = weights_along(top, height, side, x.shape[2])
    columns = weights_along(left, width, side, x.shape[3])
    y = rows[:, None] @ x.float() @ columns[:, None].transpose(-1, -2)
    return y.round_().clamp_(0, 255).to(torch.uint8)


def weights_along(
    start: Float32[Tensor, " n"], length: Float32[Tensor, " n"], side: int, old: int | torch.SymInt
) -> Float32[Tensor, "n side old"]:
    """How much each of the `old` pixels contributes to each of the `side` new ones."""
    along = (torch.arange(side, device=start.device) + 0.5) / side
    centre = (start[:, None] + length[:, None] * along)[:, :, None]
    pixel = torch.arange(old, device=start.device) + 0.5  # pyright: ignore[reportCallIssue, reportArgumentType]
    # antialiasing: the kernel widens with the reduction, to average the pixels that are dropped
    reduction = (length / side).clamp(min=1)[:, None, None]
    weights = _bicubic((pixel - centre) / reduction)
    weights /= weights.sum(2, keepdim=True).where(weights.any(2, keepdim=True), 1)
    return weights * ((centre >= 0) & (centre < old))


def _bicubic(x: Tensor) -> Tensor:
    """Keys' cubic convolution kernel with a = -1/2 (1981), as in Pillow."""
    x = x.abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, 0))
