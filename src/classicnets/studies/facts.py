"""What studies read of the networks: their reports, built without weights, and narrow copies."""

from collections.abc import Mapping
from functools import cache

import torch
from torch import nn

from classicnets import catalog
from classicnets.api.design import design
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


def narrow(name: str, width: str, channels: int, side: int) -> str:
    """The design of a network with a fraction of its maps, for small images of ten classes."""
    return design(name, width=width, size=(channels, side, side), classes=10)


def years() -> Mapping[str, int]:
    """When each family was published."""
    papers = [entry.paper for entry in catalog.CATALOG.values() if entry.paper]
    return {paper.page: paper.year for paper in papers}
