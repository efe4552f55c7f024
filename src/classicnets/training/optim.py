"""Update rules as values; `build` ties one to a network."""

from dataclasses import dataclass

import torch
from torch import nn

FUSED_ON = ("cpu", "cuda")


@dataclass(frozen=True)
class SGD:
    """v <- momentum v + gradient + decay w; w <- w - rate v: the rate is outside the velocity.

    That is torch's rule. AlexNet's and Caffe's have the rate inside, and part company with it
    whenever the rate changes. `decay_all=False` spares biases and normalisation.
    """

    momentum: float = 0.0
    decay: float = 0.0
    nesterov: bool = False
    decay_all: bool = True

    def build(self, network: nn.Module) -> torch.optim.Optimizer:
        learned = [p for p in network.parameters() if p.requires_grad]
        if not learned:
            raise ValueError(f"{type(network).__name__} has no parameters to train")
        groups = [{"params": learned, "weight_decay": self.decay}]
        if not self.decay_all:
            groups = [
                {"params": [p for p in learned if p.ndim > 1], "weight_decay": self.decay},
                {"params": [p for p in learned if p.ndim <= 1], "weight_decay": 0.0},
            ]
        return torch.optim.SGD(
            [group for group in groups if group["params"]],
            lr=0.0,  # each step sets it
            momentum=self.momentum,
            nesterov=self.nesterov,
            fused=all(p.device.type in FUSED_ON for p in learned),
        )
