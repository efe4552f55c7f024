"""The receptive field of a position is the bounding box of the pixels its value depends on."""

import pytest
import torch
from hypothesis import assume, given, settings, strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from classicnets.measure import measure

WIDTH, SIDE = 2, 97


class Concat(nn.Module):
    def __init__(self, a: nn.Module, b: nn.Module):
        super().__init__()
        self.a, self.b = a, b
        self.merge = nn.Conv2d(2 * WIDTH, WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.merge(torch.cat([self.a(x), self.b(x)], dim=1))


class Add(nn.Module):
    def __init__(self, body: nn.Module, shortcut: nn.Module):
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


class Subsample(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, 1::2, ::2], (1, 0, 2, 1, 0, 0))


@st.composite
def window(draw: st.DrawFn) -> nn.Module:
    k = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    stride = draw(st.integers(1, 2))
    padding = (draw(st.integers(0, k[0] // 2)), draw(st.integers(0, k[1] // 2)))
    if draw(st.booleans()):
        return nn.AvgPool2d(k, stride, padding, ceil_mode=draw(st.booleans()))
    dilation = draw(st.integers(1, 2))
    return nn.Conv2d(
        WIDTH, WIDTH, k, stride, padding, dilation, groups=draw(st.sampled_from([1, 2]))
    )


@st.composite
def same_size(draw: st.DrawFn) -> nn.Module:
    """A convolution that preserves the size of the maps, so that branches can be joined."""
    k, dilation = draw(st.sampled_from([1, 3, 5])), draw(st.integers(1, 2))
    return nn.Conv2d(WIDTH, WIDTH, k, padding=k // 2 * dilation, dilation=dilation)


branch = st.lists(same_size(), max_size=3).map(lambda layers: nn.Sequential(*layers))
joined = st.builds(Concat, branch, branch) | st.builds(Add, branch, branch)
part = window() | joined | st.builds(Subsample) | st.builds(nn.ReLU)
stack = st.lists(part, min_size=1, max_size=4).map(lambda layers: nn.Sequential(*layers))


def support(network: nn.Module, image: Tensor) -> tuple[tuple[int, int, int], ...]:
    """For each side the centre position, and the first and last pixel with a gradient."""
    network = network.double()
    for p in network.parameters():
        nn.init.constant_(p, 0.5)  # positive weights: nothing cancels, no ReLU gives 0
    image = image.double().requires_grad_()
    out = network(image)
    row, column = (side // 2 for side in out.shape[2:])
    out[0, 0, row, column].backward()
    assert image.grad is not None
    nonzero = image.grad[0].sum(0) != 0
    ys, xs = nonzero.any(1).nonzero().flatten(), nonzero.any(0).nonzero().flatten()
    return (row, int(ys[0]), int(ys[-1])), (column, int(xs[0]), int(xs[-1]))


def both(value: object) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value  # type: ignore[return-value]


@given(stack)
@settings(max_examples=40, deadline=None)
def test_the_receptive_field_is_the_support_of_the_gradient(network):
    layer = measure(network, (WIDTH, SIDE, SIDE)).layers[-1]
    sides = support(network, torch.ones(1, WIDTH, SIDE, SIDE))
    for size, stride, offset, (position, first, last) in zip(
        both(layer.receptive_field),
        both(layer.stride),
        both(layer.offset),
        sides,
        strict=True,
    ):
        start = offset + position * stride
        assume(start >= 0 and start + size <= SIDE)  # the gradient ends where the image does
        assert (start, start + size - 1) == (first, last)


@given(branch, branch)
@settings(max_examples=20, deadline=None)
def test_the_smallest_path_is_the_smaller_branch_alone(a, b):
    def alone(path: nn.Sequential) -> int:
        if not len(path):
            return 1
        field = measure(path, (WIDTH, 33, 33)).layers[-1].receptive_field
        assert isinstance(field, int)
        return field

    layer = measure(Add(a, b), (WIDTH, 33, 33)).layers[-1]
    assert layer.smallest_receptive_field == min(alone(a), alone(b))
    assert layer.receptive_field == max(alone(a), alone(b))


@pytest.mark.parametrize(
    ("end", "field"),
    [
        (nn.AdaptiveAvgPool2d(1), 3 + 7),
        (nn.AdaptiveAvgPool2d(2), 3 + 3),
        (nn.Sequential(nn.Flatten(), nn.Linear(8 * 8 * WIDTH, 5)), 3 + 7),
        (nn.Sequential(nn.Flatten(), nn.ReLU()), 3),
        (nn.BatchNorm2d(WIDTH), 3),
        (nn.LocalResponseNorm(3), 3),
        (nn.Softmax(dim=1), 3),
        (nn.Softmax(dim=2), None),  # every row depends on all others
        (nn.AdaptiveAvgPool2d(3), None),  # windows of two sizes
        (nn.ConvTranspose2d(WIDTH, WIDTH, 2, 2), None),
        (nn.Upsample(scale_factor=2), None),
        (nn.GroupNorm(1, WIDTH), None),
    ],
)
def test_a_receptive_field_that_cannot_be_followed_exactly_is_unknown(end, field):
    network = nn.Sequential(nn.Conv2d(1, WIDTH, 3, padding=1), end)
    assert measure(network, (1, 8, 8), batch=2).layers[-1].receptive_field == field


class Overwrites(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x.clone()
        window = y[:, :, :2]
        y.mul_(2)
        return window + 0  # a view taken before y changed


def test_the_receptive_field_of_a_view_of_overwritten_maps_is_unknown():
    assert measure(Overwrites(), (1, 8, 8)).layers[-1].receptive_field is None


class Squares(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x[:, 0]
        return torch.bmm(y, y)  # both factors depend on the image, and are one tensor


def test_the_receptive_field_of_a_product_of_the_image_with_itself_is_unknown():
    assert measure(Squares(), (1, 8, 8)).layers[-1].receptive_field is None


def test_sides_that_differ_have_one_value_each():
    layer = measure(nn.Conv2d(1, 1, (3, 5), stride=(2, 1), padding=(1, 0)), (1, 9, 9)).layers[0]
    assert (layer.receptive_field, layer.stride, layer.offset) == ((3, 5), (2, 1), (-1, 0))
