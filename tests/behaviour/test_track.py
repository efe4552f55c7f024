"""Trackers are checked before training, log records alone, and are closed."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

from classicnets.cli.track import figures, require, tracking
from classicnets.training.run.state import Metrics, Record


def record(step: int, validation: Metrics | None = None) -> Record:
    """A step of two epochs of 100, after 8 images with a summed loss of 4 and 2 wrong answers."""
    totals = torch.tensor([8.0, 4.0, 2.0], dtype=torch.float64)
    return Record(step, 200, 1 + step // 101, 2, 0.1, 0.1, totals, validation)


VALIDATED = record(101, Metrics(0.3, 20.0, 5.0))


class Tracker(ModuleType):
    """Stands in for wandb and trackio, which have the same three functions."""

    def __init__(self):
        super().__init__("tracker")
        self.started, self.logged, self.finished = {}, [], 0

    def init(self, **options):
        self.started = options
        return self

    def log(self, values, step):
        self.logged.append((step, values))

    def finish(self):
        self.finished += 1


@pytest.fixture
def training(tmp_path):
    config = SimpleNamespace(network="lenet5", data="digits", seed=3, recipe=None)
    directory = tmp_path / "lenet5-digits"
    directory.mkdir()
    state, run = SimpleNamespace(step=0), SimpleNamespace(config=config)
    return SimpleNamespace(directory=directory, state=state, run=run)


def test_a_record_has_the_means_of_its_epoch_and_the_validation_when_there_is_one():
    training = {"epoch": 1, "lr": 0.1, "training/loss": 0.5, "training/error": 25.0}
    assert figures(record(7)) == training
    validation = {"loss": 0.3, "top1_error": 20.0, "top5_error": 5.0}
    assert figures(record(100, Metrics(*validation.values()))) == training | {
        f"validation/{name}": value for name, value in validation.items()
    }


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_tracker_is_started_with_the_config_logs_at_most_fifty_steps_an_epoch_and_is_closed(
    name, training, monkeypatch
):
    tracker = Tracker()
    monkeypatch.setitem(sys.modules, name, tracker)
    require([name])
    with tracking([name, name], training) as write:
        for step in range(1, 101):
            write(record(step))
        write(VALIDATED)
    assert tracker.started["name"] == "lenet5-digits"
    assert tracker.started["config"]["seed"] == 3
    assert tracker.started["resume"] == "allow"
    assert [step for step, _ in tracker.logged] == [*range(2, 101, 2), 101]
    assert tracker.logged[-1][1] == figures(VALIDATED)
    assert tracker.finished == 1


def test_a_tracker_is_closed_when_the_training_fails(training, monkeypatch):
    tracker = Tracker()
    monkeypatch.setitem(sys.modules, "wandb", tracker)
    with pytest.raises(OSError, match="full"), tracking(["wandb"], training):
        raise OSError("the disk is full")
    assert tracker.finished == 1


def test_without_a_tracker_no_record_is_read(training):
    with tracking([], training) as write:
        write(object())


def test_a_tracker_that_does_not_start_is_one_sentence(training, monkeypatch):
    tracker = Tracker()

    def init(**_options):
        raise RuntimeError("no API key\nuse wandb login")

    monkeypatch.setattr(tracker, "init", init)
    monkeypatch.setitem(sys.modules, "wandb", tracker)
    with (
        pytest.raises(ValueError, match=r"^wandb does not start: no API key use wandb login$"),
        tracking(["wandb"], training),
    ):
        pass


def test_a_tracker_that_is_unknown_or_not_installed_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="unknown tracker 'tensorbord'; did you mean tensorboard"):
        require(["tensorbord"])
    monkeypatch.setitem(sys.modules, "trackio", None)
    with pytest.raises(ValueError, match=r"pip install 'classicnets\[track\]'"):
        require(["trackio"])


def scalars(directory: Path) -> dict[str, list[tuple[int, float]]]:
    """Tag -> steps and values, as TensorBoard's own reader reads them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(directory)).Reload()
    return {tag: [(e.step, e.value) for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def test_tensorboard_reads_each_step_once_also_after_a_resume(training):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    with tracking(["tensorboard"], training) as write:
        for step in (2, 4, 6):
            write(record(step))
    training.state.step = 4  # step 6 was not saved, and runs again
    with tracking(["tensorboard"], training) as write:
        write(record(6))
        write(VALIDATED)
    drawn = scalars(training.directory)
    assert [step for step, _ in drawn["training/error"]] == [2, 4, 6, 101]
    assert drawn["validation/top1_error"] == [(101, 20.0)]
