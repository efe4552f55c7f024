"""Containers that join layers: in sequence, in parallel branches, and around a shortcut.

A network is written with them as its paper draws it. The names given to its layers are the names
everywhere: attribute, checkpoint key, row of a report.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn


def chain(stages: Mapping[str, nn.Module] | None = None, /, **named: nn.Module) -> nn.Sequential:
    """Layers in sequence, with their names in order of execution.

    Names that are not Python identifiers (`1x1`) go into the mapping.

    >>> chain(conv=nn.Conv2d(3, 8, 3), relu=nn.ReLU()).conv.out_channels
    8
    """
    sequence = nn.Sequential()
    _fill(sequence, {**(stages or {}), **named})
    return sequence


class Concat(nn.Module):
    """Parallel branches that read the same maps; their outputs are concatenated.

    (n, c, h, w) -> (n, sum of the branches' maps, h', w')
    """

    def __init__(self, branches: Mapping[str, nn.Module]):
        super().__init__()
        _fill(self, branches)

    def forward(self, x: Shaped[Tensor, "n c h w"]) -> Shaped[Tensor, "n maps y x"]:
        return torch.cat([branch(x) for branch in self.children()], dim=1)


class Residual(nn.Module):
    """relu(body(x) + shortcut(x)). (n, c, h, w) -> (n, c', h', w')

    `relu` is the non-linearity after the addition.
    """

    def __init__(self, body: nn.Module, shortcut: nn.Module, relu: nn.Module):
        super().__init__()
        self.body = body
        self.shortcut = shortcut
        self.relu = relu

    def forward(self, x: Shaped[Tensor, "n c h w"]) -> Shaped[Tensor, "n maps y x"]:
        return self.relu(self.body(x) + self.shortcut(x))


class Aside(nn.Sequential):
    """A side branch of a `Network`: a chain that reads the maps before it and feeds nothing.

    Its output is one more output of the network in training; in evaluation it does not run.
    """

    def __init__(self, stages: Mapping[str, nn.Module] | None = None, /, **named: nn.Module):
        super().__init__()
        _fill(self, {**(stages or {}), **named})


class Network(nn.Sequential):
    """A whole network: images (n, c, h, w) -> scores (n, classes); larger is likelier.

    With side branches (`Aside`) it gives a tuple in training: the scores, then each branch's.

    Raises a ValueError for images that it cannot take. The message names the layer that fails, the
    size that layer got, and the nearest sizes that fit.
    """

    def __init__(self, stages: Mapping[str, nn.Module] | None = None, /, **named: nn.Module):
        super().__init__()
        _fill(self, {**(stages or {}), **named})

    def forward(self, x: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        if x.ndim != 4 or not x.is_floating_point():
            raise ValueError(_misfit(self, x))
        try:
            return self.run(x)
        except RuntimeError as error:
            if x.is_meta:  # _misfit() itself tries sizes on the meta device
                raise
            if reason := _misfit(self, x):
                raise ValueError(reason) from error
            raise

    def run(self, x: Float[Tensor, "n c h w"]) -> Any:
        """The stages in sequence, and in training the branches beside them."""
        asides: list[Any] = []
        for stage in self.children():
            if not isinstance(stage, Aside):
                x = stage(x)
            elif self.training:
                asides.append(stage(x))
        return (x, *asides) if asides else x


def _misfit(network: Network, x: Tensor) -> str:
    from classicnets.measure.sizes import explain  # noqa: PLC0415  # only where images do not fit

    return explain(network, x.shape, x.dtype)


def _fill(module: nn.Module, stages: Mapping[str, nn.Module]) -> None:
    for name, stage in stages.items():
        module.add_module(name, stage)
