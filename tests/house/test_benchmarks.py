"""The contests run, leave what they promise, and refuse those who do not do the same."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

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


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_every_bar_is_about_contestants_who_are_there(harness, device):
    import run as contests

    for contest in contests.contests(False, device).values():
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


# images a second at 790 TFLOP/s and 4.3 TB/s, worked out by hand from the shapes of the layers
FLOORS = {
    "alexnet": (388e3, 138e3),
    "zfnet": (236e3, 84.2e3),
    "vgg_d": (22.7e3, 7.5e3),
    "googlenet": (120e3, 42.3e3),
    "resnet18": (174e3, 49.6e3),
    "resnet50": (59.7e3, 15.0e3),
    "resnet20": (4.39e6, 1.03e6),
    "resnet110": (774e3, 180e3),
}


@pytest.mark.parametrize("name", FLOORS)
def test_the_floor_on_a_gpu_is_what_the_layers_move_and_multiply(harness, name):
    from floors import inference_floor, training_floor

    peaks = {"matrix product bf16": 790e12, "convolution bf16": 700e12, "copy": 4.3e12}
    for floor, wanted in zip((inference_floor, training_floor), FLOORS[name], strict=True):
        work = harness.Work(name, {}, cost=partial(floor, name, 64))
        outcome = harness.Outcome(work, {}, samples=[peaks], cost=floor(name, 64))
        assert 64 / outcome.floor("bf16") == pytest.approx(wanted, rel=0.01)


def test_without_a_gpu_its_contests_are_refused_in_a_sentence():
    done = run("--device", "cuda", "lenet")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("needs a GPU, and this torch finds none")
    assert run("--device", "cuda", "--list").stdout.startswith("correct ")


@pytest.mark.slow
def test_what_is_checked_before_a_gpu_is_timed_is_right_on_a_processor(harness):
    import correct

    found = list(correct.checks(["lenet5", "resnet20"], ["lenet5"]))
    assert [check for check in found if not check.right] == []
    assert len(found) == 8 + 2 * 4
    assert "wrong" not in correct.table(found, "here")
    wrong = correct.Check("nothing", float("nan"), 1.0)
    assert "| **wrong** |" in correct.table([wrong], "here")


SCRIPT = """
import sys
import torch

for part, count in (("train", 128), ("test", 64)):
    data = torch.load(f"cifar10/{part}.pt")
    assert data["images"].shape == (count, 32, 32, 3) and data["images"].dtype == torch.uint8
    assert len(data["labels"]) == count and len(data["classes"]) == 10
row = "|  %s  |  %s  |  %s  |  %s  |".__mod__
print("-" * 9)
print(row(("run   ", "epoch", "tta_val_acc", "total_time_seconds")))
for run in ("warmup", *range(1000)):
    print(row((str(run).rjust(6), "    0", "           ", "            1.0000")))
    told = 0.9405 + run / 10000 if run != "warmup" else 0.1
    print(row(("      ", " eval", "     %.4f" % told, "            2.5000")))
"""


@pytest.mark.slow
def test_a_script_runs_as_it_is_on_our_data_and_is_read_and_stopped(harness, monkeypatch, tmp_path):
    import sprints

    (tmp_path / "legacy").mkdir()
    (tmp_path / "legacy" / "airbench94_compiled.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sprints, "whole", sprints.some)
    with pytest.raises(harness.NotHere, match="AIRBENCH names no folder with legacy/airbench94"):
        sprints.theirs("legacy/airbench94_compiled.py")
    monkeypatch.setenv("AIRBENCH", str(tmp_path))
    told = sprints.theirs("legacy/airbench94_compiled.py").once()
    assert told["seconds"] == [2.5] * sprints.TRAININGS
    assert told["accuracies"][:2] == pytest.approx([94.05, 94.06])


@pytest.mark.slow
def test_trainings_count_only_with_the_accuracy_asked_for(harness, monkeypatch, tmp_path):
    import report
    import sprints

    contests = {contest.name: contest for contest in sprints.contests(quick=True)}
    contest = contests["sprint-mnist"]
    monkeypatch.setenv("AIRBENCH", "beside")
    outcomes = sprints.hold(contest, 2, 1, quick=True)
    assert os.environ["AIRBENCH"] == str(Path("beside").resolve())
    (result,) = outcomes[0].results.values()
    assert result.status == ""
    assert len(result.rounds) == len(result.accuracies) == 2
    assert result.accuracy < 99  # noise has nothing to learn
    told = {"command": "", "quick": True, "rounds": 2, "threads": 1, "device": "a GPU"}
    text = report.write(contest, outcomes, tmp_path, told)
    assert "| classicnets: at least 1.00 of 1000 ms |" in text
    assert "| missed: " in text
    assert " of 99 % |" in text
    result.accuracies = [98.9, 99.2]
    assert report.verdict(outcomes[0], contest.works[0].bars[0]) in ("met", "missed")
    result.status = "failed: in its third training"
    assert result.status in report.write(contest, outcomes, tmp_path, told)
    (residual,) = (contests["sprint-cifar"].works[0].contestants[name]().precision
                   for name in ["classicnets, resnet20, 20 passes"])  # fmt: skip
    assert residual in ("fp32", "bf16")


def test_six_views_of_a_picture_weigh_as_its_scores_do(harness):
    import sprints

    x = torch.randn(3, 2, 8, 8)
    places = torch.nn.functional.pad(x, (1, 1, 1, 1), "reflect")
    shifted = [places[:, :, k : k + 8, k : k + 8] for k in (0, 2)]
    views = [(0.5, x), (0.25, shifted[0]), (0.25, shifted[1])]
    weights = torch.randn(2 * 64)
    network = lambda x: x.flatten(1) @ weights[:, None]  # noqa: E731
    wanted = sum(share * (network(v) + network(v.flip(-1))) for share, v in views)
    torch.testing.assert_close(sprints.seen(network, x, 6), wanted)
    assert torch.equal(sprints.seen(network, x, 1), network(x))


@pytest.mark.slow
def test_a_gpus_contest_is_held_by_its_contestants_on_a_processor_too(harness, tmp_path):
    import gpu
    import report

    contest = next(c for c in gpu.contests(quick=True) if c.name == "lenet")
    outcomes = harness.race(contest, rounds=1, threads=1, quick=True)
    told = {"command": "", "quick": True, "rounds": 1, "threads": 1, "device": "a GPU"}
    report.write(contest, outcomes, tmp_path, told)
    report.write_summary(tmp_path)
    summary = (tmp_path / "gpu.md").read_text()
    assert summary.count("| lenet | ") == 2
    assert "a GPU, torch" in summary
