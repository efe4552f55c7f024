"""The reported bytes are those that autograd saves when the network runs on values."""

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn

from classicnets.measure import measure

WIDTH, SIDE = 4, 12


class Add(nn.Module):
    def __init__(self, *body: nn.Module):
        super().__init__()
        self.body = nn.Sequential(*body)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) * torch.sigmoid(x) + x)


def conv(k: int = 3) -> nn.Module:
    return nn.Conv2d(WIDTH, WIDTH, k, padding=k // 2)


layer = st.sampled_from(
    [
        lambda: conv(1),
        conv,
        lambda: nn.BatchNorm2d(WIDTH),
        nn.ReLU,
        nn.Tanh,
        nn.Sigmoid,
        nn.Dropout,
        lambda: nn.MaxPool2d(3, stride=1, padding=1),
        lambda: nn.AvgPool2d(3, stride=1, padding=1),
        lambda: nn.LocalResponseNorm(3),
        lambda: Add(conv(), nn.BatchNorm2d(WIDTH), nn.ReLU(), conv()),
        lambda: nn.Sequential(nn.BatchNorm2d(WIDTH), nn.ReLU(inplace=True)),
    ]
).map(lambda make: make())


def network(layers: list[nn.Module], pool: bool) -> nn.Sequential:
    end = [nn.AdaptiveAvgPool2d(1)] if pool else []
    features = WIDTH if pool else WIDTH * SIDE * SIDE
    return nn.Sequential(conv(), *layers, *end, nn.Flatten(), nn.Linear(features, 3))


@given(st.lists(layer, max_size=5), st.booleans(), st.integers(2, 3))
@settings(max_examples=30, deadline=None)
def test_saved_bytes_are_those_that_autograd_saves(bytes_saved, layers, pool, batch):
    net, images = network(layers, pool), torch.rand(batch, WIDTH, SIDE, SIDE)
    assert net(images).requires_grad
    report = measure(net, (WIDTH, SIDE, SIDE), batch=batch)
    saved = bytes_saved(net, images)
    assert report.totals.saved_bytes == report.training_memory.activations == saved


@pytest.mark.parametrize("device", ["cpu", None])
def test_saved_bytes_follow_autocast_inside_the_forward(bytes_saved, device):
    class Casts(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = network([nn.BatchNorm2d(WIDTH), nn.GELU(), nn.Dropout()], pool=True)

        def forward(self, x: Tensor) -> Tensor:
            with torch.autocast(device or x.device.type, torch.bfloat16):
                return self.body(x)

    net = Casts()
    whole, cast = (measure(n, (WIDTH, SIDE, SIDE), batch=2) for n in (net.body, net))
    images = torch.rand(2, WIDTH, SIDE, SIDE)
    assert net(images).requires_grad
    assert cast.totals.saved_bytes == bytes_saved(net, images)
    assert cast.totals.saved_bytes < whole.totals.saved_bytes
    assert cast.totals.macs == whole.totals.macs
    assert cast.totals.receptive_field == whole.totals.receptive_field


def test_views_and_in_place_changes_take_no_memory():
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(32, 5))
    bytes_of = {layer.type: layer.activation_bytes for layer in measure(net, (1, 4, 4)).layers}
    assert bytes_of == {"Conv2d": 2 * 16 * 4, "ReLU": 0, "Flatten": 0, "Linear": 5 * 4}


def test_float64_takes_twice_the_bytes():
    single = measure(nn.Conv2d(1, 2, 3), (1, 8, 8)).totals
    double = measure(nn.Conv2d(1, 2, 3).double(), (1, 8, 8)).totals
    for column in ("activation_bytes", "saved_bytes", "parameter_bytes"):
        assert getattr(double, column) == 2 * getattr(single, column) > 0


def test_training_memory_is_weights_gradients_optimizer_state_and_activations():
    net = nn.Sequential(nn.Linear(10, 4), nn.Linear(4, 2))
    net[0].weight.requires_grad_(False)
    memory = measure(net, (10,), batch=3, optimizer_copies=2).training_memory
    assert memory.weights == 4 * (44 + 10)
    assert memory.gradients == 4 * (4 + 10)
    assert memory.optimizer == 2 * memory.gradients
    assert memory.activations == 4 * 3 * 4  # only the second layer's input: the first is frozen
    parts = (memory.weights, memory.gradients, memory.optimizer, memory.activations)
    assert memory.total == sum(parts)
