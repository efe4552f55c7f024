"""How a training is executed, and what of it is the user's to change."""

import json
import math
import subprocess
import sys
from dataclasses import replace

import jaxtyping
import pytest
import torch
from torch import nn

import classicnets as cn
from classicnets.data.synthetic import shapes
from classicnets.models.lenet import lenet5
from classicnets.models.resnet import resnet_cifar
from classicnets.training.execution import execution, memory
from classicnets.training.execution.execution import Execution, resolve_execution
from classicnets.training.execution.memory import largest_batch
from classicnets.training.recipe.optimizers import SGD, LevenbergMarquardt

RECIPE = """
import classicnets as cn
from classicnets.recipes.fast import fast
from classicnets.training.recipe.schedules import Constant, UNKNOWN
from dataclasses import replace

class Zigzag(Constant):
    def __call__(self, progress, history=UNKNOWN):
        return self.lr * (1 + len(history.validation) % 2)

MINE = replace(fast(16), cite="myself", epochs=2, batch=16, lr=Zigzag(RATE))
"""


class LooksAtValues(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 32)

    def forward(self, x):
        return self.layer(x if x.mean() > 0 else -x).flatten(1)


def net() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(72, 4)
    )


def test_a_batch_that_does_not_fit_is_accumulated_in_parts(monkeypatch):
    network, shape = net(), (3, 64, 64)

    def need(batch: int, precision: str = "fp32") -> float:
        peak = memory.step_peak(network, shape, batch, precision=precision)
        return memory.MARGIN * (peak.total - peak.runtime)

    room = need(10) + 0.6 * (need(11) - need(10))  # for ten images, and not eleven
    monkeypatch.setattr(execution, "free_memory", lambda device: float(room))
    resolved, why = resolve_execution(Execution("fp32"), network, shape, 64)
    assert resolved.accumulation_steps == 7  # of ten at most
    assert "accumulated over 7 parts of a batch (the whole batch needs" in why
    assert "; the largest batch that fits is 10)" in why
    assert largest_batch(network, shape, room) == 10
    assert largest_batch(network, shape, math.inf) == math.inf
    assert largest_batch(network, shape, need(1) / 2) == 0
    assert largest_batch(network, shape, room, "bf16") > 10  # of smaller activations
    assert resolve_execution(Execution(), network, shape, 10)[0].accumulation_steps == 1


def test_small_networks_stay_in_full_precision_and_a_choice_is_respected(monkeypatch):
    monkeypatch.setattr(execution, "supports_bf16", lambda device: True)
    small, why = resolve_execution(Execution(), lenet5(), (1, 32, 32), 1)
    assert (small.precision, small.layout, small.accumulation_steps) == (
        "fp32",
        "channels_first",
        1,
    )
    assert "a small network" in why
    wide, _ = resolve_execution(Execution(), resnet_cifar(20), (3, 32, 32), 128)
    assert (wide.precision, wide.layout) == ("bf16", "channels_last")
    single, why = resolve_execution(Execution(), resnet_cifar(20), (3, 32, 32), 2, SGD())
    assert (single.precision, "fp32 (a small batch)" in why) == ("fp32", True)
    wanted = Execution("fp32", "channels_first")
    asked, _ = resolve_execution(wanted, resnet_cifar(20), (3, 32, 32), 128)
    assert (asked.precision, asked.layout) == ("fp32", "channels_first")


def test_a_cpu_without_bf16_computes_in_fp32(monkeypatch):
    monkeypatch.setattr(execution, "supports_bf16", lambda device: False)
    assert resolve_execution(Execution(), resnet_cifar(20), (3, 32, 32), 8)[0].precision == "fp32"


def test_a_run_resumes_as_it_was_executed(tmp_path):
    execution = Execution("bf16", "channels_last", accumulation_steps=2)
    began = cn.train(
        net(), shapes(60, side=16), epochs=2, out=tmp_path / "run", execution=execution
    )
    for record in began:
        if record.validation is not None:
            break
    resumed = cn.resume(tmp_path / "run", network=net(), data=shapes(60, side=16))
    assert resumed.config.execution == began.config.execution == replace(execution, graph=False)
    assert resumed.finish() is not None


