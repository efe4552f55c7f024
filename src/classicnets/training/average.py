"""Averages of the weights over the steps of a training, which are then judged and kept."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from classicnets.layers.bounds import bounded


@dataclass(frozen=True)
class Polyak:
    """The plain mean over all steps since `since`, a share of the training.

    Polyak and Juditsky 1992, which arXiv:1409.4842, section 6, takes for its final networks.
    """

    since: float = 0.0

    def __post_init__(self):
        bounded(self, since=(0, 1))

    def build(self, network: nn.Module) -> AveragedModel:
        return AveragedModel(network, use_buffers=True)


@dataclass(frozen=True)
class Ema:
    """A mean that forgets: each step it keeps the share `decay` of itself, at first less."""

    decay: float = 0.999
    since: float = 0.0

    def __post_init__(self):
        bounded(self, decay=(0, 1), since=(0, 1))

    def build(self, network: nn.Module) -> AveragedModel:
        @torch.no_grad()
        def blend(held: Any, new: Any, count: Tensor | int) -> None:
            n = float(count)
            share = 1 - min(self.decay, (1 + n) / (10 + n))
            for old, value in zip(held, new, strict=True):
                old.lerp_(value, share) if old.is_floating_point() else old.copy_(value)

        return AveragedModel(network, multi_avg_fn=blend, use_buffers=True)


Average = Polyak | Ema
