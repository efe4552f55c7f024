"""The verb `speed` on the command line."""

import json
from functools import partial

import pytest

from classicnets.measure import roofline


@pytest.fixture
def run_cli(run_cli, monkeypatch):
    monkeypatch.setattr(roofline, "CPU", roofline.QUICK)
    return partial(run_cli, "speed")


def test_a_table_with_a_row_per_mode_and_batch_is_printed(run_cli, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    status, out, err = run_cli("lenet5", "--precision", "fp32", "--seconds", 0.01)
    assert (status, err) == (0, "")
    rows = [line.split() for line in out.splitlines()[4:8]]
    assert [row[:3] for row in rows] == [
        ["inference", "1", "fp32"], ["inference", "128", "fp32"],
        ["training", "1", "fp32"], ["training", "128", "fp32"],
    ]  # fmt: skip
    assert "matrix product fp32" in out
    assert max(map(len, out.splitlines())) <= 80


def test_your_own_module_is_timed_at_the_given_size_and_batches(run_cli, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n"
        "def net(): return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(288, 5))\n"
    )
    words = ("--input", "3x8x8", "--batch", 2, "--batch", 4, "--precision", "bf16")
    status, out, _ = run_cli(tmp_path / "mine.py:net", *words, "--seconds", 0.01, "--json")
    report = json.loads(out)
    assert (status, report["input"]) == (0, [3, 8, 8])
    assert [(row["mode"], row["batch"], row["precision"]) for row in report["rows"]] == [
        (mode, batch, "bf16") for mode in ("inference", "training") for batch in (2, 4)
    ]
    macs = 6 * 6 * 8 * 27 + 288 * 5
    for row in report["rows"]:
        assert row["images_per_second"] == pytest.approx(row["batch"] / row["seconds"])
        fraction = row["lower_bound_seconds"] / row["seconds"]
        assert row["fraction_of_peak"] == pytest.approx(fraction)
    assert report["rows"][1]["flop"] == 2 * 4 * macs


@pytest.mark.parametrize(
    "words", [("lenet5", "--batch", 0), ("lenet5", "--precision", "fp8"), ("lenet6",),
              ("lenet5", "--input", "1x20x20"), ("lenet5", "--input", "0"),
              ("lenet5", "--seconds", 0)]
)  # fmt: skip
def test_a_mistake_is_one_line(run_cli, words):
    status, out, err = run_cli(*words)
    assert (status, out) == (2, "")
    assert err.startswith("classicnets: ")
    assert len(err.splitlines()) == 1
