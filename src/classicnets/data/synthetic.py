"""A small synthetic data set of four shapes, for tests and for trying things offline."""

import torch
from torch import Tensor

from .images import Images, Splits
from .splitting import stratified_split

CLASSES = ("disc", "square", "stripes", "cross")


def shapes(count: int = 120, side: int = 32, channels: int = 3, seed: int = 0) -> Splits:
    """`count` images of four shapes, of random position, size and brightness."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % len(CLASSES)
    centre = 0.35 + 0.3 * torch.rand(count, 2, 1, 1, generator=generator)
    radius = 0.2 + 0.1 * torch.rand(count, 1, 1, generator=generator)
    light = torch.randint(120, 256, (count, channels, 1, 1), generator=generator)
    pixels = (_masks(labels, centre, radius, side)[:, None] * light).to(torch.uint8)
    splits = stratified_split(labels, seed)
    train, validation, test = (Images(pixels[i], labels[i]) for i in splits)
    return Splits("synthetic", CLASSES, train, validation, test)


def _masks(labels: Tensor, centre: Tensor, radius: Tensor, side: int) -> Tensor:
    along = (torch.arange(side) + 0.5) / side
    y, x = along[None, :, None] - centre[:, 0], along[None, None, :] - centre[:, 1]
    inside = torch.maximum(x.abs(), y.abs()) < radius
    masks = torch.stack(
        [
            x**2 + y**2 < radius**2,
            inside,
            inside & ((y / radius * 2.5).floor() % 2 == 0),
            inside & (torch.minimum(x.abs(), y.abs()) < radius / 4),
        ]
    )
    return masks[labels, torch.arange(len(labels))]
