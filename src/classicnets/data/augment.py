"""Augmentation of what has been cut, each picture of a batch with its own draw.

Pixels are bytes, or floating-point numbers from 0 to 255. What an augmentation takes from the
training pictures it learns in `fit`; the others return themselves there.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Shaped
from torch import Generator, Tensor
from torch.nn import functional as F

from classicnets.support.errors import check_range

from .images import ImageFiles, Images
from .scaling import sampled
from .transfer import to_device


@dataclass(frozen=True)
class HorizontalFlip:
    """Left and right exchanged in every second picture, by chance."""

    def fit(self, train: Images | ImageFiles) -> "HorizontalFlip":
        return self

    def __call__(
        self, x: Shaped[Tensor, "n c h w"], generator: Generator
    ) -> Shaped[Tensor, "n c h w"]:
        heads = torch.rand(len(x), generator=generator) < 0.5
        if x.device.type == "cpu":  # in the cache, picture by picture, six times as fast
            y = x.clone()
            for i in heads.nonzero()[:, 0].tolist():
                y[i] = x[i].flip(-1)
            return y
        return torch.where(to_device(heads, x.device)[:, None, None, None], x.flip(-1), x)


@dataclass(frozen=True)
class ColourShift:
    """Each picture is shifted along these directions, as far along each as a draw from N(0, 1)."""

    directions: tuple[tuple[float, ...], ...]

    def fit(self, train: Images | ImageFiles) -> "ColourShift":
        return self

    def __call__(
        self, x: Shaped[Tensor, "n c h w"], generator: Generator
    ) -> Float32[Tensor, "n c h w"]:
        draws = torch.randn(len(x), len(self.directions), generator=generator)
        shifts = draws @ torch.tensor(self.directions)
        return x + to_device(shifts, x.device)[:, :, None, None]


@dataclass(frozen=True)
class ColourNoise:
    """AlexNet's second augmentation (section 4.1): noise along the principal colours.

    To each pixel [p1 p2 p3][a1 l1, a2 l2, a3 l3]^T is added, where p and l are the eigenvectors and
    eigenvalues of the covariance of the training pictures' colours and the a are drawn from
    N(0, std), once for each picture. l is a variance, so the unit matters: of pixels from 0 to 255
    the shift would be 255 times as large. The paper does not say; we take pixels in [0, 1], as
    everybody does, and bring the shift back to 0 to 255.
    """

    std: float = 0.1

    def __post_init__(self):
        check_range(self, std=(0, math.inf))

    def fit(self, train: Images | ImageFiles) -> ColourShift:
        count, total, products = 0, torch.zeros(()), torch.zeros(())
        for part in sampled(train):
            colours = part.cpu().double().transpose(0, 1).flatten(1) / 255
            count += colours.shape[1]
            total, products = total + colours.sum(1), products + colours @ colours.T
        mean = total / count
        variances, vectors = torch.linalg.eigh(products / count - mean.outer(mean))
        directions = 255 * self.std * variances.clamp(min=0) * vectors
        return ColourShift(tuple(tuple(d) for d in directions.T.tolist()))


@dataclass(frozen=True)
class Distortion:
    """LeNet-5's affine distortions (section III-C): shift, scale, squeeze and horizontal shear.

    The paper names them without numbers, so these are ours: a shift by up to `shift` of the side, a
    size from 1 / scale to scale, width over height from 1 / squeeze to squeeze, and a shear by up
    to `shear`, the tangent. `unchanged` is the paper's: 60,000 of 600,000 were.
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

    def __call__(
        self, x: Shaped[Tensor, "n c h w"], generator: Generator
    ) -> Float32[Tensor, "n c h w"]:
        draws = torch.rand(6, len(x), generator=generator)
        distorted = draws[5] >= self.unchanged
        right, down, scale, squeeze, shear = (2 * draws[:5] - 1) * distorted
        height = self.scale**scale * self.squeeze ** (-squeeze / 2)
        width = self.scale**scale * self.squeeze ** (squeeze / 2)
        # from where in the old picture each pixel comes, in halves of the side
        maps = torch.stack(
            [
                *(1 / width, shear * self.shear, 2 * self.shift * right),
                *(torch.zeros(len(x)), 1 / height, 2 * self.shift * down),
            ],
            dim=1,
        ).view(-1, 2, 3)
        grid = F.affine_grid(to_device(maps, x.device), list(x.shape), align_corners=False)
        return F.grid_sample(x.float(), grid, align_corners=False)
