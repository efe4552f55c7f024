"""A training that is killed at any write, another beside it, and copies that lack a file."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import classicnets as cn
from classicnets.data.synthetic import shapes
from classicnets.recipes.fast import fast
from classicnets.support import files
from classicnets.training.recipe import Recipe
from classicnets.training.run.directory import open_run

DATA = shapes(60, channels=1)
RECIPE = {"epochs": "2", "side": "32", "crop": "32", "batch": "16"}


class Killed(BaseException):
    """Raised in place of a kill."""


def start(out: Path, **more: Any) -> Any:
    return cn.train("lenet5", DATA, "fast", out=out, overrides=RECIPE, **more)


def kill_at(monkeypatch: pytest.MonkeyPatch, event: int) -> list[int]:
    """Stops at so many writes and renames, and then leaves the files as a kill would."""
    count = [0]
    replace, unlink, fsync = Path.replace, Path.unlink, files.os.fsync

    def step(action: Any, *args: Any, **options: Any) -> Any:
        count[0] += 1
        if count[0] == event:
            raise Killed
        return action(*args, **options) if count[0] < event else None

    monkeypatch.setattr(Path, "replace", lambda *args: step(replace, *args))
    monkeypatch.setattr(files.os, "fsync", lambda *args: step(fsync, *args))
    monkeypatch.setattr(
        Path, "unlink", lambda *args, **options: count[0] < event and unlink(*args, **options)
    )
    return count


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    start(out).finish()
    return out


SLOW = [pytest.param(n, marks=pytest.mark.slow) for n in range(4, 17)]


@pytest.mark.parametrize("event", [1, 2, 3, *SLOW])
def test_a_training_killed_at_any_write_can_be_resumed_or_begun_again(tmp_path, whole, event):
    out = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        kill_at(patch, event)
        with pytest.raises(Killed):
            start(out).finish()
    if not (out / "run.json").exists():
        with pytest.raises(ValueError, match="its training was ended before it began, so train"):
            cn.resume(out, data=DATA)
        start(out).finish()
    else:
        cn.resume(out, data=DATA).finish()
    name = "weights.safetensors"
    assert (out / name).read_bytes() == (whole / name).read_bytes()
    assert [e.step for e in open_run(out).epochs] == [e.step for e in open_run(whole).epochs]


def test_what_a_killed_start_left_is_gone_from_the_new_run(tmp_path):
    for name in (".lock", "mean.safetensors", "mean.safetensors.part", "run.json.part"):
        (tmp_path / name).write_bytes(b"half")
    start(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".lock", "run.json"}


def test_a_mean_image_that_no_training_left_is_not_ours_to_replace(tmp_path):
    (tmp_path / "mean.safetensors").write_bytes(b"dear")
    with pytest.raises(ValueError, match="is not empty; a run needs a directory of its own"):
        start(tmp_path)
    assert (tmp_path / "mean.safetensors").read_bytes() == b"dear"


@pytest.fixture
def claimed(tmp_path):
    """Claims a directory in another process."""
    started = []

    def claim(directory: Path) -> None:
        script = (
            "from pathlib import Path\n"
            "from classicnets.support.files import lock_directory\n"
            f"lock_directory(Path({str(directory)!r}))\n"
            "print('claimed', flush=True)\n"
            "input()\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"claimed\n"
        started.append(process)

    yield claim
    for process in started:
        process.communicate(b"\n", timeout=30)


def test_no_writer_touches_a_directory_that_another_process_has_claimed(tmp_path, whole, claimed):
    out, new = Path(shutil.copytree(whole, tmp_path / "run")), tmp_path / "new"
    new.mkdir()
    for directory in (out, new):
        claimed(directory)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.iterdir()}
    with pytest.raises(ValueError, match=r"another process is training in .*run; let it end first"):
        cn.resume(out, data=DATA)
    with pytest.raises(ValueError, match=r"another process is training in .*new; let it end first"):
        start(new)
    assert {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in out.iterdir()} == before
    assert [path.name for path in new.iterdir()] == [".lock"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("last.pt", r"no checkpoint .*last\.pt to resume from; train again"),
        ("weights.safetensors", r"no .*weights\.safetensors, the best weights so far; train again"),
        ("run.json", "is not a run: it has no run.json$"),
    ],
)
def test_a_copy_that_lacks_a_file_is_not_resumed_and_stays_as_it_is(
    tmp_path, whole, name, sentence
):
    out = Path(shutil.copytree(whole, tmp_path / "run"))
    (out / name).unlink()
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(ValueError, match=sentence):
        cn.resume(out, data=DATA)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_run_whose_metrics_lack_an_epoch_that_has_ended_is_not_resumed(tmp_path, stop_after):
    training = start(tmp_path / "run")
    stop_after(training, training.config.steps_per_epoch + 1)
    (tmp_path / "run/metrics.jsonl").unlink()
    with pytest.raises(ValueError, match=r"metrics\.jsonl is incomplete: it has 0 epochs of 1$"):
        cn.resume(tmp_path / "run", data=DATA)


@pytest.mark.parametrize("write", [1, 2, 3])
def test_an_epoch_that_is_not_kept_is_not_in_the_checkpoint(tmp_path, whole, write):
    """One write of the second epoch fails (weights, run.json, metrics.csv), the next would not."""
    training, fsync, count = start(tmp_path / "run"), files.os.fsync, 0

    def once(descriptor: int) -> None:
        nonlocal count
        count += 1
        if count == write:
            raise OSError(5, "Input/output error")
        fsync(descriptor)

    steps = iter(training)
    while next(steps).step < 2 * training.config.steps_per_epoch - 1:
        pass
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files.os, "fsync", once)
        with pytest.raises(OSError, match="Input/output error"):
            list(steps)
    cn.resume(tmp_path / "run", data=DATA).finish()
    for name in ("weights.safetensors", "last.pt"):
        assert (tmp_path / "run" / name).read_bytes() == (whole / name).read_bytes()
    rows = [[e.step for e in open_run(out).epochs] for out in (tmp_path / "run", whole)]
    assert rows[0] == rows[1]


def test_a_copy_without_the_mean_image_is_refused(tmp_path):
    recipe = _with_mean_image()
    cn.train("lenet5", DATA, recipe, out=tmp_path / "run").finish()
    (tmp_path / "run" / "mean.safetensors").unlink()
    with pytest.raises(ValueError, match=r"no .*mean\.safetensors, the mean image that the recipe"):
        cn.load(tmp_path / "run")


def test_weights_that_are_no_longer_finite_are_not_saved(tmp_path):
    training = start(tmp_path / "run")
    next(iter(training))
    with torch.no_grad():
        training.network.get_parameter("F6.weight")[0, 0] = float("nan")
    with pytest.raises(ValueError, match="a weight is no longer finite at step 1"):
        training.save()


def _with_mean_image() -> Recipe:
    from dataclasses import replace

    from classicnets.data.scaling import SubtractMeanImage

    return replace(fast(32), epochs=1, batch=16, pixels=SubtractMeanImage())
