"""Pixel scaling: how each paper turns bytes into the network's input.

A recipe names a rule; its `fit` takes the statistics of the training images and gives the
`Scaling` that a run saves.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache

import torch
from jaxtyping import Float32, Shaped, UInt8
from torch import Tensor

from .crops import centre_boxes
from .images import ImageFiles, Images, evenly_spaced
from .loader import stream

MAX_ON_DISK = 10_000  # images on disk read for a mean; reading all may take hours


@dataclass(frozen=True)
class Scaling:
    """x = pixel * scale + shift, channel by channel.

    With a mean `image`, x = (pixel - image) * scale wherever x has its size.
    """

    scale: tuple[float, ...]
    shift: tuple[float, ...]
    image: Float32[Tensor, "c crop crop"] | None = field(default=None, compare=False, repr=False)

    def to(self, device: torch.device) -> "Scaling":
        return self if self.image is None else replace(self, image=self.image.to(device))

    def __call__(self, x: Shaped[Tensor, "n c h w"]) -> Float32[Tensor, "n c h w"]:
        scale = _per_channel(self.scale, x.device)
        if self.image is not None and self.image.shape == x.shape[1:]:
            return (x.float() - self.image.to(x.device)) * scale
        shift = _per_channel(self.shift, x.device)
        return x.to(torch.float32, copy=True).mul_(scale).add_(shift)  # a single allocation


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
    """Pixels, 0 to 255, less the mean of each channel over the training images."""

    def fit(self, train: Images | ImageFiles, side: int = 0, crop: int = 0) -> Scaling:
        mean, _ = channel_moments(train)
        return Scaling((1.0,) * len(mean), tuple((-mean).tolist()))


@dataclass(frozen=True)
class SubtractMeanImage:
    """Pixels, 0 to 255, less the mean image of the centre crops of the training images.

    Of images on disk ten thousand are read, evenly spaced, as for the other rules.
    """

    def fit(self, train: Images | ImageFiles, side: int, crop: int) -> Scaling:
        total = torch.zeros(train.channels, crop, crop, dtype=torch.float64)
        count = 0
        for x in _centre_crops(train, side, crop):
            total += x.sum(0, dtype=torch.float64).cpu()
            count += len(x)
        mean = total / count
        shift = tuple((-mean.mean((1, 2))).tolist())
        return Scaling((1.0,) * len(shift), shift, mean.float())


@dataclass(frozen=True)
class Standardise:
    """Each channel with mean 0 and variance 1 over the training images."""

    def fit(self, train: Images | ImageFiles, side: int = 0, crop: int = 0) -> Scaling:
        mean, std = channel_moments(train)
        std = std.clamp(min=1)  # a constant channel has none
        return Scaling(tuple((1 / std).tolist()), tuple((-mean / std).tolist()))


@dataclass(frozen=True)
class Normalise:
    """Pixels, 0 to 255, less a mean and divided by a deviation for each channel, both given: those
    that published weights were trained with. Raises a ValueError for other channels.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def fit(self, train: Images | ImageFiles, side: int = 0, crop: int = 0) -> Scaling:
        if train.channels != len(self.mean):
            raise ValueError(
                f"the pixels of these weights have {len(self.mean)} channels, and the images have "
                f"{train.channels}"
            )
        return self.scaling

    @property
    def scaling(self) -> Scaling:
        """The scaling, whatever the training images."""
        pairs = zip(self.mean, self.std, strict=True)
        return Scaling(tuple(1 / s for s in self.std), tuple(-m / s for m, s in pairs))


def sample_images(train: Images | ImageFiles) -> Iterator[UInt8[Tensor, "n c h w"]]:
    """The training images in chunks; of images on disk ten thousand, evenly spaced."""
    if isinstance(train, ImageFiles):
        yield from _centre_crops(train, 256, 224)
    else:
        for indices in _sample_indices(train):
            yield train.pixels[indices.to(train.pixels.device)]


def _centre_crops(
    train: Images | ImageFiles, side: int, crop: int
) -> Iterator[UInt8[Tensor, "n c crop crop"]]:
    requests = ((i, centre_boxes(train.sizes[i], side, crop)) for i in _sample_indices(train))
    return (x for x, _ in stream(train, requests, crop))


def _sample_indices(train: Images | ImageFiles) -> tuple[Tensor, ...]:
    if isinstance(train, ImageFiles):
        return train.sample(MAX_ON_DISK).split(250)
    return evenly_spaced(len(train), MAX_ON_DISK if train.memory_mapped else len(train)).split(250)


def channel_moments(train: Images | ImageFiles) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel, exact, from its histogram."""
    counts = torch.zeros(train.channels, 256, dtype=torch.float64)
    for x in sample_images(train):
        counts += torch.stack(
            [torch.bincount(channel.flatten(), minlength=256) for channel in x.unbind(1)]
        ).cpu()
    values = torch.arange(256, dtype=torch.float64)
    total = counts.sum(1)
    mean = counts @ values / total
    return mean, (counts @ values**2 / total - mean**2).clamp(min=0).sqrt()


@lru_cache(maxsize=64)
def _per_channel(values: tuple[float, ...], device: torch.device) -> Tensor:
    """A value for each channel on the device; cached, since the transfer would wait for it."""
    with torch.inference_mode(False):  # an inference tensor could not be used in training later
        return torch.tensor(values, device=device)[:, None, None]
