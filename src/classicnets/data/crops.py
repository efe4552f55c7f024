"""Crop samplers: which rectangle of an image the network sees.

A crop box is (top, left, height, width) in pixels of the stored image; what lies outside the image
is black. Sizes are (height, width). A sampler draws a box for each image on its own, before
anything is decoded. Its `whole` tells whether it needs more than the centre square.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float32, Float64, Int64
from torch import Generator, Tensor

from classicnets.support.errors import check_range

Sizes = Int64[Tensor, "n 2"]
Boxes = Float32[Tensor, "n 4"]

TRIES = 10  # draws of area and aspect before falling back to the centre
AT_ONCE = 2**16  # images, whose tries would need much memory for a million at a time


def centre_boxes(sizes: Sizes, side: int, crop: int) -> Boxes:
    """The centred crop x crop square of images whose shorter side is scaled to `side`.

    >>> centre_boxes(torch.tensor([[32, 32], [300, 600]]), side=32, crop=28).tolist()
    [[2.0, 2.0, 28.0, 28.0], [18.75, 168.75, 262.5, 262.5]]
    """
    shorter = sizes.min(1, keepdim=True).values
    lengths = crop * shorter.double() / side
    return _squares(_centred(sizes, lengths, shorter == side), lengths)


def corner_offsets(side: int, crop: int) -> Int64[Tensor, "5 2"]:
    """Where crops begin at the four corners and in the middle of a square of `side` pixels.

    >>> corner_offsets(side=5, crop=2).tolist()
    [[0, 0], [0, 3], [3, 0], [3, 3], [1, 1]]
    """
    end, middle = side - crop, (side - crop) // 2
    return torch.tensor([[0, 0], [0, end], [end, 0], [end, end], [middle, middle]])


@dataclass(frozen=True)
class CentreCrop:
    """Always the centred square."""

    whole: ClassVar[bool] = False

    def sample(self, sizes: Sizes, side: int, crop: int, generator: Generator) -> Boxes:
        return centre_boxes(sizes, side, crop)


@dataclass(frozen=True)
class RandomCrop:
    """A uniformly placed square of `crop` pixels from an image whose shorter side is `side`.

    It lies in the centre square (AlexNet, section 4.1), or anywhere with `whole` (VGG, section
    3.1), and may reach `pad` pixels over the border (ResNet on CIFAR-10, section 4.2).
    """

    pad: int = 0
    whole: bool = False

    def __post_init__(self):
        check_range(self, pad=(0, math.inf))

    def sample(self, sizes: Sizes, side: int, crop: int, generator: Generator) -> Boxes:
        _require_room(crop, side + 2 * self.pad)
        if self.whole:
            return _anywhere(sizes, torch.full_like(sizes[:, :1], side), crop, self.pad, generator)
        offsets = _integers(sizes, side + 2 * self.pad - crop, generator) - self.pad
        return _in_centre_square(sizes, offsets, side, crop)


@dataclass(frozen=True)
class CornerCrop:
    """A corner of the centre square of `side` pixels, or its middle; with flips ZFNet's ten crops.

    Zeiler and Fergus, arXiv:1311.2901v3, section 3.1.
    """

    whole: ClassVar[bool] = False

    def sample(self, sizes: Sizes, side: int, crop: int, generator: Generator) -> Boxes:
        _require_room(crop, side)
        chosen = torch.randint(5, (len(sizes),), generator=generator)
        return _in_centre_square(sizes, corner_offsets(side, crop)[chosen], side, crop)


@dataclass(frozen=True)
class ScaleJitter:
    """Scales the shorter side to a random integer from `low` to `high`, then crops anywhere.

    VGG (section 3.1) draws from 256 to 512, ResNet (section 3.4) from 256 to 480.
    """

    low: int
    high: int
    whole: ClassVar[bool] = True

    def __post_init__(self):
        check_range(self, low=(1, self.high))

    def sample(self, sizes: Sizes, side: int, crop: int, generator: Generator) -> Boxes:
        _require_room(crop, self.low)
        sides = _integers(sizes[:, :1], self.high - self.low, generator) + self.low
        return _anywhere(sizes, sides, crop, 0, generator)


@dataclass(frozen=True)
class RandomResizedCrop:
    """A rectangle with a fraction of the area between `low` and `high` (GoogLeNet, section 6).

    Width over height is log-uniform between 1 / aspect and aspect. A rectangle that does not fit is
    redrawn, up to ten times as in other implementations; then it is the largest centred one.
    """

    low: float = 0.08
    high: float = 1.0
    aspect: float = 4 / 3
    whole: ClassVar[bool] = True

    def __post_init__(self):
        check_range(self, low=(1e-6, self.high), high=(1e-6, 1), aspect=(1, math.inf))

    def sample(self, sizes: Sizes, side: int, crop: int, generator: Generator) -> Boxes:
        drawn = torch.rand(2, len(sizes), TRIES, generator=generator, dtype=torch.float64)
        some = zip(sizes.split(AT_ONCE), drawn.split(AT_ONCE, 1), strict=True)
        first, found = map(torch.cat, zip(*(self._first(*part) for part in some), strict=True))
        heights, widths = sizes.double().unbind(1)
        largest = torch.stack(
            [heights.minimum(widths * self.aspect), widths.minimum(heights * self.aspect)], 1
        ).floor()
        lengths = torch.where(found, first, largest)
        corners = _integers(sizes, sizes - lengths, generator)
        corners = torch.where(found, corners, ((sizes - lengths) / 2).floor())
        return torch.cat([corners, lengths], 1).float()

    def _first(self, sizes: Sizes, drawn: Tensor) -> tuple[Tensor, Tensor]:
        """Height and width of the first rectangles that fit, and whether there is one."""
        fraction, tilt = drawn
        area = sizes.double().prod(1, keepdim=True) * (self.low + (self.high - self.low) * fraction)
        aspect = self.aspect ** (2 * tilt - 1)
        tries = torch.stack([(area / aspect).sqrt(), (area * aspect).sqrt()], 2).round()
        fits = ((tries >= 1) & (tries <= sizes[:, None])).all(2)
        return tries[torch.arange(len(sizes)), fits.int().argmax(1)], fits.any(1, keepdim=True)


def _anywhere(sizes: Sizes, side: Tensor, crop: int, pad: int, generator: Generator) -> Boxes:
    """A square of `crop` pixels anywhere in images whose shorter sides are scaled to `side`."""
    scale = side / sizes.min(1, keepdim=True).values.double()
    room = (sizes * scale).round() + 2 * pad - crop
    corners = _integers(sizes, room, generator) - pad
    return _squares(corners / scale, crop / scale)


def _in_centre_square(sizes: Sizes, offsets: Tensor, side: int, crop: int) -> Boxes:
    """Squares at these offsets, in pixels of the centre square scaled to `side`."""
    shorter = sizes.min(1, keepdim=True).values
    start = _centred(sizes, shorter.double(), shorter == side)
    return _squares(start + offsets * shorter / side, crop * shorter.double() / side)


def _integers(like: Tensor, high: Tensor | int, generator: Generator) -> Float64[Tensor, "n k"]:
    """Uniform integers from 0 to `high`, in the shape of `like`."""
    uniform = torch.rand(like.shape, generator=generator, dtype=torch.float64)
    return (uniform * (high + 1)).floor()


def _centred(sizes: Tensor, lengths: Tensor, unscaled: Tensor) -> Float64[Tensor, "n 2"]:
    """The corners of centred squares; between two pixels only in images that are scaled anyway."""
    corners = (sizes - lengths) / 2
    return torch.where(unscaled, corners.floor(), corners)


def _squares(corners: Tensor, lengths: Tensor) -> Boxes:
    return torch.cat([corners, lengths, lengths], 1).float()


def _require_room(crop: int, side: int) -> None:
    if crop > side:
        raise ValueError(f"a crop of {crop} pixels does not fit into images of {side} pixels")
