"""The verbs train and demo, and the run that they leave, as one types them."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from classicnets.cli.report import print_evaluation
from classicnets.evaluation.metrics import evaluate_scores

COMMAND = [sys.executable, "-c", "from classicnets.cli import main; main()"]


@pytest.fixture(scope="module")
def run(tmp_path_factory, run_cli) -> Path:
    """LeNet-5 after two epochs on the digits."""
    out = tmp_path_factory.mktemp("digits") / "run"
    done = run_cli("train", "lenet5", "--epochs", 2, "--out", out)
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    assert any(line.startswith("epoch 2/2: lr ") for line in lines)
    assert any("assumed loss: equation 9" in line for line in lines)
    assert any("classes; 1259 images for training" in line for line in lines)
    assert any(line.startswith("test error ") for line in lines)
    assert f"run: {out}" in lines
    assert lines[-4] == "what to try next:"
    return out


def test_evaluate_prints_clean_json_that_agrees_with_the_run(run_cli, run):
    done = run_cli("evaluate", run, "--json")
    printed = json.loads(done.out)
    assert {"top1_error", "top5_error", "images", "protocol", "seconds"} <= printed.keys()
    assert printed["images"] == 359
    stored = json.loads((run / "run.json").read_text())["test"]
    assert printed["top1_error"] == stored["top1_error"]


def test_predict_lists_classes_for_each_image(run_cli, run, tmp_path):
    for name in ("a.png", "b.jpg"):
        Image.new("L", (28, 28), 40).save(tmp_path / name)
    done = run_cli("predict", run, tmp_path / "a.png", tmp_path / "b.jpg", "--top", 3, "--json")
    images = json.loads(done.out)
    assert [Path(image["path"]).name for image in images] == ["a.png", "b.jpg"]
    assert [len(image["top"]) for image in images] == [3, 3]
    text = run_cli("predict", run, tmp_path / "a.png").out
    assert text.startswith(f"{tmp_path / 'a.png'}: {images[0]['top'][0]['class']} ")


def test_a_users_mistake_is_one_line_on_stderr_and_status_2(run_cli, run, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no")
    for words in (
        ("train", "lenet7"),
        ("train",),
        ("train", "lenet5", "--data", tmp_path / "nowhere"),
        ("train", "lenet5", "--out", run),
        ("train", "lenet5", "--resume", run),
        ("train", "lenet5", "--device", "meta"),
        ("evaluate", tmp_path),
        ("predict", run, tmp_path / "bad.png"),
    ):
        done = run_cli(*words)
        assert done.status == 2, words
        assert len(done.err.strip().splitlines()) == 1, done.err
        assert done.out == ""


def _after_one_epoch(out: Path, epochs: int) -> subprocess.Popen:
    """A training of LeNet-5 that has just printed its first epoch, and continues."""
    started = subprocess.Popen(
        [*COMMAND, "train", "lenet5", "--epochs", str(epochs), "--out", str(out)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert started.stdout is not None
    for line in started.stdout:
        if line.startswith(f"epoch 1/{epochs}: "):
            break
    return started


@pytest.mark.slow
def test_ctrl_c_saves_and_the_resumed_run_ends_with_the_same_weights(run_cli, run, tmp_path):
    out = tmp_path / "run"
    started = _after_one_epoch(out, epochs=2)
    time.sleep(0.02)
    started.send_signal(signal.SIGINT)
    rest, _ = started.communicate(timeout=60)
    assert started.returncode == 130
    assert "; checkpoint of step " in rest
    assert "resume with: " in rest
    assert f" train --resume {out}" in rest
    assert run_cli("train", "--resume", out).status == 0
    name = "weights.safetensors"
    assert (out / name).read_bytes() == (run / name).read_bytes()


@pytest.mark.parametrize(
    "words",
    [
        ("--patience", 3),
        ("--class-weights", "balanced"),
        ("--sampler", "balanced"),
        ("--out", "elsewhere"),
        ("--seed", 0),
        ("--no-compile",),
    ],
)
def test_an_option_that_resume_would_ignore_is_refused_by_name(run_cli, run, words):
    done = run_cli("train", "--resume", run, *words)
    assert done.status == 2
    assert done.err.startswith("classicnets: --resume keeps the settings of the run; remove --")
    assert done.err.endswith(f"{words[0]}\n")


@pytest.mark.slow
def test_a_training_that_is_terminated_saves_and_exits_with_the_status_of_the_signal(tmp_path):
    out = tmp_path / "run"
    started = _after_one_epoch(out, epochs=30)
    started.terminate()
    rest, _ = started.communicate(timeout=60)
    assert started.returncode == 143
    assert "; checkpoint of step " in rest


def test_the_heading_of_a_small_confusion_table_stays_on_its_line(capsys):
    result = evaluate_scores(torch.eye(2), torch.tensor([0, 1]), ("a", "b"), "single", 0.0)
    print_evaluation(result)
    printed = capsys.readouterr().out.splitlines()
    assert "rows: true class; columns: predicted class" in printed


def test_corrupt_images_are_skipped_with_a_warning(run_cli, tmp_path, write_folder):
    data = write_folder(tmp_path / "data", 5)
    (data / "dark" / "0.png").write_bytes(b"no")
    done = run_cli("train", "lenet5", "--data", data, "--epochs", 1, "--out", tmp_path / "run")
    assert done.status == 0
    assert done.err.startswith("warning: skipped: ")
    assert "0.png" in done.err


def test_strong_imbalance_is_reported_before_training_unless_it_is_balanced(
    run_cli, tmp_path, write_folder
):
    data = write_folder(tmp_path / "data", 30)  # 21 of each for training
    for k in range(5, 30):  # and 3 of one
        (data / "light" / f"{k}.png").unlink()
    words = ("train", "lenet5", "--data", data, "--epochs", 1, "--set", "batch=16")
    done = run_cli(*words, "--out", tmp_path / "run")
    assert "\n  dark: 21 + 3 + 6\n  light: 3 + 1 + 1\n" in done.out
    imbalanced, few_steps = done.err.splitlines()
    assert imbalanced == (
        "warning: the classes are imbalanced: 'dark' has 7 times as many training images as "
        "'light' (21 and 3), and a network may learn to ignore small classes; --class-weights "
        "balanced or --sampler balanced makes all classes count the same"
    )
    assert few_steps.startswith("warning: 2 steps will hardly train a network")
    assert run_cli("train", "--resume", tmp_path / "run").err == ""
    balanced = run_cli(*words, "--sampler", "balanced", "--out", tmp_path / "balanced")
    assert (balanced.status, balanced.err) == (0, f"{few_steps}\n")


def test_of_many_classes_the_smallest_and_the_largest_are_listed():
    from classicnets.api.introduction import class_sizes

    counts = {f"c{k}": (100 - k, 3, 5) for k in range(30)}
    assert list(class_sizes(counts)) == [
        "  smallest: c29: 71 + 3 + 5, c28: 72 + 3 + 5, c27: 73 + 3 + 5",
        "  largest: c0: 100 + 3 + 5, c1: 99 + 3 + 5, c2: 98 + 3 + 5",
    ]


def test_a_finished_run_is_extended_by_the_command_line(run_cli, run, tmp_path):
    import shutil

    out = shutil.copytree(run, tmp_path / "run")
    done = run_cli("train", "--resume", out, "--epochs", 2)
    assert (
        "weights: those of step 158, the last; nothing is left to train (--epochs 4 trains on)"
    ) in done.out
    done = run_cli("train", "--resume", out, "--epochs", 3)
    assert (done.status, done.err) == (0, "")
    assert "  adapted epochs: 3 in all, 2 before; the schedule spans all of them, and" in done.out
    assert "epoch 3/3: " in done.out
    done = run_cli("train", "--resume", out, "--epochs", 2)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("classicnets: epochs must be at least 3, as many as ")


def test_a_run_that_stops_early_says_why(run_cli, tmp_path):
    words = ("--set", "lr=Constant(0.0)", "--patience", 1, "--out", tmp_path / "run")
    done = run_cli("train", "lenet5", "--epochs", 5, *words)
    assert done.status == 0
    assert (
        "\nno better validation in 1 epoch, the patience of the recipe: stopped after " in done.out
    )


@pytest.mark.slow
def test_the_demo_reads_digits_and_the_commands_it_suggests_work(run_cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run_cli("demo")
    assert done.status == 0, done.err
    (run,) = (tmp_path / "runs").iterdir()
    error = json.loads((run / "run.json").read_text())["test"]["top1_error"]
    assert error <= 3
    suggested = done.out.split("what to try next:")[1].strip().splitlines()
    commands = list(map(shlex.split, suggested))
    verbs = ["show", "evaluate", "predict", "see", "train"]
    words = [line[line.index(verb) :] for line, verb in zip(commands, verbs, strict=True)]
    for line in words[:-1]:
        assert run_cli(*line).status == 0, line
