"""Multiply-adds of random networks against torch's FLOP counter, which counts two for each."""

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from classicnets.measure import measure

pytestmark = pytest.mark.agreement


@st.composite
def convolution(draw: st.DrawFn) -> nn.Module:
    groups = draw(st.sampled_from([1, 2, 4]))
    kind = draw(st.sampled_from([nn.Conv2d, nn.ConvTranspose2d]))
    k, stride, bias = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.booleans())
    return kind(4, 4, k, stride=stride, padding=k // 2, groups=groups, bias=bias)


class Attention(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        maps = x.flatten(2)
        return (maps @ maps.transpose(1, 2) @ maps).view_as(x)


part = convolution() | st.builds(nn.ReLU) | st.builds(Attention)


@given(st.lists(part, min_size=1, max_size=4), st.integers(1, 3), st.booleans())
@settings(max_examples=25, deadline=None)
def test_multiply_adds_are_half_of_torchs_flop(layers, batch, bias):
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3, bias))
    with FlopCounterMode(display=False) as counter:
        net(torch.zeros(batch, 4, 16, 16))
    assert 2 * measure(net, (4, 16, 16), batch=batch).totals.macs == counter.get_total_flops()
