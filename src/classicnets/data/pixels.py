"""From bytes to the numbers a network reads: how each paper scales its pixels.

A recipe names the rule, the training pictures fill in its numbers, and the run keeps those.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from .images import Images


@dataclass(frozen=True)
class Scaling:
    """x = pixel * scale + shift, channel by channel; what a run keeps."""

    scale: tuple[float, ...]
    shift: tuple[float, ...]

    def __call__(self, x: UInt8[Tensor, "n c h w"]) -> Float32[Tensor, "n c h w"]:
        scale, shift = (torch.tensor(v, device=x.device) for v in (self.scale, self.shift))
        return torch.addcmul(shift[:, None, None], x.float(), scale[:, None, None])


@dataclass(frozen=True)
class Between:
    """Black becomes `low` and white `high`."""

    low: float
    high: float

    def fit(self, train: Images) -> Scaling:
        c = train.pixels.shape[1]
        return Scaling(((self.high - self.low) / 255,) * c, (self.low,) * c)


@dataclass(frozen=True)
class MinusMean:
    """Raw pixels, 0 to 255, less the mean of each channel over the training pictures."""

    def fit(self, train: Images) -> Scaling:
        mean, _ = _moments(train.pixels)
        return Scaling((1.0,) * len(mean), tuple((-mean).tolist()))


@dataclass(frozen=True)
class Standardised:
    """Each channel with mean 0 and variance 1 over the training pictures."""

    def fit(self, train: Images) -> Scaling:
        mean, std = _moments(train.pixels)
        std = std.clamp(min=1)  # a channel of one colour
        return Scaling(tuple((1 / std).tolist()), tuple((-mean / std).tolist()))


def _moments(pixels: UInt8[Tensor, "n c h w"]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel, from counts of the 256 values."""
    counts = torch.stack(
        [torch.bincount(channel.flatten(), minlength=256) for channel in pixels.unbind(1)]
    ).double()
    values = torch.arange(256, device=pixels.device).double()
    total = counts.sum(1)
    mean = counts @ values / total
    return mean, (counts @ values**2 / total - mean**2).clamp(min=0).sqrt()
