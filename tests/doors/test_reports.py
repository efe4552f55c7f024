"""What training and evaluation print: only what is true of the network and the data at hand."""

import json
import re
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from PIL import Image

from classicnets import catalog
from classicnets.api import introduction
from classicnets.api.train import plain
from classicnets.cli import progress
from classicnets.training.recipe.recipe import differences

OWN = """
from torch import nn

def builder(classes):
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(4, classes))
"""
ABSENT = ("constraint", "average", "progressive_resizing")
SIDES = ("--set", "side=16", "--set", "crop=16")


def colours(root, classes: int, images: int = 8):
    """A folder of images in so many colours, with 2 of each for validation and for test."""
    noise = np.random.default_rng(0)
    for split, n in (("train", images), ("val", 2), ("test", 2)):
        for k in range(classes):
            folder = root / split / f"colour {k}"
            folder.mkdir(parents=True)
            for i in range(n):
                colour = np.array([k * 30 % 190, 40 * (k % 4), 20])
                pixels = noise.integers(0, 60, (16, 16, 3)) + colour
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def own(tmp_path_factory, run_cli):
    """A network of one's own after two epochs of four steps on three classes."""
    here = tmp_path_factory.mktemp("own network")
    (here / "mine.py").write_text(OWN)
    network, data = f"{here / 'mine.py'}:builder", colours(here / "colours", 3)
    done = run_cli("train", network, "--data", data, "--epochs", 2, "--batch-size", 6,
                   "--lr", 0.02, *SIDES, "--out", here / "run")  # fmt: skip
    assert done.status == 0, done.err
    return done.out, network, here / "run"


def test_a_network_of_your_own_is_not_compared_with_a_paper(own):
    printed, _, run = own
    assert "the paper" not in printed
    assert "(paper: " not in printed
    assert json.loads((run / "run.json").read_text())["differences"] == {}


def test_top_5_is_left_out_below_six_classes(own, run_cli, tmp_path):
    printed, network, run = own
    evaluated = run_cli("evaluate", run, "--network", network)
    compared = run_cli("compare", run)
    assert (evaluated.status, compared.status) == (0, 0)
    assert "top-5" not in printed + evaluated.out + compared.out
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["validation_top5_error"] is None
    six = tmp_path / "six"
    done = run_cli("train", network, "--data", colours(tmp_path / "data", 6, 2), "--epochs", 1,
                   *SIDES, "--batch-size", 6, "--out", six)  # fmt: skip
    assert "(top-5 " in done.out


def test_an_epoch_shows_its_first_and_last_learning_rate(own):
    """One cycle to 0.02 over eight steps: 4 % of it, then (1 + cos(pi d)) / 2 of it, where d is
    (3/8 - 1/5) / (4/5), (4/8 - 1/5) / (4/5) and (7/8 - 1/5) / (4/5)."""
    printed, _, run = own
    lines = re.findall(r"^epoch (\d)/2: lr ([\d.]+) to ([\d.]+),", printed, re.MULTILINE)
    assert lines == [("1", "0.0008", "0.01773"), ("2", "0.01383", "0.001181")]
    epochs = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    rates = [rate for epoch in epochs for rate in (epoch["first_lr"], epoch["last_lr"])]
    assert rates == pytest.approx([0.0008, 0.017730, 0.013827, 0.0011803], rel=1e-3)


# a length counts epochs or steps, whichever the paper's recipe counts; the rest may be absent
@pytest.mark.parametrize("change", [{"epochs": 1}, {"steps": 1}, dict.fromkeys(ABSENT)], ids=str)
@pytest.mark.parametrize("name", catalog.names())
def test_no_difference_from_a_paper_is_none(name, change):
    paper = catalog.find(name).recipe
    length = {"epochs": None, "steps": None} if change.keys() & {"epochs", "steps"} else {}
    recipe = replace(paper, **length | change)
    plain_ones = {n: (plain(a), plain(b)) for n, (a, b) in differences(recipe, paper).items()}
    lines = [f"{n} {a} (paper: {b})" for n, (a, b) in introduction._differences(plain_ones).items()]
    assert "None" not in "\n".join(lines)
    if length:
        unit, number = next(iter(change.items()))
        counted = f"{unit} {number}" if getattr(paper, unit) else f"length 1 {unit[:-1]} (paper: "
        assert any(line.startswith(counted) for line in lines), lines


def test_reading_many_images_prints_a_line_now_and_then_in_a_pipe(monkeypatch, capsys):
    seconds = count(0, 4)
    monkeypatch.setattr(progress, "perf_counter", lambda: next(seconds))
    update = progress._lines()
    for done in range(1, 8):
        update("reading images", done * 1000, 7000)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "reading images: 3,000 of 7,000"
    assert 2 <= len(lines) < 4
