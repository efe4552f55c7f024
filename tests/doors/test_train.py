"""The verbs train, evaluate, predict and demo as one types them."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from PIL import Image

from classicnets.cli import main
from classicnets.cli.train import print_evaluation
from classicnets.evaluation.metrics import evaluate_scores

COMMAND = [sys.executable, "-c", "from classicnets.cli import main; main()"]


class Said(NamedTuple):
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str


def classicnets(*words: object) -> Said:
    """A command run in this process, which spares an import of torch each time."""
    out, err = io.StringIO(), io.StringIO()
    status = 0
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(sys, "argv", ["classicnets", *map(str, words)])
        try:
            main()
        except SystemExit as end:
            status = int(end.code or 0)
    return Said(status, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """LeNet-5 after two passes over the digits."""
    out = tmp_path_factory.mktemp("digits") / "run"
    done = classicnets("train", "lenet5", "--epochs", 2, "--out", out)
    assert done.status == 0, done.err
    said = done.out.splitlines()
    assert any(line.startswith("pass 2/2: ") for line in said)
    assert any("assumed loss: equation 9" in line for line in said)
    assert any("classes; 1259 pictures for training" in line for line in said)
    assert any(line.startswith("test error ") for line in said)
    assert said[-1] == f"run: {out}"
    return out


def test_evaluate_prints_clean_json_that_agrees_with_the_run(run):
    done = classicnets("evaluate", run, "--json")
    told = json.loads(done.out)
    assert {"top1_error", "top5_error", "images", "protocol", "seconds"} <= told.keys()
    assert told["images"] == 359
    noted = json.loads((run / "run.json").read_text())["test"]
    assert told["top1_error"] == noted["top1_error"]


def test_predict_names_classes_for_each_picture(run, tmp_path):
    for name in ("a.png", "b.jpg"):
        Image.new("L", (28, 28), 40).save(tmp_path / name)
    done = classicnets("predict", run, tmp_path / "a.png", tmp_path / "b.jpg", "--top", 3, "--json")
    told = json.loads(done.out)
    assert [Path(picture["path"]).name for picture in told] == ["a.png", "b.jpg"]
    assert [len(picture["top"]) for picture in told] == [3, 3]
    spoken = classicnets("predict", run, tmp_path / "a.png").out
    assert spoken.startswith(f"{tmp_path / 'a.png'}: {told[0]['top'][0]['class']} ")


def test_a_users_mistake_is_one_line_on_stderr_and_status_2(run, tmp_path):
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
        done = classicnets(*words)
        assert done.status == 2, words
        assert len(done.err.strip().splitlines()) == 1, done.err
        assert done.out == ""


def _after_one_pass(out: Path, epochs: int) -> subprocess.Popen:
    """A training of LeNet-5 that has just said how its first pass went, and goes on."""
    started = subprocess.Popen(
        [*COMMAND, "train", "lenet5", "--epochs", str(epochs), "--out", str(out)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert started.stdout is not None
    for line in started.stdout:
        if line.startswith(f"pass 1/{epochs}"):
            break
    return started


@pytest.mark.slow
def test_ctrl_c_saves_says_so_and_the_run_goes_on_to_the_same_end(run, tmp_path):
    out = tmp_path / "run"
    started = _after_one_pass(out, epochs=2)
    time.sleep(0.02)
    started.send_signal(signal.SIGINT)
    rest, _ = started.communicate(timeout=60)
    assert started.returncode == 130
    assert "is saved in" in rest
    assert f" train --resume {out}" in rest
    assert classicnets("train", "--resume", out).status == 0
    name = "weights.safetensors"
    assert (out / name).read_bytes() == (run / name).read_bytes()


@pytest.mark.parametrize(
    "words",
    [
        ("--data", "digits"),
        ("--recipe", "paper"),
        ("--epochs", 3),
        ("--out", "elsewhere"),
        ("--seed", 0),
    ],
)
def test_what_resume_would_ignore_is_refused_by_name(run, words):
    done = classicnets("train", "--resume", run, *words)
    assert done.status == 2
    assert f"goes on as the run began; leave {words[0]} away" in done.err


@pytest.mark.slow
def test_a_training_that_is_terminated_saves_and_says_so_with_its_status(tmp_path):
    out = tmp_path / "run"
    started = _after_one_pass(out, epochs=30)
    started.terminate()
    rest, _ = started.communicate(timeout=60)
    assert started.returncode == 143
    assert "is saved in" in rest


def test_the_heading_of_a_small_confusion_table_stays_on_its_line(capsys):
    figures = evaluate_scores(torch.eye(2), torch.tensor([0, 1]), ("a", "b"), "single", 0.0)
    print_evaluation(figures)
    printed = capsys.readouterr().out.splitlines()
    assert "rows: what it is; columns: what it was called" in printed


def test_corrupt_pictures_are_warned_about_and_training_goes_on(tmp_path):
    for name, light in (("dark", 20), ("light", 200)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for k in range(5):
            Image.new("L", (20, 20), light + k).save(tmp_path / "data" / name / f"{k}.png")
    (tmp_path / "data" / "dark" / "0.png").write_bytes(b"no")
    done = classicnets(
        "train", "lenet5", "--data", tmp_path / "data", "--epochs", 1, "--out", tmp_path / "run"
    )
    assert done.status == 0
    assert done.err.startswith("warning: left out: ")
    assert "0.png" in done.err


@pytest.mark.slow
def test_the_demo_reads_digits_and_the_commands_it_offers_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = classicnets("demo")
    assert done.status == 0, done.err
    (run,) = (tmp_path / "runs").iterdir()
    error = json.loads((run / "run.json").read_text())["test"]["top1_error"]
    assert error <= 3
    offered = done.out.split("what to try next:")[1].strip().splitlines()
    assert len(offered) == 3
    words = offered[1].split()
    predict = words[words.index("predict") :]
    assert classicnets(*predict).status == 0