def test_changes_and_adaptations_are_kept_with_their_reasons(tmp_path):
    training = cn.train(
        "resnet20", shapes(60), overrides={"optimizer.momentum": "0.8"}, out=tmp_path / "run"
    )
    assert training.recipe.optimizer.momentum == 0.8
    assert training.recipe.batch == 16
    assert training.recipe.epochs == 300  # at most, where 40,000 images would be more
    content = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (
        set(content["adapted"])
        == {"batch", "lr", "epochs", "paper_images"}
        == set(training.adapted)
    )
    assert set(content["differences"]) == {"optimizer", "batch", "lr", "epochs", "steps"}


def test_a_recipe_in_a_file_of_your_own_is_followed_and_resumed(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(RECIPE.replace("RATE", "0.01"))
    words = {"recipe": str(file), "epochs": 3, "out": tmp_path / "run"}
    training = cn.train("resnet20", "synthetic", overrides={"batch": "300"}, **words)
    rates = [record.lr for record in training if record.validation is not None]
    assert rates == pytest.approx([0.01, 0.02, 0.01])
    assert cn.resume(tmp_path / "run", recipe=str(file)).state.step == training.state.step
    file.write_text(RECIPE.replace("RATE", "0.02"))
    with pytest.raises(ValueError, match=r"mine\.py has changed since the run: lr was .*0\.01"):
        cn.resume(tmp_path / "run", recipe=str(file))
    file.unlink()
    with pytest.raises(ValueError, match=r"no such file: .*mine\.py"):
        cn.resume(tmp_path / "run", recipe=str(file))


def test_a_state_saved_by_another_recipe_is_not_resumed(tmp_path):
    cn.train(
        "lenet5", shapes(60, channels=1), recipe="fast", epochs=1, out=tmp_path / "run"
    ).finish()
    path = tmp_path / "run" / "run.json"
    path.write_text(path.read_text().replace('"batch": 16', '"batch": 21'))
    with pytest.raises(ValueError, match=r"the run has changed .* recipe.batch was 16 and is 21"):
        cn.resume(tmp_path / "run", data=shapes(60, channels=1))
    path.write_text(
        path.read_text().replace('"batch": 21', '"batch": 16').replace('"seed": 0', '"seed": 9')
    )
    with pytest.raises(ValueError, match=r"the run has changed .* seed was 0 and is 9"):
        cn.resume(tmp_path / "run", data=shapes(60, channels=1))


def test_the_users_own_chance_is_left_as_it_was(tmp_path):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    cn.train("lenet5", shapes(60, channels=1), "fast", epochs=1, out=tmp_path / "run").finish()
    assert torch.equal(torch.rand(2), expected)


def test_a_network_of_one_size_does_not_see_images_that_grow(tmp_path):
    fixed = nn.Sequential(nn.Conv2d(3, 4, 5, stride=4), nn.Flatten(), nn.Linear(4 * 31**2, 4))
    any_size = nn.Sequential(nn.Conv2d(3, 4, 5), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for name, network, grows in (("fixed", fixed, False), ("any", any_size, True)):
        training = cn.train(network, shapes(24, side=144), "fast", epochs=1, out=tmp_path / name,
                            overrides={"crop": "128", "side": "144"})  # fmt: skip
        assert (training.recipe.progressive_resizing is not None) == grows
        assert ("progressive_resizing" in training.adapted) == (not grows)
    assert "takes 128 pixels, not the 64" in cn.train(
        fixed, shapes(24, side=144), "fast", out=tmp_path / "again",
        overrides={"crop": "128", "side": "144"},
    ).adapted["progressive_resizing"]  # fmt: skip


def test_a_graph_is_refused_where_there_is_none(tmp_path):
    with pytest.raises(ValueError, match="a CUDA graph needs a CUDA device, not cpu"):
        cn.train(net(), shapes(24), out=tmp_path / "run", execution=Execution(graph=True))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("network", "shape", "batch", "rule", "recorded"),
    [
        (resnet_cifar(20), (3, 32, 32), 128, SGD(0.9), True),
        (lenet5(), (1, 32, 32), 256, SGD(), True),
        (resnet_cifar(20), (3, 224, 224), 32, SGD(0.9), False),  # the GPU has enough to do
        (lenet5(), (1, 32, 32), 1, LevenbergMarquardt(), False),  # its rate is a number
        (resnet_cifar(20), (3, 32, 32), 128, None, True),  # nothing is updated: inference
        (LooksAtValues(), (3, 32, 32), 128, SGD(), False),
    ],
)
def test_steps_are_recorded_where_they_can_be_and_launches_take_the_time(
    monkeypatch, network, shape, batch, rule, recorded
):
    assert resolve_execution(Execution(), network, shape, batch, rule)[0].graph is False  # on a CPU
    monkeypatch.setattr(execution, "_has_graphs", lambda device: True)  # as a single GPU can
    resolved, why = resolve_execution(Execution(), network, shape, batch, rule)
    assert resolved.graph is recorded
    assert ("one CUDA graph per step (small batches are launch-bound" in why) is recorded
    assert resolve_execution(Execution(graph=False), network, shape, batch, rule)[0].graph is False
    parts = Execution(accumulation_steps=2)
    assert resolve_execution(parts, network, shape, batch, rule)[0].graph is False


def test_a_run_of_recorded_steps_resumes_where_none_can_be(tmp_path):
    began = cn.train(net(), shapes(60, side=16), epochs=2, out=tmp_path / "run")
    next(iter(began))
    began.save()
    path = tmp_path / "run" / "run.json"
    assert '"graph": false' in path.read_text()
    began.run.config = replace(
        began.run.config, execution=replace(began.config.execution, graph=True)
    )
    began.run.note()
    began.saved = None
    began.save()
    assert '"graph": true' in path.read_text()
    resumed = cn.resume(tmp_path / "run", network=net(), data=shapes(60, side=16))
    assert resumed.config.execution.graph is False
    assert resumed.finish() is not None


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("lr", "EpochTable(())", "an EpochTable has rows"),
        ("init", "Gaussian(-1.0)", "std of Gaussian must be at least 0, not -1.0"),
        ("loss", "CrossEntropy(2.0)", "smoothing of CrossEntropy must be 0 to 1"),
        ("optimizer", "LevenbergMarquardt(samples=0)", "samples of LevenbergMarquardt"),
        ("optimizer", "LevenbergMarquardt()", "curvature is estimated along plain chains"),
        ("crop_sampler", "RandomCrop(pad=-30)", "pad of RandomCrop must be at least 0"),
        ("augment", "(ColourShift(((1.0, 2.0),)),)", r"ColourShift\(.* does not fit"),
        ("protocol", "nosuch", "no protocol 'nosuch'"),
        ("init", "FromRun('nowhere')", "no weights at nowhere/weights.safetensors"),
    ],
)
def test_a_part_that_cannot_work_is_refused_before_anything_is_written(
    tmp_path, field, value, sentence
):
    with pytest.raises(ValueError, match=sentence):
        cn.train("resnet20", shapes(60), out=tmp_path / "run", overrides={field: value})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("lr", "sentence"),
    [
        ("0.01", r"lr must be callable, not 0.01; .* use Constant\(0.01\)"),
        ("{}.__getitem__", r"lr=.* does not give a number \(TypeError"),
    ],
)
def test_a_schedule_that_fails_is_refused_before_anything_is_written(
    tmp_path, monkeypatch, lr, sentence
):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as outside of tests
    file = tmp_path / "mine.py"
    file.write_text(
        "from classicnets.recipes.fast import fast\nfrom dataclasses import replace\n"
        f"MINE = replace(fast(16), cite='myself', lr={lr})\n"
    )
    with pytest.raises(ValueError, match=sentence):
        cn.train(net(), shapes(24), str(file), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_two_processes_do_not_train_in_one_directory(tmp_path):
    training = cn.train(net(), shapes(24), epochs=1, out=tmp_path / "run")
    script = (
        "from pathlib import Path\n"
        "from classicnets.support.files import lock_directory\n"
        f"lock_directory(Path({str(training.directory)!r}))\n"
    )
    other = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert other.returncode == 1
    assert f"another process is training in {training.directory}; let it end" in other.stderr
    assert training.finish().images > 0


def test_an_image_that_vanishes_ends_training_with_what_is_saved(tmp_path, write_folder):
    folder = write_folder(tmp_path / "data")
    two = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    training = cn.train(
        two, str(folder), epochs=3, out=tmp_path / "run", workers=0,
        overrides={"side": "36", "crop": "16", "batch": "4",
                   "crop_sampler": "RandomCrop(whole=True)"},
    )  # fmt: skip
    steps = iter(training)
    next(steps)
    for file in folder.rglob("*.png"):
        file.unlink()
    with pytest.raises(ValueError, match=r"no such file: .*run holds a checkpoint of step \d+"):
        list(steps)
    assert training.run.last.exists()
