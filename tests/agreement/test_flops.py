"""Multiply-adds of the whole catalogue against torch's FLOP counter, which counts two for each."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from classicnets import catalog

pytestmark = pytest.mark.agreement

# torch counts C3 of LeNet-5 as the dense convolution that implements Table I: 96 kernels, not 60
ZEROS = {"lenet5": (96 - 60) * 25 * 10 * 10}

DEEP = ("resnet110", "resnet1202", "plain110")
NAMES = [pytest.param(n, marks=[pytest.mark.slow] * (n in DEEP)) for n in catalog.names()]


@pytest.mark.parametrize("name", NAMES)
def test_multiply_adds_are_half_of_torchs_flop(measured, name):
    entry = catalog.find(name)
    with torch.device("meta"):
        network, image = entry.build().eval(), torch.empty(1, *entry.input)
    with FlopCounterMode(display=False) as counter:
        network(image)
    ours = measured(name).totals.macs + ZEROS.get(name, 0)
    assert 2 * ours == counter.get_total_flops()
