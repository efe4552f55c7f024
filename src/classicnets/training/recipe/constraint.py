"""Constraints on the weights, imposed after every update."""

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class FilterRms:
    """Filters of convolutions whose root mean square exceeds `limit` are scaled back to it.

    Zeiler and Fergus, arXiv:1311.2901v3, section 3, so that a few filters of the first layer do not
    dominate. A filter covers all input maps of one output map; biases and fully connected layers
    are left alone. Raises a ValueError for a limit that is not positive.
    """

    limit: float = 0.1

    def __post_init__(self):
        if not self.limit > 0:
            raise ValueError(f"limit must be positive, not {self.limit}")

    @torch.no_grad()
    def __call__(self, network: nn.Module) -> None:
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                rms = layer.weight.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
                layer.weight.mul_((self.limit / rms).clamp(max=1))
