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
        (nn.Softmax(dim=2), (3 + 7, 3)),  # every row depends on all others
        (nn.AdaptiveAvgPool2d(3), None),  # windows of two sizes
        (nn.ConvTranspose2d(WIDTH, WIDTH, 2, 2), None),
        (nn.Upsample(scale_factor=2), None),
        (nn.GroupNorm(1, WIDTH), 3 + 7),  # mean and deviation of the image
    ],
)
def test_the_receptive_field_at_the_end_is_exact_or_unknown(end, field):
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


def shuffle(x: Tensor) -> Tensor:
    n, _, h, w = x.shape
    return x.view(n, 1, 2, 2, h, w).permute(0, 1, 4, 2, 5, 3).reshape(n, 1, 2 * h, 2 * w)


def overwritten(x: Tensor) -> Tensor:
    y = x.clone()
    y[:, :, :4] = x[:, :, -4:]
    return y + 0


def spread(x: Tensor) -> Tensor:
    y = x.new_zeros(x.shape[0], x.shape[1], 2 * x.shape[2], x.shape[3])
    y[:, :, ::2] = x
    return y + 0


def cropped(x: Tensor) -> Tensor:
    return F.pad(x, (-1, -1, -2, -1))


# each takes 4 maps of 12x12, and is exact or else unknown
BY_HAND = {
    "repeat_interleave": (lambda x: x.repeat_interleave(2, 2), False),
    "expand": (lambda x: x[:, :, :, None].expand(-1, -1, -1, 2, -1).reshape(-1, 4, 24, 12), False),
    "expand before": (lambda x: x[:, :, None].expand(-1, -1, 2, -1, -1).flatten(2, 3), False),
    "times ones": (
        lambda x: (x[:, :, :, None] * torch.ones_like(x[:1, :1, None, :2, :1])).flatten(2, 3),
        False),
    "stack": (lambda x: torch.stack([x, x], 3).flatten(2, 3), False),
    "kron": (lambda x: torch.kron(x, torch.ones_like(x[:1, :1, :2, :1])), False),
    "view and permute": (shuffle, False),
    "pixel_shuffle": (nn.PixelShuffle(2), False),
    "pixel_unshuffle": (nn.PixelUnshuffle(2), False),
    "maps to rows": (lambda x: x.reshape(-1, 1, 48, 12), False),
    "rows split": (lambda x: x.unflatten(2, (6, 2)).amax(3), False),
    "tile": (lambda x: x.tile(1, 1, 2, 1), False),
    "concatenated positions": (lambda x: torch.cat([x, x], 2), False),
    "concatenated maps": (lambda x: torch.cat([x[:, :, 1:], x[:, :, :-1]], 1), True),
    "sum of shifted": (lambda x: x[:, :, 1:] + x[:, :, :-1], True),
    "strided": (lambda x: x[:, :, 1::3], True),
    "interleaved slices": (lambda x: torch.cat([x[:, :, ::2], x[:, :, 1::2]], 1), True),
    "last rows": (lambda x: x[:, :, -4:], True),
    "roll": (lambda x: x.roll(3, 2), False),
    "flip": (lambda x: x.flip(2), False),
    "rot90": (lambda x: x.rot90(1, (2, 3)), False),
    "index_select": (lambda x: x.index_select(2, torch.arange(11, -1, -1, device=x.device)), False),
    "index": (lambda x: x[:, :, torch.arange(11, -1, -1, device=x.device)], False),
    "cropped": (cropped, True),
    "reflected": (lambda x: F.pad(x, (1, 1, 2, 1), mode="reflect"), False),
    "replicated": (lambda x: F.pad(x, (1, 1, 2, 1), mode="replicate"), False),
    "circular": (lambda x: F.pad(x, (1, 1, 2, 1), mode="circular"), False),
    "unfold and fold": (lambda x: F.fold(F.unfold(x, 3), (12, 12), 3), False),
    "Tensor.unfold": (lambda x: x.unfold(2, 3, 1).sum(-1), False),
    "cumsum": (lambda x: x.cumsum(2), False),
    "overwritten": (overwritten, False),
    "spread": (spread, False),
    "where": (lambda x: torch.where(x > 0, x, x.flip(2)), False),
    "squeeze and excite": (lambda x: x * x.mean((2, 3), keepdim=True), False),
    "pooled everywhere": (lambda x: x.mean((2, 3))[:, :, None, None].expand_as(x) + 0, False),
    "bias from the image": (
        lambda x: F.layer_norm(x, x.shape[3:], bias=x.mean((0, 1, 2))), False),
    "instance_norm": (F.instance_norm, True),
    "group_norm": (lambda x: F.group_norm(x, 2), True),
    "layer_norm of an image": (lambda x: F.layer_norm(x, x.shape[1:]), True),
    "layer_norm of a row": (lambda x: F.layer_norm(x, x.shape[3:]), True),
    "layer_norm of maps": (
        lambda x: F.layer_norm(x.movedim(1, 3), (x.shape[1],)).movedim(3, 1), True),
    "local_response_norm": (lambda x: F.local_response_norm(x, 3), True),
    "softmax of rows": (lambda x: x.softmax(2), True),
    "batch's own statistics": (lambda x: F.batch_norm(x, None, None, training=True), True),
    "a window after all": (lambda x: F.max_pool2d(F.group_norm(x, 1), 3, 1, 1), True),
    "padding after all": (lambda x: F.pad(F.group_norm(x, 1), (1, 1, 1, 1)), False),
}  # fmt: skip


