"""Several processes train as one: started by torchrun, over gloo."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from classicnets.data.synthetic import shapes
from classicnets.models.googlenet import googlenet
from classicnets.recipes.fast import fast
from classicnets.training.execution import distributed
from classicnets.training.execution.batches import batch_sizes, leaves_out_parameters
from classicnets.training.execution.execution import Execution
from classicnets.training.recipe.loss import CrossEntropy, WithAuxiliaries
from classicnets.training.run.config import RunConfig

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
# no batch normalisation and no dropout: these see a process's own part
SCRIPT = """
import sys
from dataclasses import replace
import torch
import classicnets as cn
from classicnets.data.synthetic import shapes

def train(name, changes):
    data = shapes(150, channels=1)
    if changes:  # imbalanced: a quarter of the last class is left
        labels = data.train.labels
        kept = ((labels < 3) | (torch.arange(len(labels)) % 4 == 0)).nonzero()[:, 0]
        data = replace(data, train=data.train.subset(kept))
    recipe = {"batch": "15", "lr": "Constant(1e-3)", "init": "LecunUniform()", "epochs": "2"}
    out = f"{sys.argv[1]}/{name}"
    cn.train("lenet5", data, out=out, recipe="fast", overrides=recipe | changes).finish()

for name, changes in {runs}.items():
    if name in sys.argv[2:]:
        train(name, changes)
"""
CHANGES = {
    "plain": {},
    "weights": {"class_weights": "balanced"},
    "sampler": {"sampler": "balanced"},
    "patience": {"epochs": "6", "lr": "Constant(0.0)", "patience": "2", "average": "None"},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> list[Path]:
    """The directories of all these runs by one process and by two, and of the first by four."""
    root = tmp_path_factory.mktemp("runs")
    (root / "script.py").write_text(SCRIPT.replace("{runs}", repr(CHANGES)))
    commands = {1: [sys.executable], 2: [*TORCHRUN, "2"], 4: [*TORCHRUN, "4"]}
    for count, command in commands.items():
        names = list(CHANGES) if count < 4 else ["plain"]
        done = subprocess.run(
            [*command, str(root / "script.py"), str(root / str(count)), *names],
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    return [root / str(count) for count in commands]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "other"), [("plain", 1), ("weights", 1), ("sampler", 1), ("plain", 2)]
)
def test_several_processes_give_the_result_of_one_within_rounding(runs, name, other):
    """Four have 4, 4, 4 and 3 images of a batch, and of the 15 for validation."""
    one, two = (runs[k] / name for k in (0, other))
    rows = [
        [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        for out in (one, two)
    ]
    for alone, together in zip(*rows, strict=True):
        for field in (
            "step",
            "first_lr",
            "last_lr",
            "train_loss",
            "validation_loss",
            "validation_top1_error",
        ):
            assert together[field] == pytest.approx(alone[field], rel=1e-4), field
    weights = [load_file(out / "weights.safetensors") for out in (one, two)]
    for layer, value in weights[0].items():
        torch.testing.assert_close(weights[1][layer], value, rtol=1e-3, atol=1e-5)
    tests = [json.loads((out / "run.json").read_text())["test"] for out in (one, two)]
    assert tests[0]["confusion"] == tests[1]["confusion"]


@pytest.mark.slow
def test_two_processes_stop_together_when_patience_is_over(runs):
    out = runs[1] / "patience"
    assert json.loads((out / "run.json").read_text())["processes"] == 2
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    content = json.loads((out / "run.json").read_text())
    assert content["stopped_early"].endswith("stopped after epoch 3 of 6, the best was 1")
    assert content["test"]["images"] > 0


def test_a_process_that_stands_alone_has_everything():
    whole = torch.arange(5)
    assert distributed.shard(whole) is not None
    assert torch.equal(distributed.shard(whole), whole)
    assert distributed.broadcast("anything") == "anything"
    assert (distributed.rank(), distributed.world_size()) == (0, 1)


LAST = """
import os, sys
import torch
from classicnets.training.execution import distributed

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
distributed.init(torch.device("cpu"), "a run")
sys.setswitchinterval(100)  # seconds in which no other thread of Python's comes
for _ in range(40):
    sent = distributed.broadcast({distributed.rank(): list(range(30_000))})
