"""A small experiment on the embedded digits, run once: a narrow design against one of Python."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import classicnets as cn
from classicnets.experiments.report import ExperimentReport

NARROW = """every conv: relu

[16x16x1] input
[4x4x3]   conv1: 3 5x5 filters at stride 4, pad 2
[10]      fc2: 10 neurons
"""
WIDE = NARROW.replace("4x4x3]  ", "4x4x24] ").replace("conv1: 3 5x5", "conv1: 24 5x5")
MINE = """
from torch import nn

def net(classes, channels):
    print("built")  # which does not answer of the process
    layers = (nn.Conv2d(channels, 24, 5, stride=4, padding=2), nn.ReLU(), nn.Flatten())
    return nn.Sequential(*layers, nn.Linear(24 * 16, classes))

def five(classes, channels):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * 256, 5))

def large(classes, channels):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * 1024, classes))
"""
# the best rate of narrow.net is this one, that of mine.py:net half of it: 3 and 4 runs find them
RATED = {"size": 16, "lr": 0.08}
SETTINGS: dict[str, Any] = {"epochs": 2, "overrides": RATED, "processes": 2}


@pytest.fixture(scope="session")
def networks(tmp_path_factory) -> Path:
    """A folder with narrow.net, wide.net and mine.py."""
    folder = tmp_path_factory.mktemp("networks")
    (folder / "narrow.net").write_text(NARROW)
    (folder / "wide.net").write_text(WIDE)
    (folder / "mine.py").write_text(MINE)
    return folder


@pytest.fixture(scope="session")
def prepare(networks) -> Callable[..., Any]:
    """Prepares the experiment, in a directory of its own, with other arguments where given."""

    def make(out: Path, **other: Any) -> Any:
        names = other.pop("names", ["narrow.net", "mine.py:net"])
        given = [str(networks / name) if "." in name else name for name in names]
        return cn.experiment(given, out=out, **{**SETTINGS, **other})

    return make


@pytest.fixture(scope="session")
def finished(prepare, tmp_path_factory) -> tuple[Path, ExperimentReport]:
    """The directory and the report of the whole experiment: six seeds, after a search."""
    out = tmp_path_factory.mktemp("finished") / "exp"
    return out, prepare(out).finish()


@pytest.fixture(scope="session")
def facts() -> Callable[[ExperimentReport], Any]:
    """A report as JSON, without what is measured in seconds."""

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            timed = ("seconds", "curve", "equal_seconds")
            return {name: without(one) for name, one in value.items() if name not in timed}
        return [without(one) for one in value] if isinstance(value, list) else value

    return lambda report: without(json.loads(report.json()))
