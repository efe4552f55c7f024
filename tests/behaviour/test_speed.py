"""The speed report follows from the measured times by arithmetic."""

import json
import math

import pytest
import torch
from torch import nn

import classicnets as cn
from classicnets.api import speed
from classicnets.measure import measure, roofline
from classicnets.measure.timing import Speed, Timing
from classicnets.models.lenet import lenet5
from classicnets.training.execution import execution, step
from classicnets.training.recipe.optimizers import DiagonalLevenbergMarquardt

C1 = 28 * 28 * 6 * 25
LENET5 = C1 + 10 * 10 * 60 * 25 + 120 * 16 * 25 + 84 * 120  # C3: the 60 crosses of Table I
PEAKS = {
    "matrix product fp32": 50e9,
    "convolution fp32": 40e9,
    "matrix product bf16": 80e9,
    "convolution bf16": 100e9,
    "copy": 10e9,
}


def report(**changes) -> Speed:
    rows = (
        Timing("inference", 4, "fp32", 1e9, 0.5, (0.07, 0.04, 0.05)),
        Timing("training", 4, "bf16", 3e9, 2.5, (0.12, 0.10, 0.15)),
    )
    fields = {"name": "mine", "input": (3, 32, 32), "device": "cpu", "threads": 2,
              "torch": "2.13.0", "peaks": PEAKS, "rows": rows, "memory_bytes": {4: 3 * 2**20},
              "largest_batch": 123.0, "free_bytes": 2.0**30}  # fmt: skip
    return Speed(**fields | changes)


def test_the_fraction_of_peak_is_the_lower_bound_over_the_median():
    inference, training = (speed := report()).rows
    assert (inference.seconds, inference.images_per_second) == (0.05, 4 / 0.05)
    assert inference.flop_per_second == pytest.approx(20e9)
    assert speed.lower_bound(inference) == pytest.approx(1e9 / 50e9)  # fastest: a matrix product
    assert speed.fraction_of_peak(inference) == pytest.approx(0.02 / 0.05)
    assert speed.lower_bound(training) == pytest.approx(3e9 / 100e9)  # in bf16: a convolution
    assert speed.fraction_of_peak(training) == pytest.approx(0.03 / 0.12)


def test_the_table_has_the_medians_and_fits_a_narrow_terminal():
    lines = report().text(width=80).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "mine · input 3x32x32 · cpu"
    assert lines[4].split() == ["inference", "4", "fp32", "50.0", "40.0–70.0", "80.0", "20.0",  # noqa: RUF001
                                "40.0", "%"]  # fmt: skip
    text = " ".join(lines)
    assert "on 2 threads; the slowest first call took 2.50 s" in text
    assert "A training step needs 3.00 MiB at batch 4." in text
    assert "1.00 GiB are free: the largest batch that fits is 123." in text
    for column in ("ms", "range", "GFLOP/s", "of peak"):
        assert f" {column}: " in text


def test_unknown_values_are_null_and_not_in_the_text():
    unknown = report(largest_batch=math.inf, free_bytes=math.inf)
    assert json.loads(unknown.json())["largest_batch"] is None
    assert "fits" not in unknown.text()


def test_a_training_step_is_three_forward_passes_less_the_gradient_of_the_image():
    lenet = measure(lenet5(), (1, 32, 32), batch=2)
    assert lenet.totals.macs == 2 * LENET5 == 2 * 325_680
    assert lenet.training_macs == 2 * (3 * LENET5 - C1)
    assert measure(nn.AvgPool2d(2), (3, 8, 8)).training_macs == 0


def test_heads_that_run_in_training_only_count(measured):
    found = measured("googlenet")
    heads = sum(16 * maps * 128 + 2048 * 1024 + 1024 * 1000 for maps in (512, 528))
    conv1 = 112 * 112 * 64 * 3 * 49
    assert found.training_macs == 3 * (found.totals.macs + heads) - conv1


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(roofline, "CPU", roofline.QUICK)
    monkeypatch.setattr(speed, "ROUNDS", 1)


def net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(5))


