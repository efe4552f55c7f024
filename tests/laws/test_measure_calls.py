"""A module may return anything, and its calls in training are told apart from those elsewhere."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from classicnets.measure import measure


class Output(NamedTuple):
    maps: Tensor
    nothing: None = None


@dataclass
class Packed:
    inside: dict


class Leaf(nn.Module):
    """A convolution without a module for it, whose maps are wrapped."""

    def __init__(self, wrap: Callable[[Tensor], object]):
        super().__init__()
        self.weight, self.wrap = nn.Parameter(torch.rand(4, 3, 3, 3)), wrap

    def forward(self, x: Tensor) -> object:
        return self.wrap(F.conv2d(x, self.weight))


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize(
    ("wrap", "output"),
    [
        (lambda maps: (maps, maps + 1), (4, 6, 6)),
        (lambda maps: [None, maps], (4, 6, 6)),
        (lambda maps: {"out": maps}, (4, 6, 6)),
        (Output, (4, 6, 6)),
        (lambda maps: Packed({"maps": [maps]}), (4, 6, 6)),
        (lambda maps: maps.sum(), ()),
        (lambda maps: None, ()),
        (lambda maps: (), ()),
    ],
)
def test_a_module_without_children_may_return_anything(wrap, output, inside):
    network = nn.Sequential(Leaf(wrap)) if inside else Leaf(wrap)
    report = measure(network, (3, 8, 8))
    (layer,) = report.layers
    assert (report.totals.params, report.totals.macs) == (108, 108 * 36)
    assert (layer.output, report.training_only) == (output, ())


@pytest.mark.parametrize(
    ("network", "gates"),
    [
        (nn.GRU(128, 128, batch_first=True), 3),
        (nn.LSTM(128, 128, batch_first=True), 4),
        (nn.RNN(128, 128, batch_first=True), 1),
    ],
)
def test_a_recurrent_layer_alone_is_measured(network, gates):
    totals = measure(network, (32, 128)).totals
    assert totals.params == gates * (2 * 128 * 128 + 2 * 128)
    assert totals.macs == gates * 32 * 128 * (128 + 128)
    assert totals.output == (32, 128)
    cell = getattr(nn, f"{type(network).__name__}Cell")(128, 128)
    assert measure(cell, (128,)).totals.macs == gates * 128 * (128 + 128)


class SharedHead(nn.Module):
    """A layer of the trunk that a head calls as well, in training."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x: Tensor) -> object:
        if not self.training:
            return self.conv(self.conv(x))
        head = self.conv(x[:, :, ::2])
        return self.conv(self.conv(x)), head


def test_a_layer_of_the_trunk_that_a_head_calls_too_counts_once_per_call_of_the_trunk():
    report = measure(SharedHead(), (1, 8, 8))
    assert [layer.name for layer in report.layers] == ["conv (2)", "conv (3)"]
    assert [layer.name for layer in report.training_only] == ["getitem", "conv"]
    assert report.totals.macs == 2 * 64 * 9
    assert report.training_only[1].macs == 32 * 9


class Trains(nn.Module):
    def __init__(self):
        super().__init__()
        self.child = nn.Identity()

    def forward(self, x: Tensor) -> object:
        return (x + 1, x) if self.training else self.child(x)


@pytest.mark.parametrize("network", [nn.Identity(), Trains()])
def test_a_network_without_an_operator_is_refused(network):
    with pytest.raises(ValueError, match=r"runs no operator on an image of \(4,\)"):
        measure(network, (4,))
