"""Which part of a picture is shown: rectangles of the source, decided before anything is decoded.

A window is top, left, height and width in pixels of the picture as it is stored; what reaches
outside is black. Sizes are height and width. Every class draws for each picture on its own.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float32, Float64, Int64
from torch import Generator, Tensor

from classicnets.support.errors import check_range

TRIES = 10  # draws of area and aspect before the middle of the picture is taken


def centre_boxes(sizes: Int64[Tensor, "n 2"], side: int, crop: int) -> Float32[Tensor, "n 4"]:
    """With the shorter side of the picture brought to `side`, the crop x crop square in its middle.

    >>> centre_boxes(torch.tensor([[32, 32], [300, 600]]), side=32, crop=28).tolist()
    [[2.0, 2.0, 28.0, 28.0], [18.75, 168.75, 262.5, 262.5]]
    """
    shorter = sizes.min(1, keepdim=True).values
    lengths = crop * shorter.double() / side
    return _squares(_middle(sizes, lengths, shorter == side), lengths)


@dataclass(frozen=True)
class CentreCrop:
    """The square in the middle, always."""

    whole: ClassVar[bool] = False

    def draw(
        self, sizes: Int64[Tensor, "n 2"], side: int, crop: int, generator: Generator
    ) -> Float32[Tensor, "n 4"]:
        return centre_boxes(sizes, side, crop)


@dataclass(frozen=True)
class RandomCrop:
    """A square of `crop` pixels from a picture whose shorter side is `side`, every place as likely.

    It lies in the centre square (AlexNet, section 4.1), or anywhere with `whole` (VGG, section
    3.1), and may reach `pad` pixels over the border (ResNet on CIFAR-10, section 4.2).
    """

    pad: int = 0
    whole: bool = False

    def __post_init__(self):
        check_range(self, pad=(0, math.inf))

    def draw(
        self, sizes: Int64[Tensor, "n 2"], side: int, crop: int, generator: Generator
    ) -> Float32[Tensor, "n 4"]:
        _require_room(crop, side + 2 * self.pad)
        if self.whole:
            return _anywhere(sizes, torch.full_like(sizes[:, :1], side), crop, self.pad, generator)
        shorter = sizes.min(1, keepdim=True).values
        places = _places(sizes, side + 2 * self.pad - crop, generator) - self.pad
        start = _middle(sizes, shorter.double(), shorter == side)
        return _squares(start + places * shorter / side, crop * shorter.double() / side)


@dataclass(frozen=True)
class CornerCrop:
    """A corner of the centre square of `side` pixels, or its middle; with flips ZFNet's ten crops.

    Zeiler and Fergus, arXiv:1311.2901v3, section 3.1.
    """

    whole: ClassVar[bool] = False

    def draw(
        self, sizes: Int64[Tensor, "n 2"], side: int, crop: int, generator: Generator
    ) -> Float32[Tensor, "n 4"]:
        _require_room(crop, side)
        end, middle = side - crop, (side - crop) // 2
        corners = [[0, 0], [0, end], [end, 0], [end, end], [middle, middle]]
        places = torch.tensor(corners)[torch.randint(5, (len(sizes),), generator=generator)]
        shorter = sizes.min(1, keepdim=True).values
        start = _middle(sizes, shorter.double(), shorter == side)
        return _squares(start + places * shorter / side, crop * shorter.double() / side)


@dataclass(frozen=True)
class ScaleJitter:
    """The shorter side is a whole number drawn from `low` to `high`; then a crop from anywhere.

    VGG (section 3.1) draws from 256 to 512, ResNet (section 3.4) from 256 to 480.
    """

    low: int
    high: int
    whole: ClassVar[bool] = True

    def __post_init__(self):
        check_range(self, low=(1, self.high))

    def draw(
        self, sizes: Int64[Tensor, "n 2"], side: int, crop: int, generator: Generator
    ) -> Float32[Tensor, "n 4"]:
        _require_room(crop, self.low)
        drawn = _places(sizes[:, :1], self.high - self.low, generator) + self.low
        return _anywhere(sizes, drawn, crop, 0, generator)


@dataclass(frozen=True)
class RandomResizedCrop:
    """A rectangle of a share of the area from `low` to `high` (GoogLeNet, section 6).

    Width over height is drawn from 1 / aspect to aspect, evenly on a logarithmic scale. What does
    not fit is drawn again, ten times as others do; then it is the largest that fits in the middle.
    """

    low: float = 0.08
    high: float = 1.0
    aspect: float = 4 / 3
    whole: ClassVar[bool] = True

    def __post_init__(self):
        check_range(self, low=(1e-6, self.high), high=(1e-6, 1), aspect=(1, math.inf))

    def draw(
        self, sizes: Int64[Tensor, "n 2"], side: int, crop: int, generator: Generator
    ) -> Float32[Tensor, "n 4"]:
        n = len(sizes)
        share, tilt = torch.rand(2, n, TRIES, generator=generator, dtype=torch.float64)
        area = sizes.double().prod(1, keepdim=True) * (self.low + (self.high - self.low) * share)
        aspect = self.aspect ** (2 * tilt - 1)
        drawn = torch.stack([(area / aspect).sqrt(), (area * aspect).sqrt()], 2).round()
        fits = ((drawn >= 1) & (drawn <= sizes[:, None])).all(2)
        first = drawn[torch.arange(n), fits.int().argmax(1)]
        heights, widths = sizes.double().unbind(1)
        largest = torch.stack(
            [heights.minimum(widths * self.aspect), widths.minimum(heights * self.aspect)], 1
        ).floor()
        found = fits.any(1, keepdim=True)
        lengths = torch.where(found, first, largest)
        places = _places(sizes, sizes - lengths, generator)
        corners = torch.where(found, places, ((sizes - lengths) / 2).floor())
        return torch.cat([corners, lengths], 1).float()


def _anywhere(
    sizes: Int64[Tensor, "n 2"], side: Tensor, crop: int, pad: int, generator: Generator
) -> Float32[Tensor, "n 4"]:
    """A square of `crop` pixels from anywhere in pictures whose shorter sides become `side`."""
    scale = side / sizes.min(1, keepdim=True).values.double()
    room = (sizes * scale).round() + 2 * pad - crop
    places = _places(sizes, room, generator) - pad
    return _squares(places / scale, crop / scale)


def _places(like: Tensor, room: Tensor | int, generator: Generator) -> Float64[Tensor, "n k"]:
    """A whole number from 0 to `room` for each of what `like` has the shape of."""
    drawn = torch.rand(like.shape, generator=generator, dtype=torch.float64)
    return (drawn * (room + 1)).floor()


def _middle(sizes: Tensor, lengths: Tensor, unscaled: Tensor) -> Float64[Tensor, "n 2"]:
    """Where squares of these lengths begin; between two pixels only in a picture to be scaled."""
    corners = (sizes - lengths) / 2
    return torch.where(unscaled, corners.floor(), corners)


def _squares(corners: Tensor, lengths: Tensor) -> Float32[Tensor, "n 4"]:
    return torch.cat([corners, lengths, lengths], 1).float()


def _require_room(crop: int, side: int) -> None:
    if crop > side:
        raise ValueError(f"a crop of {crop} pixels does not fit into pictures of {side} pixels")
