"""What studies read of the networks: their reports, built without weights, and narrow copies."""

from collections.abc import Mapping
from functools import cache

import torch
from torch import Tensor, nn

from classicnets import catalog
from classicnets.data.images import Images
from classicnets.data.published import digits
from classicnets.measure import Layer, Report, measure


@cache
def measured(name: str) -> Report:
    """The report on a network of the catalogue at its paper's input."""
    return measure(built(name), catalog.find(name).input, name=name)


def built(name: str) -> nn.Module:
    """A network of the catalogue without values in its weights."""
    with torch.device("meta"):
        return catalog.find(name).build()


def layers(name: str) -> dict[str, Layer]:
    """The rows of a network's report by their names."""
    return {layer.name: layer for layer in measured(name).layers}


def weighted(name: str) -> list[str]:
    """The convolutions and fully connected layers of a network, without those of shortcuts."""
    found = built(name).named_modules()
    kinds = nn.Conv2d | nn.Linear
    return [n for n, layer in found if isinstance(layer, kinds) and "shortcut" not in n]


def years() -> Mapping[str, int]:
    """When each family was published."""
    papers = [entry.paper for entry in catalog.CATALOG.values() if entry.paper]
    return {paper.page: paper.year for paper in papers}


def some_digits(side: int, count: int, part: str = "train") -> tuple[Tensor, Tensor]:
    """The first of the embedded digits as bytes (n, 1, side, side), and their labels."""
    images = getattr(digits(side, 1), part)
    assert isinstance(images, Images)
    return images.pixels[:count], images.labels[:count]
