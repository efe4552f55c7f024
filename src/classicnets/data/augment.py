"""Augmentations of cropped batches, with an independent random draw for each image.

Pixels are bytes, or floating-point values from 0 to 255. `fit` takes what an augmentation needs
from the training images; an augmentation that needs nothing returns itself.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Shaped
from torch import Generator, Tensor
from torch.nn import functional as F

from classicnets.support.errors import check_range

from .images import ImageFiles, Images
from .scaling import sample_images
from .transfer import to_device

Batch = Shaped[Tensor, "n c h w"]


@dataclass(frozen=True)
class HorizontalFlip:
    """Flips each image left to right with probability 1/2."""

    def fit(self, train: Images | ImageFiles) -> "HorizontalFlip":
        return self

    def __call__(self, x: Batch, generator: Generator) -> Batch:
        flipped = torch.rand(len(x), generator=generator) < 0.5
        if x.device.type == "cpu":  # image by image stays in the cache: six times as fast
            y = x.clone()
            for i in flipped.nonzero()[:, 0].tolist():
                y[i] = x[i].flip(-1)
            return y
        return torch.where(to_device(flipped, x.device)[:, None, None, None], x.flip(-1), x)


@dataclass(frozen=True)
class ColourShift:
    """Shifts each image's colours along each of these directions, times a draw from N(0, 1)."""

    directions: tuple[tuple[float, ...], ...]

    def fit(self, train: Images | ImageFiles) -> "ColourShift":
        return self

    def __call__(self, x: Batch, generator: Generator) -> Float32[Tensor, "n c h w"]:
        amounts = torch.randn(len(x), len(self.directions), generator=generator)
        shifts = amounts @ torch.tensor(self.directions)
        return x + to_device(shifts, x.device)[:, :, None, None]


@dataclass(frozen=True)
class ColourNoise:
    """AlexNet's second augmentation (section 4.1): noise along the principal colours.

    To each pixel [p1 p2 p3][a1 l1, a2 l2, a3 l3]^T is added, where p and l are the eigenvectors and
    eigenvalues of the covariance of the training images' colours and the a are drawn from
    N(0, std), once for each image. l is a variance, so the unit matters: with pixels from 0 to 255
    the shift would be 255 times as large. The paper does not say which; we take pixels in [0, 1],
    as other implementations do, and scale the shift back to 0 to 255.
    """

    std: float = 0.1

    def __post_init__(self):
        check_range(self, std=(0, math.inf))

    def fit(self, train: Images | ImageFiles) -> ColourShift:
        count, total, products = 0, torch.zeros(()), torch.zeros(())
        for chunk in sample_images(train):
            colours = chunk.cpu().double().transpose(0, 1).flatten(1) / 255
            count += colours.shape[1]
            total, products = total + colours.sum(1), products + colours @ colours.T
        mean = total / count
        variances, vectors = torch.linalg.eigh(products / count - mean.outer(mean))
        directions = 255 * self.std * variances.clamp(min=0) * vectors
        return ColourShift(tuple(tuple(d) for d in directions.T.tolist()))


@dataclass(frozen=True)
class Distortion:
    """LeNet-5's affine distortions (section III-C): shift, scale, squeeze and horizontal shear.

    The paper gives no amounts, so these are ours: a shift by up to `shift` of the side, a size from
    1 / scale to scale, width over height from 1 / squeeze to squeeze, and a shear by up to `shear`,
    a tangent. `unchanged` is the paper's fraction: 60,000 of 600,000 images.
    """

    shift: float = 0.0625
    scale: float = 1.1
    squeeze: float = 1.1
    shear: float = 0.2
    unchanged: float = 0.1

    def __post_init__(self):
        check_range(self, shift=(0, 1), scale=(1, math.inf), squeeze=(1, math.inf))
        check_range(self, shear=(0, math.inf), unchanged=(0, 1))

    def fit(self, train: Images | ImageFiles) -> "Distortion":
        return self

    def __call__(self, x: Batch, generator: Generator) -> Float32[Tensor, "n c h w"]:
        uniform = torch.rand(6, len(x), generator=generator)
        distorted = uniform[5] >= self.unchanged
        right, down, scale, squeeze, shear = (2 * uniform[:5] - 1) * distorted
        height = self.scale**scale * self.squeeze ** (-squeeze / 2)
        width = self.scale**scale * self.squeeze ** (squeeze / 2)
        # affine_grid maps output to input positions, in units of half a side
        affine = torch.stack(
            [
                *(1 / width, shear * self.shear, 2 * self.shift * right),
                *(torch.zeros(len(x)), 1 / height, 2 * self.shift * down),
            ],
            dim=1,
        ).view(-1, 2, 3)
        grid = F.affine_grid(to_device(affine, x.device), list(x.shape), align_corners=False)
        return F.grid_sample(x.float(), grid, align_corners=False)
