"""Averages of the weights over the steps of a training, which are then judged and kept."""

# pyright: reportPrivateImportUsage=false
# for the operation on lists of tensors

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain

import torch
from torch import nn
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
        return _Average(network, lambda n: 1 / (n + 1))


@dataclass(frozen=True)
class Ema:
    """A mean that forgets: each step it keeps the share `decay` of itself, at first less."""

    decay: float = 0.999
    since: float = 0.0

    def __post_init__(self):
        bounded(self, decay=(0, 1), since=(0, 1))

    def build(self, network: nn.Module) -> AveragedModel:
        return _Average(network, lambda n: 1 - min(self.decay, (1 + n) / (10 + n)))


Average = Polyak | Ema


class _Average(AveragedModel):
    """torch's, but for the update, which there waits for the device in every step.

    The step after n others counts by `share(n)`, the first one wholly.
    """

    def __init__(self, network: nn.Module, share: Callable[[int], float]):
        super().__init__(network, use_buffers=True)
        self.share = share

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        n = int(self.n_averaged)  # which never leaves the CPU
        held = chain(self.module.parameters(), self.module.buffers())
        pairs = list(zip(held, chain(model.parameters(), model.buffers()), strict=True))
        numbers = [(old, new) for old, new in pairs if old.is_floating_point()]
        if numbers:
            olds, news = map(list, zip(*numbers, strict=True))
            torch._foreach_lerp_(olds, news, self.share(n) if n else 1.0)
        for old, new in pairs:
            if not old.is_floating_point():  # a count
                old.copy_(new)
        self.n_averaged += 1
