"""Averages of the weights over the steps, evaluated and saved in place of the weights."""

# pyright: reportPrivateImportUsage=false
# for the operation on lists of tensors

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, compress

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from classicnets.support.errors import check_range
from classicnets.support.modules import copy_network


@dataclass(frozen=True)
class Polyak:
    """The plain mean over all steps since `since`, a fraction of the training.

    Polyak and Juditsky 1992, which arXiv:1409.4842, section 6, takes for its final networks.
    """

    since: float = 0.0

    def __post_init__(self):
        check_range(self, since=(0, 1))

    def build(self, network: nn.Module) -> AveragedModel:
        return _Average(network, lambda n: 1 / (n + 1))


@dataclass(frozen=True)
class Ema:
    """Exponential moving average; `decay` is what remains of it at each step, less at first."""

    decay: float = 0.999
    since: float = 0.0

    def __post_init__(self):
        check_range(self, decay=(0, 1), since=(0, 1))

    def build(self, network: nn.Module) -> AveragedModel:
        return _Average(network, lambda n: 1 - min(self.decay, (1 + n) / (10 + n)))


Average = Polyak | Ema


class _Average(AveragedModel):
    """torch's AveragedModel, whose own update synchronizes with the device at every step.

    `weight(n)` is the weight of the newest step after n others; the first counts fully.
    """

    def __init__(self, network: nn.Module, weight: Callable[[int], float]):
        super().__init__(nn.Identity(), use_buffers=True)
        self.module = copy_network(network)
        self.weight = weight
        self.averaged: list[bool] = []  # of each parameter and buffer

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        n = int(self.n_averaged)  # which never leaves the CPU
        averages = chain(self.module.parameters(), self.module.buffers())
        pairs = list(zip(averages, chain(model.parameters(), model.buffers()), strict=True))
        if n and not self.averaged:  # looking at values waits for the device, so only once
            self.averaged = [_has_mean(old) and _has_mean(new) for old, new in pairs]
        averaged = self.averaged or [False] * len(pairs)
        if floats := list(compress(pairs, averaged)):
            olds, news = map(list, zip(*floats, strict=True))
            torch._foreach_lerp_(olds, news, self.weight(n))
        for (old, new), is_averaged in zip(pairs, averaged, strict=True):
            if not is_averaged:
                old.copy_(new)
        self.n_averaged += 1


def _has_mean(t: Tensor) -> bool:
    """Unlike a count, an infinite mask, and a sparse tensor, whose entries may move."""
    if not (t.is_floating_point() or t.is_complex()) or t.layout is not torch.strided:
        return False
    return t.dtype.itemsize > 1 and bool(t.isfinite().all())  # no arithmetic with 8 bits
