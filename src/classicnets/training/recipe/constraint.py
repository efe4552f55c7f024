"""Constraints on the weights, imposed after every update."""

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class FilterRms:
    """Filters of convolutions whose root mean square exceeds `limit` are scaled back to it.

    Zeiler and Fergus, arXiv:1311.2901v3, section 3, so that a few filters of the first layer do not
    dominate. A filter covers all input maps of one output map; biases and fully connected layers
    are left alone, and so are frozen filters. Raises a ValueError for a limit that is not positive,
    and for filters that are computed from other parameters.
    """

    limit: float = 0.1

    def __post_init__(self):
        if not self.limit > 0:
            raise ValueError(f"limit must be positive, not {self.limit}")

    @torch.no_grad()
    def __call__(self, network: nn.Module) -> None:
        for weight in self.filters(network):
            rms = weight.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
            weight.mul_((self.limit / rms).clamp(max=1))

    def filters(self, network: nn.Module) -> list[nn.Parameter]:
        """The weights that are constrained."""
        found = []
        for name, layer in network.named_modules():
            if isinstance(layer, nn.Conv2d):
                if not isinstance(layer.weight, nn.Parameter):
                    raise ValueError(
                        f"constraint={self!r} cannot scale {name}.weight, which is computed from "
                        "other parameters; leave it out with constraint=None"
                    )
                found += [layer.weight] * layer.weight.requires_grad
        return found
