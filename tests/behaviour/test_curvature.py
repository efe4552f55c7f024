"""The curvature of the error along each parameter, against plain arithmetic and true Hessians."""

import math
import random

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from classicnets.models.lenet import lenet5
from classicnets.training.recipe.curvature import curvature
from classicnets.training.recipe.init import LecunUniform
from classicnets.training.recipe.optimizers import LevenbergMarquardt


class Distances(nn.Module):
    """Negated squared distances to fixed points."""

    def __init__(self, *points: tuple[float, ...]):
        super().__init__()
        self.register_buffer("points", torch.tensor(points))

    def forward(self, x):
        return -(x[:, None] - self.points).square().sum(2)


def test_the_recursion_agrees_with_scalars_on_a_net_with_shared_weights():
    """conv 2@3x3 (kernel 2, input 4x4), tanh, fully connected 3, tanh, squared distances."""
    draw = random.Random(5)
    conv, full = nn.Conv2d(1, 2, 2), nn.Linear(18, 3)
    net = nn.Sequential(
        conv, nn.Tanh(), nn.Flatten(), full, nn.Tanh(), Distances((1.0, -1, 1), (-1.0, 1, 1))
    )
    pictures = [[[draw.uniform(-1, 1) for _ in range(4)] for _ in range(4)] for _ in range(3)]
    found = curvature(net, torch.tensor(pictures)[:, None])

    u, c = conv.weight[:, 0].tolist(), conv.bias.tolist()
    v, b = full.weight.tolist(), full.bias.tolist()
    of_u = [[[0.0] * 2 for _ in range(2)] for _ in range(2)]
    of_c, of_b = [0.0] * 2, [0.0] * 3
    of_v = [[0.0] * 18 for _ in range(3)]
    for x in pictures:
        units = [(m, y, z) for m in range(2) for y in range(3) for z in range(3)]
        hidden = []
        for m, y, z in units:
            a = c[m] + sum(u[m][p][q] * x[y + p][z + q] for p in range(2) for q in range(2))
            hidden.append(math.tanh(a))
        bend_below = [0.0] * 18
        for i in range(3):
            top = math.tanh(b[i] + sum(v[i][j] * hidden[j] for j in range(18)))
            bend = 2 * (1 - top**2) ** 2  # of a squared distance it is 2, then times f'^2
            of_b[i] += bend / 3
            for j in range(18):
                of_v[i][j] += bend * hidden[j] ** 2 / 3
                bend_below[j] += v[i][j] ** 2 * bend
        for (m, y, z), h, below in zip(units, hidden, bend_below, strict=True):
            bend = (1 - h**2) ** 2 * below
            of_c[m] += bend / 3
            for p in range(2):
                for q in range(2):
                    of_u[m][p][q] += bend * x[y + p][z + q] ** 2 / 3
    torch.testing.assert_close(found["0.weight"], torch.tensor(of_u)[:, None])
    torch.testing.assert_close(found["0.bias"], torch.tensor(of_c))
    torch.testing.assert_close(found["3.weight"], torch.tensor(of_v))
    torch.testing.assert_close(found["3.bias"], torch.tensor(of_b))
    assert set(found) == {"0.weight", "0.bias", "3.weight", "3.bias"}


def true_diagonal(net, x, error):
    """d2E/dw^2 by differentiating twice, for each parameter of a net."""
    parameters = list(net.parameters())
    diagonals = [torch.zeros(p.numel()) for p in parameters]
    first = torch.autograd.grad(error(net(x)), parameters, create_graph=True)
    for parameter, gradient, diagonal in zip(parameters, first, diagonals, strict=True):
        for i, g in enumerate(gradient.flatten()):
            second = torch.autograd.grad(g, parameter, retain_graph=True)[0]
            diagonal[i] = second.flatten()[i]
    return [d.view_as(p) for d, p in zip(diagonals, parameters, strict=True)]


def test_one_layer_of_distances_has_its_true_hessian():
    net = nn.Sequential(nn.Linear(4, 3), Distances((1.0, -1, 1), (-1.0, -1, 1)))
    x = torch.randn(6, 4)
    found = curvature(net, x)
    weight, bias = true_diagonal(net, x, lambda scores: -scores[:, 0].mean())
    torch.testing.assert_close(found["0.weight"], weight)
    torch.testing.assert_close(found["0.bias"], bias)


def test_one_layer_with_cross_entropy_has_its_true_hessian():
    net = nn.Linear(4, 3)
    x = torch.randn(6, 4)
    found = curvature(net, x)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    weight, bias = true_diagonal(net, x, lambda scores: F.cross_entropy(scores, labels))
    torch.testing.assert_close(found["weight"], weight)
    torch.testing.assert_close(found["bias"], bias)


