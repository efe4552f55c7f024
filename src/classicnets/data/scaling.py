"""From pixels to the numbers a network reads: how each paper scales them.

A recipe names the rule, the training pictures fill in its numbers, and the run keeps those.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache

import torch
from jaxtyping import Float32, Shaped, UInt8
from torch import Tensor

from .crops import centre_boxes
from .images import ImageFiles, Images, spread
from .loader import stream

ENOUGH = 10_000  # pictures on disk that are looked at for a mean; all of them may take hours


@dataclass(frozen=True)
class Scaling:
    """x = pixel * scale + shift, channel by channel; what a run keeps.

    With a mean `image`, x = (pixel - image) * scale wherever x has its size.
    """

    scale: tuple[float, ...]
    shift: tuple[float, ...]
    image: Float32[Tensor, "c crop crop"] | None = field(default=None, compare=False, repr=False)

    def to(self, device: torch.device) -> "Scaling":
        return self if self.image is None else replace(self, image=self.image.to(device))

    def __call__(self, x: Shaped[Tensor, "n c h w"]) -> Float32[Tensor, "n c h w"]:
        scale = _column(self.scale, x.device)
        if self.image is not None and self.image.shape == x.shape[1:]:
            return (x.float() - self.image.to(x.device)) * scale
        shift = _column(self.shift, x.device)
        return x.to(torch.float32, copy=True).mul_(scale).add_(shift)  # into memory but once


@dataclass(frozen=True)
class Between:
    """Black becomes `low` and white `high`."""

    low: float
    high: float

    def fit(self, train: Images | ImageFiles, side: int = 0, crop: int = 0) -> Scaling:
        c = train.channels
        return Scaling(((self.high - self.low) / 255,) * c, (self.low,) * c)


@dataclass(frozen=True)
class SubtractMean:
    """Raw pixels, 0 to 255, less the mean of each channel over the training pictures."""

    def fit(self, train: Images | ImageFiles, side: int = 0, crop: int = 0) -> Scaling:
        mean, _ = _moments(train)
        return Scaling((1.0,) * len(mean), tuple((-mean).tolist()))


@dataclass(frozen=True)
class SubtractMeanImage:
    """Raw pixels, 0 to 255, less the mean training picture, each cut from its middle.

    Of those on disk, as for the other rules, ten thousand are taken, evenly spaced.
    """

    def fit(self, train: Images | ImageFiles, side: int, crop: int) -> Scaling:
        total = torch.zeros(train.channels, crop, crop, dtype=torch.float64)
        count = 0
        for x in _middles(train, side, crop):
            total += x.sum(0, dtype=torch.float64).cpu()
            count += len(x)
        picture = total / count
        shift = tuple((-picture.mean((1, 2))).tolist())
        return Scaling((1.0,) * len(shift), shift, picture.float())


@dataclass(frozen=True)
class Standardise:
    """Each channel with mean 0 and variance 1 over the training pictures."""

    def fit(self, train: Images | ImageFiles, side: int = 0, crop: int = 0) -> Scaling:
        mean, std = _moments(train)
        std = std.clamp(min=1)  # a channel of one colour
        return Scaling(tuple((1 / std).tolist()), tuple((-mean / std).tolist()))


def sampled(train: Images | ImageFiles) -> Iterator[UInt8[Tensor, "n c h w"]]:
    """The training pictures, a part at a time; of those on disk ten thousand, evenly spaced."""
    if isinstance(train, ImageFiles):
        yield from _middles(train, 256, 224)
    else:
        for indices in _looked_at(train):
            yield train.pixels[indices.to(train.pixels.device)]


def _middles(
    train: Images | ImageFiles, side: int, crop: int
) -> Iterator[UInt8[Tensor, "n c crop crop"]]:
    parts = _looked_at(train)
    requests = ((indices, centre_boxes(train.sizes[indices], side, crop)) for indices in parts)
    return (x for x, _ in stream(train, requests, crop))


def _looked_at(train: Images | ImageFiles) -> tuple[Tensor, ...]:
    on_disk = isinstance(train, ImageFiles) or train.mapped
    return spread(len(train), ENOUGH if on_disk else len(train)).split(250)


def _moments(train: Images | ImageFiles) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel, from counts of the 256 values."""
    counts = torch.zeros(train.channels, 256, dtype=torch.float64)
    for x in sampled(train):
        counts += torch.stack(
            [torch.bincount(channel.flatten(), minlength=256) for channel in x.unbind(1)]
        ).cpu()
    values = torch.arange(256, dtype=torch.float64)
    total = counts.sum(1)
    mean = counts @ values / total
    return mean, (counts @ values**2 / total - mean**2).clamp(min=0).sqrt()


@lru_cache(maxsize=64)
def _column(values: tuple[float, ...], device: torch.device) -> Tensor:
    """The values of the channels on the device; kept, since to move them there waits for it."""
    with torch.inference_mode(False):  # what is kept may later take part in training
        return torch.tensor(values, device=device)[:, None, None]