@pytest.mark.usefixtures("quick")
def test_rows_have_the_flop_and_memory_of_the_measured_network():
    calls: list[tuple[int, int]] = []
    found = cn.speed(
        "lenet5",
        batches=(2, 3),
        precisions=("fp32",),
        seconds=0.01,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert [(row.mode, row.batch) for row in found.rows] == [
        ("inference", 2), ("inference", 3), ("training", 2), ("training", 3),
    ]  # fmt: skip
    forward, back = 2 * LENET5, 2 * (3 * LENET5 - C1)
    assert [row.flop for row in found.rows] == [2 * forward, 3 * forward, 2 * back, 3 * back]
    assert found.memory_bytes[3] == measure(lenet5(), (1, 32, 32), 3).training_memory.total
    assert calls == [(i, 8) for i in range(1, 9)]
    assert set(found.peaks) == {"matrix product fp32", "convolution fp32", "copy"}


@pytest.mark.usefixtures("quick")
def test_a_training_step_is_that_of_the_recipe(monkeypatch):
    steps = []

    def recorded(model, optimizer, loss, x, labels, execution):
        steps.append((type(optimizer), loss, execution.precision, tuple(x.shape)))
        return step.step(model, optimizer, loss, x, labels, execution)

    monkeypatch.setattr(speed, "step", recorded)
    cn.speed("lenet5", batches=(2,), precisions=("bf16",), seconds=1e-6)
    recipe = cn.find("lenet5").recipe
    assert set(steps) == {(DiagonalLevenbergMarquardt, recipe.loss, "bf16", (2, 1, 32, 32))}


@pytest.mark.usefixtures("quick")
def test_a_module_and_the_random_state_are_left_unchanged():
    network = net().train()
    network(torch.rand(2, 3, 8, 8))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    found = cn.speed(network, (3, 8, 8), batches=(2,), precisions=("fp32",), seconds=1e-6)
    assert found.name == "Sequential"
    assert torch.equal(torch.rand(2), expected)
    assert network.training
    assert all(p.grad is None for p in network.parameters())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.usefixtures("quick")
def test_lazy_modules_are_timed_in_a_copy_that_has_sizes():
    network = net()
    found = cn.speed(network, (3, 8, 8), batches=(2,), precisions=("fp32",), seconds=1e-6)
    conv, fc = 4 * 36 * 3 * 9, 4 * 36 * 5  # multiply-adds for one image
    assert [row.flop for row in found.rows] == [4 * (conv + fc), 4 * (2 * conv + 3 * fc)]
    assert network[3].has_uninitialized_params()


@pytest.mark.usefixtures("quick")
def test_training_on_one_value_per_map_is_left_out_and_noted():
    network = nn.Sequential(nn.Conv2d(3, 4, 8), nn.BatchNorm2d(4), nn.Flatten())
    found = cn.speed(network, (3, 8, 8), batches=(1, 2), precisions=("fp32",), seconds=1e-6)
    rows = [("inference", 1), ("inference", 2), ("training", 2)]
    assert [(row.mode, row.batch) for row in found.rows] == rows
    assert found.notes[0] == (
        "Cannot train at batch 1, on one value per map: 1; "
        "use a batch of at least 2, or larger images."
    )


@pytest.mark.usefixtures("quick")
def test_left_out_rows_split_batches_and_a_busy_machine_are_noted(monkeypatch):
    monkeypatch.setattr(speed, "supports_bf16", lambda device: False)
    monkeypatch.setattr(execution, "free_memory", lambda device: 0.0)
    monkeypatch.setattr(speed.os, "getloadavg", lambda: (1e3, 0.0, 0.0))
    found = cn.speed("lenet5", batches=(2,), seconds=1e-6)
    assert {row.precision for row in found.rows} == {"fp32"}
    text = found.text(width=10**4)
    assert "No bf16 rows: the device only emulates bf16." in text
    parts = "gradients accumulated over 2 parts of a batch (the whole batch needs"
    assert f"Training at batch 2: channels_first, {parts}" in text
    assert "The machine is busy: the load was 1000.0" in text


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"network": "lenet5", "batches": (0,)}, "batch must be at least 1 image, not 0"),
        ({"network": "lenet5", "precisions": ("fp64",)}, "precision must be .*, not 'fp64'"),
        ({"network": "lenet5", "size": (1, 30, 30)}, "the nearest legal size is 1x32x32"),
        ({"network": "lenet5", "seconds": 0.0}, "seconds must be more than 0, not 0"),
        ({"network": "lenet5", "device": "abacus"}, "the device 'abacus' cannot be used here"),
        ({"network": "lenet6"}, "no network 'lenet6'"),
        ({"network": nn.ReLU()}, "a module needs the size of one image"),
        ({"network": nn.Conv2d(3, 4, 3), "size": (3, 8, 8)}, "returns .* for two images"),
    ],
)
def test_a_mistake_is_one_sentence(words, sentence):
    with pytest.raises(ValueError, match=sentence) as mistake:
        cn.speed(**words)
    assert "\n" not in str(mistake.value)


def test_no_training_of_one_image_is_timed_where_the_network_needs_two():
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4)
    body = nn.Sequential(nn.Conv2d(3, 4, 5), nn.ReLU(), *head)
    network = nn.Sequential(body, nn.BatchNorm1d(4))
    timed = cn.speed(network, (3, 12, 12), (1, 2), seconds=0.01)
    rows = {(row.mode, row.batch) for row in timed.rows}
    assert rows == {("inference", 1), ("inference", 2), ("training", 2)}
    assert (
        "Cannot train at batch 1, on one value per map: 1; use a batch of at least 2"
        in timed.notes[0]
    )