def test_where_each_unit_feeds_one_other_nothing_is_dropped():
    """One input, a chain of single units through pooling: all Hessians are diagonal anyway."""
    net = nn.Sequential(
        nn.Conv2d(1, 1, 2, stride=2, bias=False),
        nn.MaxPool2d(2),
        nn.Dropout(0.5),
        nn.AvgPool2d(1),
        nn.Flatten(),
        nn.Linear(1, 1, bias=False),
        Distances((1.0,)),
    )
    x = torch.zeros(5, 1, 4, 4)
    x[:, 0, 2, 3] = torch.tensor([0.5, -1, 2, 1, -3])
    net[0].weight.data = torch.tensor([[[[0.3, -0.4], [0.7, 0.9]]]])
    found = curvature(net, x)
    net.eval()
    first, second = true_diagonal(net, x, lambda scores: -scores.mean())
    torch.testing.assert_close(found["0.weight"], first)
    torch.testing.assert_close(found["5.weight"], second)


def test_the_mean_of_four_counts_a_sixteenth_from_each():
    net = nn.Sequential(
        nn.Conv2d(1, 1, 1, bias=False), nn.AvgPool2d(2), nn.Flatten(), Distances((0.0,))
    )
    found = curvature(net, torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))
    # four uses of the weight, each 2 * (1/4)^2 * x^2
    assert found["0.weight"].item() == pytest.approx(2 / 16 * (1 + 4 + 9 + 16))


def lenet_at_its_start():
    net = lenet5()
    counts = (75,) * 18 + (100,) * 36 + (150,) * 6
    fan_in = (("S2.coefficient", (4,)), ("C3.weight", counts), ("S4.coefficient", (4,)))
    LecunUniform(fan_in)(net, torch.Generator().manual_seed(0))
    return net


def test_lenets_f6_by_hand():
    net = lenet_at_its_start()
    x = torch.rand(7, 1, 32, 32) * 1.275 - 0.1
    seen = {}
    hook = net.F6.register_forward_hook(lambda _, args, out: seen.update(x=args[0], a=out))
    net(x)
    hook.remove()
    found = curvature(net, x)
    slope = 1.7159 * 2 / 3 * (1 - torch.tanh(2 / 3 * seen["a"]) ** 2)
    expected = torch.stack(
        [2 * s[:, None] ** 2 * inputs**2 for s, inputs in zip(slope, seen["x"], strict=True)]
    ).mean(0)
    torch.testing.assert_close(found["F6.weight"], expected)
    torch.testing.assert_close(found["F6.bias"], (2 * slope**2).mean(0))


@pytest.mark.parametrize(("classes", "channels"), [(10, 1), (3, 3), (12, 1)])
def test_every_parameter_of_lenet_has_its_curvature(classes, channels):
    net = lenet5(classes, channels)
    found = curvature(net, torch.randn(4, channels, 32, 32))
    assert {n: h.shape for n, h in found.items()} == {n: p.shape for n, p in net.named_parameters()}
    for h in found.values():
        assert h.isfinite().all()
        assert (h >= 0).all()
        assert h.max() > 0


def test_looking_for_curvature_leaves_the_network_as_it_was():
    net = lenet5().train()
    before = {n: t.clone() for n, t in net.state_dict().items()}
    curvature(net, torch.randn(4, 1, 32, 32))
    assert net.training
    assert all(torch.equal(t, before[n]) for n, t in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())
    assert not any(layer._forward_hooks for layer in net.modules())


def test_lenet_learns_by_heart_image_by_image():
    net = lenet_at_its_start()
    x, labels = torch.randn(10, 1, 32, 32), torch.arange(10)
    optimizer = LevenbergMarquardt(mu=0.02, error_divisor=84.0).build(net)
    for _ in range(30):
        optimizer.estimate_curvature(net, x)
        optimizer.param_groups[0]["lr"] = 5e-3
        for i in range(10):
            optimizer.zero_grad()
            (-net(x[i : i + 1])[0, labels[i]]).backward()
            optimizer.step()
    assert (net(x).argmax(1) == labels).all()


def test_the_memory_layout_changes_nothing():
    net = lenet5(channels=3)
    x = torch.randn(4, 3, 32, 32)
    plain = curvature(net, x)
    net.to(memory_format=torch.channels_last)
    for name, h in curvature(net, x.contiguous(memory_format=torch.channels_last)).items():
        torch.testing.assert_close(h, plain[name])


class Doubled(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x):
        return self.one(x) + self.two(x)


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2), nn.Linear(2, 2)), "through 1, a LayerN"),
        (nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2)), "through 0, a BatchNorm1d"),
        (nn.Sequential(nn.Linear(2, 2), nn.PReLU(), nn.Linear(2, 2)), "through 1, a PReLU"),
        (nn.Sequential(nn.Linear(2, 2), nn.Softmax(1), nn.Linear(2, 2)), "through 1, a Softmax"),
        (Doubled(), "Linear does not read what Linear gives"),
    ],
)
def test_a_layer_through_which_it_cannot_go_is_named(net, words):
    if isinstance(net[0] if isinstance(net, nn.Sequential) else None, nn.BatchNorm1d):
        net[0].running_var.fill_(4.0)
    with pytest.raises(ValueError, match=words):
        curvature(net, torch.randn(3, 2))
