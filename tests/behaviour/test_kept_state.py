"""Networks that torch treats specially are measured and timed, or refused in one sentence."""

import threading

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune, spectral_norm

import classicnets as cn
from classicnets.api import speed
from classicnets.measure import measure, roofline

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),  # sparse CSR is in beta
]

PARAMETERS = 4 * 3 * 25 + 4 + 4 * 2 + 2
MACS = 16 * 4 * 3 * 25 + 4 * 2  # of the convolution and the fully connected layer


def body() -> nn.Sequential:
    pool = nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(nn.Conv2d(3, 4, 5), nn.ReLU(), pool, nn.Flatten(), nn.Linear(4, 2))


def changed(change) -> nn.Sequential:
    network = body()
    network[0] = change(network[0])
    return network


class Holds(nn.Module):
    """Holds something besides its layers."""

    def __init__(self, held: object):
        super().__init__()
        self.body, self.held = body(), held

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Keeps(nn.Module):
    """Keeps its features, which belong to a graph."""

    def __init__(self):
        super().__init__()
        self.body = body()
        self.body[0].register_forward_hook(lambda _, args, out: setattr(self, "features", out))
        self(torch.rand(2, 3, 8, 8))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def with_buffer(buffer: Tensor) -> nn.Module:
    network = body()
    network.register_buffer("kept", buffer)
    return network


# networks, the parameters that they add to those of the body, and the multiply-adds
SPECIAL = {
    "weight_norm": (lambda: changed(parametrizations.weight_norm), 4, 0),
    "weight_norm, old": (lambda: changed(nn.utils.weight_norm), 4, 0),
    # a power iteration is two products with the weights, and the norm a third one and 4 values
    "spectral_norm": (lambda: changed(parametrizations.spectral_norm), 0, 3 * 300),
    "spectral_norm, old": (lambda: changed(spectral_norm), 0, 3 * 300 + 4),
    "pruned": (lambda: changed(lambda m: prune.l1_unstructured(m, "weight", 0.5)), 0, 0),
    "pruned twice": (
        lambda: changed(
            lambda m: prune.random_unstructured(prune.l1_unstructured(m, "weight", 0.5), "bias", 1)
        ), 0, 0),
    "keeps its features": (Keeps, 0, 0),
    "keeps a graph": (lambda: Holds({"of": [torch.ones(2, requires_grad=True) * 2]}), 0, 0),
    "sparse": (lambda: with_buffer(torch.eye(4).to_sparse()), 0, 0),
    "sparse rows": (lambda: with_buffer(torch.eye(4).to_sparse_csr()), 0, 0),
    "complex": (lambda: with_buffer(torch.ones(2, dtype=torch.cfloat)), 0, 0),
    "holds a lock": (lambda: Holds(threading.Lock()), 0, 0),
    "holds a module": (lambda: Holds([threading, lambda: 1]), 0, 0),
    "backward hook": (
        lambda: changed(lambda m: m.register_full_backward_hook(lambda *_: None) and m), 0, 0),
}  # fmt: skip


@pytest.mark.parametrize("name", SPECIAL)
def test_a_network_with_special_state_is_measured_and_timed(name, monkeypatch):
    monkeypatch.setattr(roofline, "CPU", roofline.QUICK)
    monkeypatch.setattr(speed, "ROUNDS", 1)
    build, parameters, macs = SPECIAL[name]
    network = build()
    totals = cn.show(network, (3, 8, 8)).totals
    assert (totals.params, totals.macs) == (PARAMETERS + parameters, MACS + macs)
    found = cn.speed(network, (3, 8, 8), batches=(2,), precisions=("fp32",), seconds=1e-6)
    assert found.rows[0].flop == 2 * (2 * MACS + macs)
    assert all(p.device.type == "cpu" and p.grad is None for p in network.parameters())


def test_weights_that_two_layers_share_count_once():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
            self.same, self.b.weight = self.a, self.a.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.same(self.a(x)))

    totals = measure(Shared(), (4,)).totals
    assert (totals.params, totals.macs) == (16 + 4 + 4, 3 * 16)
