"""The contests run, leave what they promise, and refuse those who do not do the same."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
TOO_FAR = 1.001  # times what the others give; fp32 allows 1.0001

CONTESTANT = """
from harness import NotHere, Ready

def gives(value):
    return Ready(lambda: None, lambda: [1.0, value])

def missing():
    raise NotHere("a package that nobody has")
"""


@pytest.fixture
def harness(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import harness

    return harness


@pytest.fixture
def contestants(harness, monkeypatch, tmp_path):
    """A module that the contestants' own processes can import too."""
    (tmp_path / "contestants.py").write_text(CONTESTANT)
    monkeypatch.syspath_prepend(tmp_path)
    import contestants

    yield contestants
    del sys.modules["contestants"]


def run(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "benchmarks/run.py", *words],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_every_bar_is_about_contestants_who_are_there(harness):
    import run as contests

    for contest in contests.contests(quick=False).values():
        for work in contest.works:
            for bar in work.bars:
                than = [bar.than] if isinstance(bar.than, str) else []
                assert {bar.ours, *than} <= {*work.contestants, "the floor"}, (work.name, bar)
                assert "the floor" not in than or work.cost


@pytest.mark.slow
@pytest.mark.parametrize(("contest", "works"), [("lrn", 5), ("start", 1)])
def test_a_quick_contest_leaves_a_table_figures_and_bars(contest, works, tmp_path):
    done = run(contest, "--quick", "--threads", "1", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / f"{contest}.md").read_text() in done.stdout
    assert (tmp_path / f"{contest}.png").read_bytes().startswith(b"\x89PNG")
    told = json.loads((tmp_path / f"{contest}.json").read_text())
    assert len(told["works"]) == works
    assert told["versions"]["torch"]
    assert told["quick"] is True
    assert told["command"].startswith(f"python benchmarks/run.py {contest} --quick")
    for work in told["works"]:
        for result in work["contestants"].values():
            assert result["status"] == ""
            assert result["rounds"] == [result["median"]]


@pytest.mark.slow
def test_outputs_that_differ_are_refused_before_anything_is_timed(harness, contestants):
    def contest(value: float):
        sides = {"one": partial(contestants.gives, 1.0), "two": partial(contestants.gives, value)}
        return harness.Contest("numbers", "", (harness.Work("two numbers", sides),))

    assert harness.race(contest(1.00001), rounds=1, threads=1)[0].results["two"].rounds
    with pytest.raises(harness.Refused, match="two differs from one by"):
        harness.race(contest(TOO_FAR), rounds=1, threads=1)
    with pytest.raises(harness.Refused):
        harness.race(contest(float("nan")), rounds=1, threads=1)


@pytest.mark.slow
def test_a_peer_that_is_missing_is_told_and_not_dropped(harness, contestants):
    import report

    sides = {"peer": contestants.missing, "ours": partial(contestants.gives, 1.0)}
    contest = harness.Contest(
        "numbers", "", (harness.Work("numbers", sides, (harness.Bar("ours", 1.0, "peer"),)),)
    )
    outcomes = harness.race(contest, rounds=1, threads=1, quick=True)
    table = "\n".join(report.table(contest, outcomes) + report.bars(outcomes))
    assert "| numbers | peer | not here: a package that nobody has |" in table
    assert "| not measured |" in table


@pytest.mark.slow
def test_an_unknown_contest_is_refused_by_name():
    done = run("marathon")
    assert done.returncode == 2
    assert "there is no contest 'marathon'; there is steps" in done.stderr
