"""The memory of a training step, against sums by hand and against the process itself."""

import pytest
import torch
from torch import nn

from classicnets.measure.live import Live
from classicnets.support.units import parse_bytes, parse_seconds
from classicnets.training.execution.memory import (
    KEPT,
    RUNTIME,
    checkpoint_peak,
    largest_batch,
    step_peak,
)

FLOAT = 4


def two_layers() -> nn.Sequential:
    return nn.Sequential(nn.Linear(1000, 500, bias=False), nn.ReLU(), nn.Linear(500, 10))


WEIGHTS = FLOAT * (1000 * 500 + 500 * 10 + 10)


class Flat(nn.Sequential):
    def forward(self, x):
        return super().forward(x.flatten(1))


def test_the_parts_of_a_step_of_two_layers_are_those_worked_out_by_hand():
    batch = 64
    live = Live()
    peak = step_peak(Flat(*two_layers()), (1, 1, 1000), batch, live=live)
    assert peak.weights == WEIGHTS
    assert peak.optimizer == WEIGHTS  # momentum
    assert peak.images == FLOAT * batch * 1000
    # at the peak backward has just made the last gradient, the first layer's, the largest: all that
    # was saved has gone but the images, and the gradient of the layer's output lives
    assert peak.gradients == WEIGHTS
    assert peak.activations == 0
    assert peak.transients == pytest.approx(FLOAT * batch * 500, abs=64)  # and two scalars
    freed = peak.activations + peak.transients
    assert peak.allocator == round(KEPT * freed) + FLOAT * 1000 * 500
    assert peak.runtime == RUNTIME["cpu"]
    assert peak.total == sum(peak.parts.values())
    # forward, then the gradients of weights: two products each; of the images none is needed
    macs = batch * (1000 * 500 + 500 * 10)
    assert sum(work.flop for work in live.work) == 2 * (2 * macs + batch * 500 * 10)


def test_frozen_layers_have_neither_gradients_nor_optimizer_state():
    network = Flat(*two_layers())
    network[0].requires_grad_(False)
    peak = step_peak(network, (1, 1, 1000), 8, copies=2)
    trained = FLOAT * (500 * 10 + 10)
    assert (peak.weights, peak.optimizer) == (WEIGHTS, 2 * trained)
    checkpoint = checkpoint_peak(network, copies=2)
    assert checkpoint.workspaces == 2 * (WEIGHTS + 2 * trained)


def test_a_convolution_needs_a_workspace_of_its_weights():
    network = nn.Sequential(nn.Conv2d(32, 64, 3), nn.Flatten(), nn.Linear(64, 2))
    peak = step_peak(network, (32, 3, 3), 1)
    assert peak.workspaces in (0, FLOAT * 64 * 32 * 9, 2 * FLOAT * 64 * 32 * 9)


def test_the_largest_batch_is_the_largest_that_fits():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    room = 40.0 * 2**20
    largest = int(largest_batch(network, (3, 32, 32), room))

    def need(batch: int) -> float:
        peak = step_peak(network, (3, 32, 32), batch)
        return 1.15 * (peak.total - peak.runtime)

    assert need(largest) <= room < need(largest + 2)
    assert largest_batch(network, (3, 32, 32), 1.0) == 0
    assert largest_batch(network, (3, 32, 32), float("inf")) == float("inf")


def test_bf16_halves_what_a_convolution_saves():
    layers = (
        nn.Conv2d(3, 64, 3),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
    )
    network = nn.Sequential(*layers, nn.Flatten())
    full, half = (step_peak(network, (3, 32, 32), 16, precision=p) for p in ("fp32", "bf16"))
    assert half.activations == pytest.approx(full.activations / 2, rel=0.1)


def test_planning_leaves_the_network_as_it_is():
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).eval()
    before = {name: t.clone() for name, t in network.state_dict().items()}
    step_peak(network, (3, 2, 2), 4)
    assert not network.training
    assert all(p.grad is None for p in network.parameters())
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())


@pytest.mark.parametrize(
    ("text", "value"), [("8GB", 8e9), ("8 gib", 8 * 2**30), ("1.5MB", 1.5e6), ("100", 100.0)]
)
def test_memory_is_a_number_and_a_unit(text, value):
    assert parse_bytes(text) == value


@pytest.mark.parametrize("text", ["8GX", "-8GB", "0GB", "GB", "", "nan", "1e3GB"])
def test_another_amount_of_memory_is_an_error_that_names_legal_ones(text):
    with pytest.raises(ValueError, match=r"memory .*such as 8GB, 500MB or 6GiB, not") as error:
        parse_bytes(text)
    assert repr(text) in str(error.value)


@pytest.mark.parametrize("text", ["2 weeks", "-2h", "0s", "h", "1h30"])
def test_another_amount_of_time_is_an_error_that_names_legal_ones(text):
    with pytest.raises(ValueError, match=r"time .*such as 90s, 30min, 2h or 1d, not"):
        parse_seconds(text)