class ByHand(nn.Module):
    def __init__(self, name: str):
        super().__init__()
        self.conv, self.change = nn.Conv2d(1, 4, 3), BY_HAND[name][0]
        nn.init.uniform_(self.conv.weight, 0.5, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.change(self.conv(x))


@pytest.mark.parametrize("name", BY_HAND)
def test_positions_that_are_moved_by_hand_are_followed_exactly_or_not_at_all(name):
    network = ByHand(name)
    layer = measure(network, (1, 14, 14)).layers[-1]
    assert (layer.receptive_field is not None) is BY_HAND[name][1]
    if layer.receptive_field is None:
        return
    size, stride, offset = both(layer.receptive_field)[0], both(layer.stride)[0], layer.offset
    for row, seen in enumerate(rows_seen(network.double())):
        first = both(offset)[0] + row * stride
        assert seen == (first, first + size - 1), row


def rows_seen(network: nn.Module) -> list[tuple[int, int]]:
    """The first and the last row of the image that each row of the output depends on."""
    seen: list[set[int]] = []
    for _ in range(12):
        image = torch.rand(1, 1, 14, 14, dtype=torch.double, requires_grad=True)
        rows = network(image).unbind(2)
        seen = seen or [set() for _ in rows]
        for i, row in enumerate(rows):
            loss = (row * torch.rand_like(row)).sum()
            (gradient,) = torch.autograd.grad(loss, image, retain_graph=True)
            seen[i] |= {*gradient.abs().sum((0, 1, 3)).nonzero().flatten().tolist()}
    return [(min(pixels), max(pixels)) for pixels in seen]


@pytest.mark.parametrize("sides", [1, 2, 3])
def test_instance_normalisation_is_group_normalisation_with_one_map_a_group(sides):
    size = (4, *[6] * sides)
    kind = getattr(nn, f"InstanceNorm{sides}d")
    instance = measure(kind(4, affine=True), size).totals
    group = measure(nn.GroupNorm(4, 4), size).totals
    kinds = ("receptive_field", "stride", "offset", "additions", "multiplications", "divisions")
    assert [getattr(instance, k) for k in kinds] == [getattr(group, k) for k in kinds]
    n = 4 * 6**sides
    assert (instance.receptive_field, instance.stride, instance.additions) == (6, 0, 4 * n)


def test_tracked_statistics_are_constants_in_instance_normalisation_too():
    tracked = nn.InstanceNorm2d(4, affine=True, track_running_stats=True)
    for network in (tracked.train(), tracked.eval(), nn.BatchNorm2d(4)):
        totals = measure(network, (4, 6, 6)).totals
        assert totals.receptive_field == 1
        assert totals.additions - 2 * 4 * 36 in (0, 2 * 4)  # and the mean over the batch, to track
    own = measure(nn.BatchNorm2d(4, track_running_stats=False), (4, 6, 6)).totals
    assert (own.receptive_field, own.additions) == (6, 4 * 4 * 36)
