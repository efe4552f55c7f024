"""Three ways to join layers: one after another, side by side, and around.

With these a network is written as its paper draws it, and the names given here are the names
everywhere: attribute, checkpoint key, row of a report.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from classicnets.measure.sizes import explain


def chain(stages: Mapping[str, nn.Module] | None = None, /, **named: nn.Module) -> nn.Sequential:
    """One after another, named in order of execution.

    Names that Python's keywords cannot spell (`1x1`) come in a mapping.

    >>> chain(conv=nn.Conv2d(3, 8, 3), relu=nn.ReLU()).conv.out_channels
    8
    """
    joined = nn.Sequential()
    _fill(joined, {**(stages or {}), **named})
    return joined


class Concat(nn.Module):
    """Side by side: every branch reads the same maps, and what they give is stacked.

    (n, c, h, w) -> (n, sum of the branches' maps, h', w')
    """

    def __init__(self, branches: Mapping[str, nn.Module]):
        super().__init__()
        _fill(self, branches)

    def forward(self, x: Shaped[Tensor, "n c h w"]) -> Shaped[Tensor, "n maps y x"]:
        return torch.cat([branch(x) for branch in self.children()], dim=1)


class Residual(nn.Module):
    """Around: the input takes a shortcut past the body and is added to what the body makes.

    `relu` is the non-linearity after the addition. (n, c, h, w) -> (n, c', h', w')
    """

    def __init__(self, body: nn.Module, shortcut: nn.Module, relu: nn.Module):
        super().__init__()
        self.body = body
        self.shortcut = shortcut
        self.relu = relu

    def forward(self, x: Shaped[Tensor, "n c h w"]) -> Shaped[Tensor, "n maps y x"]:
        return self.relu(self.body(x) + self.shortcut(x))


class Network(nn.Sequential):
    """A whole network: images (n, c, h, w) -> scores (n, classes), larger is likelier.

    Raises a ValueError that teaches when it cannot take the images: which layer cannot work, the
    size it got, and the nearest sizes that would do.
    """

    def __init__(self, stages: Mapping[str, nn.Module] | None = None, /, **named: nn.Module):
        super().__init__()
        _fill(self, {**(stages or {}), **named})

    def forward(self, x: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        if x.ndim != 4 or not x.is_floating_point():
            raise ValueError(explain(self, x.shape, x.dtype))
        try:
            return self.run(x)
        except RuntimeError as error:
            if x.is_meta:  # where explain() itself tries one size after another
                raise
            if reason := explain(self, x.shape, x.dtype):
                raise ValueError(reason) from error
            raise

    def run(self, x: Float[Tensor, "n c h w"]) -> Any:
        """Stage after stage. A network with several heads says here how they are joined."""
        return super().forward(x)


def _fill(module: nn.Module, stages: Mapping[str, nn.Module]) -> None:
    for name, stage in stages.items():
        module.add_module(name, stage)
