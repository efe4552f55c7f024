"""Showing a network layer by layer."""

from collections.abc import Callable

import torch
from torch import nn

from classicnets import catalog
from classicnets.catalog import Entry
from classicnets.measure import Report, measure
from classicnets.support.arguments import answering
from classicnets.support.modules import require_plain


@answering()
def show(
    network: str | Entry | nn.Module | Callable[..., nn.Module],
    size: tuple[int, int, int] | None = None,
    batch: int = 1,
) -> Report:
    """Every layer of a network: shapes, parameters, arithmetic, memory and receptive field.

    `network` is a name of the catalogue, `path/to/file.py:builder`, the entry that `find` returns
    for either, a builder, or a module. `size` is that of one image, (c, h, w), by default the
    paper's. Nothing is allocated for a network of the catalogue.
    Raises a ValueError for an unknown name, a file that does not run, a module without a size, and
    images that the network cannot take.

    >>> show("vgg_d").totals.params
    138357544
    """
    if isinstance(network, nn.Module):
        if size is None:
            raise ValueError("a module needs the size of one image, such as (3, 224, 224)")
        require_plain(network)
        return measure(network, size, batch)
    entry = network if isinstance(network, Entry) else catalog.find(network)
    size = size or entry.input
    try:
        with torch.device("meta"):
            built = entry.build(channels=size[0])
    except ValueError:  # a builder may compute with values, which meta tensors lack
        built = entry.build(channels=size[0])
    require_plain(built)
    return measure(built, size, batch, name=entry.name)
