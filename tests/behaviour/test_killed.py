"""A run that is killed, without a chance to save, ends as one that never was."""

import functools
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

import classicnets as cn
from classicnets.api.train import Training
from classicnets.data.images import ImageFiles

# a network with dropout and batch normalisation, in a file as a stranger's would be
NETWORK = """
from torch import nn

def net(classes=10, channels=3):
    return nn.Sequential(
        nn.Conv2d(channels, 8, 5, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(4),
        nn.Flatten(), nn.Dropout(0.5), nn.Linear(128, classes),
    )
"""
PASSES = 6


def words(file: Path, out: Path, **more: str) -> dict:
    overrides = {
        "side": "40",
        "crop": "32",
        "crop_sampler": "RandomCrop(pad=2)",
        "augment": "(HorizontalFlip(),)",
    }
    return {"network": f"{file}:net", "data": "synthetic", "epochs": PASSES, "out": str(out),
            "overrides": overrides | more}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The file of the network, and a training that nobody killed, made once for its settings."""

    @functools.cache
    def train(**more: str) -> tuple[Path, Training]:
        root = tmp_path_factory.mktemp("whole")
        (root / "mine.py").write_text(NETWORK)
        torch.manual_seed(0)
        training = cn.train(**words(root / "mine.py", root / "run", **more))
        training.finish()
        return root / "mine.py", training

    return train


@pytest.mark.slow
@pytest.mark.parametrize(  # passes done when it is killed
    ("rows", "more"), [(0, {}), (1, {}), (4, {}), (1, {"sampler": "balanced", "patience": "3"})]
)
def test_a_killed_run_resumes_bit_for_bit(tmp_path, trained, rows, more):
    file, whole = trained(**more)
    out = tmp_path / "killed"
    script = (
        "import classicnets as cn, time, torch\n"
        f"torch.set_num_threads({torch.get_num_threads()})\n"  # sums of parts round by their number
        f"for record in cn.train(**{words(file, out, **more)!r}):\n"
        "    time.sleep(0.01)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script])
    metrics = out / "metrics.csv"
    deadline = time.monotonic() + 120
    while not (metrics.exists() if rows else (out / "run.json").exists()) or (
        rows and len(metrics.read_text().splitlines()) <= rows
    ):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    process.wait()
    resumed = cn.resume(out, network=f"{file}:net")
    assert resumed.state.step < whole.state.step
    resumed.finish()
    weights = [(path / "weights.safetensors").read_bytes() for path in (whole.directory, out)]
    assert weights[0] == weights[1]
    states = [torch.load(path / "last.pt", weights_only=True) for path in (whole.directory, out)]
    assert str(states[0]) == str(states[1])
    for name, value in states[0]["network"].items():
        assert torch.equal(value, states[1]["network"][name]), name
    columns = [  # all but what depends on the clock
        [line.split(",")[:8] for line in (path / "metrics.csv").read_text().splitlines()]
        for path in (whole.directory, out)
    ]
    assert columns[0] == columns[1]


SHARDS = """
import os, signal, sys
import torch
import classicnets as cn
from classicnets.api import train

torch.set_num_threads({threads})
train.SAVE_EVERY = 0  # after each step
training = cn.train(**{words!r})
for record in training:
    if record.step == training.config.steps_per_epoch + 3:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_a_run_on_shards_that_is_killed_in_the_middle_of_an_epoch_resumes_bit_for_bit(
    tmp_path, write_folder
):
    pytest.importorskip("webdataset")
    cn.pack(write_folder(tmp_path / "images", 60), tmp_path / "shards", shards=4)
    changes = {"batch": "12", "crop_sampler": "RandomCrop(whole=True)"}
    words = {"network": "lenet5", "data": f"{tmp_path}/shards/train-{{000000..000003}}.tar",
             "recipe": "fast", "epochs": 2, "overrides": changes}  # fmt: skip
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    cn.train(**words, out=whole).finish()
    words["out"] = str(killed)
    script = SHARDS.format(threads=torch.get_num_threads(), words=words)
    assert subprocess.run([sys.executable, "-c", script]).returncode == -signal.SIGKILL
    resumed = cn.resume(killed)
    per_epoch = resumed.config.steps_per_epoch
    assert per_epoch < resumed.state.step < 2 * per_epoch
    assert isinstance(resumed.splits.train, ImageFiles)
    resumed.finish()
    for name in ("weights.safetensors", "last.pt"):
        assert (whole / name).read_bytes() == (killed / name).read_bytes()


def test_a_module_of_your_own_without_a_saved_state_cannot_resume(tmp_path):
    from classicnets.data.synthetic import shapes

    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4)
    )
    training = cn.train(network, shapes(60), epochs=1, out=tmp_path / "run")
    with pytest.raises(ValueError, match=r"no checkpoint .* to resume from"):
        cn.resume(training.directory, network=network, data=shapes(60))
