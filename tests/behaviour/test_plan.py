"""Plans hold: a training runs within the memory that fits it, and runs out of less."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import classicnets as cn
from classicnets import catalog
from classicnets.api.planned import review, review_text
from classicnets.data.synthetic import shapes
from classicnets.measure import roofline
from classicnets.measure.live import Live, Work
from classicnets.training.execution.memory import MARGIN, training_peaks
from classicnets.training.execution.plan import (
    CONVERTED,
    EXPONENTIAL,
    NORMALISED,
    OTHER,
    POOLED,
    PRODUCT,
    START,
    START_PRODUCT,
    predict_step,
)
from classicnets.training.recipe.optimizers import SGD, AdamW, CaffeSGD

# not among those that the prediction was fitted to
BATCHES = {"plain20": 128, "resnet32": 64}

TRAINING = """
import resource, sys
from pathlib import Path
import classicnets as cn
from classicnets.support.errors import is_out_of_memory
from classicnets.support.machine import keep_memory
from classicnets.training.execution.execution import Execution

def kibibytes(name):
    return int(Path("/proc/self/status").read_text().partition(name + ":")[2].split()[0])

keep_memory()
# what every training needs, such as the libraries that it loads, is counted before the limit
network, batch, precision, budget, out = sys.argv[1:]
one = {"steps": "1"}
cn.train("lenet5", recipe="fast", out=out + "-first", overrides=one).finish()
room = int(float(budget)) - 1024 * kibibytes("VmRSS")
limit = 1024 * kibibytes("VmData") + room
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
settings = {"steps": "1", "batch": batch, "protocol": "single"}
execution = Execution(precision, accumulation_steps=1)
try:
    cn.train(network, out=out, overrides=settings, execution=execution).finish()
except Exception as error:
    sys.exit("out of memory" if is_out_of_memory(error) else repr(error))