assert list(sent) == [0]
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no processor can be chosen")
def test_processes_may_end_right_after_the_last_value_they_exchange(tmp_path):
    """Threads that share a processor are behind; collectives then took down most starts."""
    (tmp_path / "last.py").write_text(LAST)
    for _ in range(2):
        done = subprocess.run(
            [*TORCHRUN, "4", str(tmp_path / "last.py")],
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


LATE = """
import time
import torch
from classicnets.training.execution import distributed

distributed.init(torch.device("cpu"), "a run")
time.sleep(2 * distributed.rank())
assert distributed.broadcast(distributed.rank()) == 0
"""


@pytest.mark.slow
def test_the_process_that_holds_the_store_ends_after_all_have_its_value(free_port):
    """Without torchrun, as Slurm starts them, the first process holds it."""
    group = {"WORLD_SIZE": "3", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port)}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", LATE],
            env=os.environ | group | {"RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(3)
    ]
    for process in started:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said


NETWORKS = """
import torch
from torch import nn


class Unused(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 5), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.norm, self.fc = nn.BatchNorm1d(4), nn.Linear(4, classes)
        self.unused = nn.Linear(3, 3)

    def forward(self, x):
        return self.fc(self.norm(self.body(x)))


class Fails(Unused):
    calls = 0

    def forward(self, x):
        self.calls += self.training
        if self.calls == 6 and torch.distributed.get_rank() == 1:
            raise {error}
        return super().forward(x)
"""


def train(tmp_path: Path, name: str, error: str = "ValueError('no way')"):
    """Two processes on 420 images in batches of 32, which leave 4, and 2 for each."""
    (tmp_path / "nets.py").write_text(NETWORKS.replace("{error}", error))
    words = ["train", "nets.py:" + name, "--data", "synthetic", "--epochs", "1", "--out", "run"]
    changes = ["batch=32", "side=8", "crop=8", "average=None"]
    return subprocess.run(
        [*TORCHRUN, "2", "-m", "classicnets", *words]
        + [word for change in changes for word in ("--set", change)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_parameters_that_no_step_uses_do_not_stop_two_processes(tmp_path):
    done = train(tmp_path, "Unused")
    assert done.returncode == 0, done.stderr
    assert "initial values: as the builder left them" in done.stdout
    assert "find_unused_parameters" not in done.stderr
    assert json.loads((tmp_path / "run" / "run.json").read_text())["processes"] == 2


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("ValueError('no way')", "classicnets: no way\n"),
        pytest.param("RuntimeError('a bug')", "RuntimeError: a bug\n", marks=pytest.mark.slow),
        pytest.param("MemoryError", "classicnets: out of memory; ", marks=pytest.mark.slow),
    ],
)
def test_the_error_of_the_second_process_is_printed_once_and_the_other_one_ends(
    tmp_path, error, message
):
    done = train(tmp_path, "Fails", error)
    assert done.returncode != 0
    ours, _, _ = done.stderr.partition("elastic")  # torchrun's own words come after
    assert ours.count(message) == 1
    assert "Connection closed" not in done.stderr
    assert ours.count("Traceback") == ("bug" in error)


def test_images_left_over_join_the_batch_before_if_they_are_too_few():
    assert batch_sizes(101, 25, 1) == [25, 25, 25, 25, 1]
    assert batch_sizes(101, 25, 2) == [25, 25, 25, 26]
    assert batch_sizes(103, 25, 4) == [25, 25, 25, 28]
    assert batch_sizes(3, 25, 4) == [3]
    for images in range(1, 40):
        for batch in range(1, 12):
            for smallest in range(1, batch + 1):
                sizes = batch_sizes(images, batch, smallest)
                assert sum(sizes) == images
                assert len(sizes) == replace(fast(16), batch=batch).steps_per_epoch(
                    images, smallest
                )
                assert min(sizes) >= min(smallest, images)


@pytest.mark.parametrize(
    ("batch", "minimum", "words"),
    [
        (3, 2, "leave 3 for the smallest, but 2 processes need 2 each and the network cannot be"),
        (
            1,
            1,
            "leave 1 for the smallest, but 2 processes need 1 each; choose a batch of at",
        ),
    ],
)
def test_a_batch_too_small_for_all_processes_is_refused(monkeypatch, batch, minimum, words):
    data = shapes(60, side=16)
    config = RunConfig.fit(replace(fast(16), batch=batch), data, Execution(), minimum=minimum)
    if minimum == 1:
        config.require_batches()
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    with pytest.raises(ValueError, match=words):
        config.require_batches()


def test_steps_that_leave_out_parameters_are_known_beforehand():
    heads = googlenet(classes=4)
    shape = (3, 224, 224)
    assert leaves_out_parameters(heads, shape, CrossEntropy())
    assert not leaves_out_parameters(heads, shape, WithAuxiliaries(0.3))