print(1024 * kibibytes("VmHWM"))
"""


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(roofline, "BRIEF", roofline.QUICK)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the data of a process")
@pytest.mark.parametrize("network", BATCHES)
def test_what_fits_runs_and_what_does_not_fit_runs_out_of_memory(network, tmp_path):
    batch = BATCHES[network]
    plan = cn.plan(network, "digits", batch=batch, device="cpu")
    low, high = plan.peak.range

    command = [sys.executable, "-W", "ignore", "-c", TRAINING]
    command += [network, str(batch), plan.precision]

    def train(budget: float) -> subprocess.CompletedProcess:
        out = tmp_path / f"{budget:.0f}"
        return subprocess.run(
            [*command, f"{budget:.0f}", out],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )

    def verdict(budget: float) -> str:
        return replace(plan, budget=budget).verdict

    above, below = 1.01 * high, 0.97 * low
    assert (verdict(above), verdict(below)) == ("fits", "does not fit")
    enough = train(above)
    assert enough.returncode == 0, enough.stderr
    assert low <= int(enough.stdout) <= high
    short = train(below)
    assert (short.returncode, short.stderr) == (1, "out of memory\n")


def small() -> nn.Module:
    layers = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
    return nn.Sequential(*layers)


def test_a_run_keeps_the_plan_and_what_happened_and_both_are_tabulated(tmp_path):
    out = tmp_path / "run"
    training = cn.train(small(), shapes(), epochs=2, out=out)
    notes = json.loads((out / "run.json").read_text())
    phases = {"training step", "evaluation", "checkpoint"}
    assert notes["plan"].keys() == phases | {"peak_bytes"}  # before the first step
    assert "measured" not in notes
    training.finish()
    notes = json.loads((out / "run.json").read_text())
    plan, measured = notes["plan"], notes["measured"]
    assert plan["peak_bytes"] == max(plan[phase] for phase in phases)
    assert plan["seconds_per_epoch"] > 0
    rows = [float(line.split(",")[-1]) for line in _metrics(out)]
    assert measured["seconds_per_epoch"] == pytest.approx(sum(rows) / len(rows), rel=0.01)
    (row,) = review([out])
    for name in ("peak_bytes", "seconds_per_epoch"):
        assert row[f"predicted_{name}"] == plan[name]
        assert row[f"measured_{name}"] == measured.get(name)  # None where the system does not say
    head, line = review_text([row]).splitlines()
    told = ("measured", "ratio")
    assert head.split() == ["run", "network", "batch", "memory", *told, "epoch", *told]
    ratio = plan["seconds_per_epoch"] / measured["seconds_per_epoch"]
    assert line.split()[-1] == f"{ratio:.2f}"


def _metrics(out) -> list[str]:
    head, *rows = (out / "metrics.csv").read_text().splitlines()
    assert head.split(",")[-1] == "seconds"
    return rows


def test_the_plan_of_a_run_is_that_of_the_verb(tmp_path):
    plan = cn.plan("lenet5", "digits", batch=32, device="cpu")
    training = cn.train("lenet5", "digits", overrides={"batch": "32"}, out=tmp_path, device="cpu")
    assert training.run.notes["plan"] == {
        **{peak.phase: peak.total for peak in plan.peaks},
        "peak_bytes": plan.peak.total,
    }


@pytest.mark.parametrize("batch", [None, 8])
def test_few_images_are_planned_as_they_are_trained_on(batch, tmp_path, write_folder):
    folder = write_folder(tmp_path / "photos")
    plan = cn.plan("resnet20", folder, batch=batch, device="cpu")
    overrides = {"batch": batch} if batch else {}
    training = cn.train("resnet20", folder, overrides=overrides, out=tmp_path / "run", device="cpu")
    config = training.config
    assert (plan.batch, plan.steps) == (config.recipe.batch, config.total_steps)
    assert (plan.batch, plan.epochs) == (batch or 16, 300)


def test_measured_steps_are_marked_as_measured_and_are_in_order():
    plan = cn.plan("lenet5", "digits", batch=4, device="cpu", measure=True)
    assert plan.step.source == "measured"
    assert 0 < plan.step.low <= plan.step.likely <= plan.step.high
    assert plan.reading > 0
    steps = plan.images / 4 + plan.validation / 4 / 3
    reading = plan.reading * (plan.images + plan.validation) / 4
    assert plan.epoch.likely == pytest.approx(plan.step.likely * steps + reading)
    assert "(measured)" in plan.text()


def test_what_needs_less_is_given_with_its_memory():
    plan = cn.plan("vgg_b", batch=64, memory="6GB", device="t4")
    options = {option.command: option for option in plan.options}
    frozen, smaller = options["--freeze drop7"], options["vgg_a"]
    assert frozen.effect.startswith("only fc8 learns")
    assert frozen.peak.optimizer == 4 * (4096 * 1000 + 1000)
    assert smaller.peak.weights == smaller.peak.optimizer == 4 * catalog.find("vgg_a").params
    assert all(option.fits == (MARGIN * option.peak.total <= 6e9) for option in plan.options)
    assert "change" in plan.text()


def test_half_of_the_maps_is_given_with_its_memory():
    plan = cn.plan("vgg_b", batch=64, memory="6GB", device="t4")
    options = {option.command: option for option in plan.options}
    maps = (3, 32, 32, 64, 64, 128, 128, 256, 256, 256, 256)  # half of column B's
    convolutions = sum(9 * a * b + b for a, b in pairwise(maps))
    full = sum(a * b + b for a, b in pairwise((256 * 7 * 7, 2048, 2048, 1000)))
    narrower = options["design vgg_b --width 1/2"]
    assert narrower.peak.weights == 4 * (convolutions + full)


def test_a_step_takes_the_sum_of_its_operators_and_of_the_update():
    live = Live()
    live.work = [
        Work("convolution", flop=2e9, moved=1e6, values=10, exponential=False),
        Work("convolution_backward", flop=4e9, moved=1e6, values=10, exponential=False),
        Work("mm", flop=2.0, moved=5e9, values=10, exponential=False),
        Work("relu", flop=0.0, moved=8e6, values=10**6, exponential=False),
        Work("tanh", flop=0.0, moved=8e6, values=10**6, exponential=True),
        Work("native_batch_norm", flop=0.0, moved=8e6, values=10**6, exponential=False),
        Work("max_pool2d", flop=0.0, moved=8e6, values=10**6, exponential=False),
        Work("_to_copy", flop=0.0, moved=6e6, values=10**6, exponential=False),
        Work("empty", flop=0.0, moved=0.0, values=0, exponential=False),
    ]
    peaks = {"matrix product fp32": 1e9, "convolution fp32": 2e9, "copy": 1e9}
    # in seconds; the backward convolution has two products
    products = 1 + 2 + 5.002 * PRODUCT + 4 * START_PRODUCT
    others = 5 * START + 4e-3 * (OTHER + EXPONENTIAL + NORMALISED + POOLED + CONVERTED)
    update = 5 * 1e6 / 1e9  # gradient, weight and momentum are read, two are written
    passes = SGD(momentum=0.9).passes
    step = predict_step(live, 10**6, passes, peaks, "fp32", "cpu")
    assert step.likely == pytest.approx(products + others + update)
    assert step.low < step.likely < step.high


class Traffic(TorchDispatchMode):
    """Counts the values that operators read, and those they write in place."""

    def __init__(self) -> None:
        super().__init__()
        self.values = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = {a.name: value for a, value in zip(func._schema.arguments, args, strict=False)}
        given |= kwargs or {}
        for argument in func._schema.arguments:
            leaves = tree_leaves(given.get(argument.name))
            sizes = [t.numel() for t in leaves if isinstance(t, torch.Tensor) and t.numel() > 1]
            written = argument.alias_info is not None and argument.alias_info.is_write
            # fused operators write gradients only to unscale them
            self.values += sum(sizes) * (1 + (written and argument.name != "grads"))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "spec", [SGD(momentum=0.9), SGD(), CaffeSGD(momentum=0.9), AdamW()], ids=lambda s: repr(s)[:12]
)
def test_an_update_reads_and_writes_as_many_values_as_its_optimizer_says(spec):
    network = nn.Linear(100, 100, bias=False)
    optimizer = spec.build(network)
    for _ in range(2):  # the first one makes the state
        network(torch.ones(1, 100)).sum().backward()
        with Traffic() as traffic:
            optimizer.step()
    assert traffic.values == spec.passes * 100 * 100


def test_a_frozen_layer_is_in_the_plan_of_your_own_module():
    free, frozen = small(), small()
    frozen[0].requires_grad_(False)
    plans = [cn.plan(network, shapes(), device="cpu") for network in (free, frozen)]
    kept = [plan.peaks[0].activations for plan in plans]
    assert kept[1] < kept[0]
    (step, *_) = training_peaks(frozen, plans[1].input, plans[1].batch)
    assert step.activations == kept[1]


def test_too_little_time_names_the_epochs_that_there_is_time_for():
    plan = cn.plan("lenet5", device="cpu", time=1e6)
    assert plan.in_time
    epoch = plan.epoch.likely
    assert "epochs=3 would." in replace(plan, time_budget=3.5 * epoch).text(10**6)
    assert "not one epoch would." in replace(plan, time_budget=0.5 * epoch).text(10**6)


def test_memory_and_time_may_be_numbers():
    plan = cn.plan("lenet5", memory=2e9, time=1e20, device="cpu")
    assert (plan.budget, plan.time_budget) == (2e9, 1e20)
    with pytest.raises(ValueError, match="memory must be more than 0, such as 8GB"):
        cn.plan("lenet5", memory=-1.0)


def test_a_network_whose_forward_reads_values_is_refused_in_one_sentence():
    class Reads(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(12, 2)

        def forward(self, x):
            x = x.flatten(1)
            return self.layer(x) if bool(torch.any(x > 0)) else self.layer(-x)

    with pytest.raises(ValueError, match="Reads cannot be planned: ") as error:
        cn.plan(Reads(), shapes(), device="cpu")
    assert "\n" not in str(error.value)
