"""Experiments as they run: paired, resumed, reported; and what is refused."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from subprocess import PIPE
from xml.etree import ElementTree

import pytest

import classicnets as cn
from classicnets.experiments.variants import as_settings
from classicnets.training.run.directory import open_run

PROGRAM = [sys.executable, "-m", "classicnets"]


def test_a_wider_network_is_better_than_a_narrow_one(finished):
    _, report = finished
    (compared,) = report.comparisons
    assert compared.verdict == "better"
    assert compared.mean < compared.high < 0
    assert compared.p == 2 / 64  # all six on one side
    narrow, wide = report.rows
    pairs = zip(narrow.test_errors, wide.test_errors, strict=True)
    assert compared.differences == tuple(b - a for a, b in pairs)
    assert len(report.runs) == 12


def test_members_are_ordinary_runs_on_the_same_data_with_the_same_seeds(finished):
    directory, report = finished
    runs = {path.name: open_run(path) for path in (directory / "runs").iterdir()}
    assert len(runs) == 12 + 7
    assert len({run.config.digest for run in runs.values()}) == 1
    for k, row in enumerate(report.rows, 1):
        own = {name: run for name, run in runs.items() if name.startswith(f"{k}-")}
        paired = sorted(name for name in own if re.search("seed[1-6]$", name))
        assert [own[name].config.seed for name in paired] == [1, 2, 3, 4, 5, 6]
        errors = tuple(own[name].notes["test"]["top1_error"] for name in paired)
        assert errors == row.test_errors


def test_the_search_takes_another_seed_looks_at_validation_only_and_the_best_is_used(finished):
    directory, report = finished
    for k, row in enumerate(report.rows, 1):
        searched = {
            float(path.name.rpartition("x")[2]): open_run(path)
            for path in (directory / "runs").glob(f"{k}-*-lr-x*")
        }
        assert sorted(searched) == [0.25] * (k == 2) + [0.5, 1, 2]
        assert {run.config.seed for run in searched.values()} == {0}
        assert not any("test" in run.notes for run in searched.values())
        best = min(searched, key=lambda f: min(e.rank for e in searched[f].epochs))
        assert row.factor == best == (None, 1, 0.5)[k]
        recipe = searched[best].config.recipe
        (used,) = {open_run(p).config.recipe.lr for p in (directory / "runs").glob(f"{k}-*seed?")}
        assert used == recipe.lr
        rates = {f: run.config.recipe.lr.peak for f, run in searched.items()}
        assert rates[0.5] == pytest.approx(rates[1] / 2)
        assert rates[2] == pytest.approx(2 * rates[1])
        others = {run.config.recipe.batch for run in searched.values()}
        assert len(others) == 1


def test_the_report_is_one_file_that_needs_nothing_else(finished):
    directory, report = finished
    page = (directory / "report.html").read_text()
    assert "data:image/png;base64," in page
    assert re.findall('(?:src|href)=(?!"data:)', page) == []
    assert "http" not in re.sub('base64,[^"]*', "", page)
    ElementTree.fromstring(re.sub("<meta[^>]*>|<!doctype html>|<img[^>]*>", "", page))
    assert json.loads((directory / "report.json").read_text()) == json.loads(report.json())
    with (directory / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 19
    tested = [float(row["test error"]) for row in rows if row["test error"]]
    expected = [
        error for pair in zip(*(r.test_errors for r in report.rows), strict=True) for error in pair
    ]
    assert tested == pytest.approx(expected, abs=1e-4)


def test_a_report_reads_well_in_python_and_in_a_notebook(finished):
    _, report = finished
    text = repr(report)
    assert "is better than" in text
    assert "95 % interval" in text
    assert "0.031" in text
    assert "<table>" in report._repr_html_()


def test_a_finished_experiment_trains_nothing_again(finished, prepare, facts):
    directory, report = finished
    before = {path: path.stat().st_mtime_ns for path in directory.glob("runs/*/*")}
    again = prepare(directory)
    assert "12 runs and 7 to choose the learning rates" in repr(again)
    assert "19 have ended" in repr(again)
    assert list(again) == []
    assert facts(again.report) == facts(report)
    assert {path: path.stat().st_mtime_ns for path in directory.glob("runs/*/*")} == before


def test_an_experiment_that_is_stopped_and_killed_resumes_and_ends_the_same(
    finished, networks, prepare, facts, tmp_path
):
    out = tmp_path / "exp"
    words = ["experiment", networks / "narrow.net", f"{networks / 'mine.py'}:net"]
    words += ["--epochs", 2, "--set", "size=16", "--set", "lr=0.08", "--processes", 2, "--out", out]
    for number, after in ((signal.SIGINT, 3), (signal.SIGKILL, 9)):
        process = subprocess.Popen([*PROGRAM, *map(str, words)], stdout=PIPE, stderr=PIPE)
        assert process.stdout is not None
        next(line for line in process.stdout if re.match(rb"%d/1[89] " % after, line))
        os.kill(process.pid, number)
        _, said = process.communicate()
        if number == signal.SIGINT:
            assert process.returncode == 130
            stopped = rb"stopped; \d+ of 1[89] runs have ended in .*; the same command continues\n"
            assert re.fullmatch(stopped, said)
    ended = {
        path: (path / "metrics.csv").stat().st_mtime_ns
        for path in (out / "runs").iterdir()
        if (path / "run.json").exists() and "ended" in open_run(path).notes
    }
    assert 9 <= len(ended) < 19
    report = prepare(out).finish()
    assert facts(report) == facts(finished[1])
    assert {path: (path / "metrics.csv").stat().st_mtime_ns for path in ended} == ended


def test_runs_that_were_stopped_before_they_were_marked_as_ended_are_completed(
    finished, prepare, facts, tmp_path
):
    directory = shutil.copytree(finished[0], tmp_path / "exp")
    for run in map(open_run, (directory / "runs").iterdir()):
        for note in ("ended", "test"):
            run.notes.pop(note, None)
        run.note()
    steps = list(again := prepare(directory))
    assert {step.progress.validation for step in steps if step.progress.ended} <= {
        epoch.validation_top1_error
        for path in (directory / "runs").iterdir()
        for epoch in open_run(path).epochs
    }
    assert facts(again.report) == facts(finished[1])
    searched = [open_run(path).notes for path in (directory / "runs").glob("*-lr-x*")]
    assert len(searched) == 7
    assert not any("test" in notes for notes in searched)


def test_processes_end_when_the_experiment_is_killed(networks, tmp_path):
    words = ["experiment", networks / "narrow.net", networks / "wide.net", "--epochs", 500]
    words += ["--set", "size=16", "--processes", 1, "--out", tmp_path / "exp"]
    killed = subprocess.Popen([*PROGRAM, *map(str, words)], stdout=PIPE)
    children = Path(f"/proc/{killed.pid}/task/{killed.pid}/children")
    if not children.exists():
        pytest.skip("the system does not list the children of a process")
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("exp/runs/*/last.pt")) and time.monotonic() < deadline:
        time.sleep(0.1)
    (worker,) = children.read_text().split()
    killed.kill()
    killed.communicate()
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not Path(f"/proc/{worker}").exists()


def test_a_run_that_diverges_counts_as_worse_and_ends_nothing(prepare, tmp_path):
    found = prepare(
        tmp_path / "exp", names=["narrow.net"], seeds=2, epochs=1, processes=1,
        overrides={"size": 16, "lr": [0.01, 1e30]},
    )  # fmt: skip
    assert not found.plan.searching({})  # the learning rate is what varies
    report = found.finish()
    assert [row.diverged for row in report.rows] == [0, 2]
    assert report.rows[1].test_errors == (None, None)
    name = report.rows[1].variant
    assert (
        f"{name} diverged in 2 of 2 runs, each of which counts with a test error of 100 %."
        in str(report)
    )
    (compared,) = report.comparisons
    assert compared.differences == tuple(100 - error for error in report.rows[0].test_errors)
    assert "2 pairs are too few to tell: one comparison needs 6." in str(report)
    assert (tmp_path / "exp/report.html").exists()


def test_more_seeds_go_on_and_the_report_says_that_it_had_been_looked_at(
    finished, prepare, tmp_path
):
    out = tmp_path / "exp"
    shutil.copytree(finished[0], out)
    shutil.rmtree(next(out.glob("runs/2-*-seed6")))
    shutil.rmtree(next(out.glob("runs/2-*-seed5")))
    (plan,) = out.glob("plan.json")
    content = json.loads(plan.read_text())
    plan.write_text(json.dumps({**content, "seeds": 4, "looked": [4]}))
    report = prepare(out, seeds=6).finish()
    assert report.comparisons == finished[1].comparisons
    assert any(note.startswith("A report on 4 pairs was made before") for note in report.notes)
    with pytest.raises(ValueError, match="holds an experiment with 6 seeds, and 3 would leave out"):
        prepare(out, seeds=3)


def test_a_budget_allows_fewer_seeds_and_the_cost_says_so(finished, prepare, tmp_path):
    out = tmp_path / "exp"
    shutil.copytree(finished[0], out)
    for seed in (3, 4, 5, 6):
        for place in out.glob(f"runs/*-seed{seed}"):
            shutil.rmtree(place)
    content = json.loads((out / "plan.json").read_text())
    for variant in content["variants"]:
        variant["seconds"] = 1000.0
    (out / "plan.json").write_text(json.dumps({**content, "looked": []}))
    found = prepare(out, budget="25min")
    assert found.seconds(6) == 4 * 2 * 1000 / 2
    assert found.allowed() == 3
    text = repr(found)
    assert "about 1 h 6 min from now" in text
    assert "the budget of 25 min 0 s allows about 3 of 6 seeds" in text
    tight = prepare(out, budget="10s")  # no further seed, and two are there
    report = tight.finish()
    assert len(report.runs) == 4
    assert "2 of 6 seeds are done: the same command continues." in report.notes


def test_a_budget_for_no_comparison_is_refused_with_what_it_takes(prepare, tmp_path):
    with pytest.raises(
        ValueError, match="a budget of 1 ms allows no comparison: 2 seeds take about"
    ):
        prepare(tmp_path / "exp", budget=0.001)
    assert not (tmp_path / "exp").exists()


OTHER = {
    "made with torch 1.0, and this is torch": {"versions": {"torch": "1.0"}},
    "its epochs was 7, not 2": {"epochs": 7},
    "digits has changed since (digest)": {"digest": "0"},
    "of x, y, not of": "names",
    "has changed since (batch)": "batch",
}


@pytest.mark.parametrize("message", OTHER)
def test_a_directory_of_another_experiment_is_refused(finished, prepare, tmp_path, message):
    out, change = tmp_path / "exp", OTHER[message]
    out.mkdir()
    plan = json.loads((finished[0] / "plan.json").read_text())
    if change == "names":
        for name, variant in zip("xy", plan["variants"], strict=True):
            variant["name"] = name
    elif change == "batch":
        plan["variants"][1]["recipe"]["batch"] += 1
    else:
        assert isinstance(change, dict)
        plan |= {"versions": {**plan["versions"], **change.pop("versions", {})}} | change
    (out / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(ValueError, match="holds another experiment") as error:
        prepare(out)
    assert message in str(error.value)
    assert str(error.value).endswith("; give another --out")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"seeds": "six"}', "\udcff"])
def test_a_damaged_plan_is_refused_in_one_line(prepare, tmp_path, text):
    (tmp_path / "plan.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=r"plan\.json is damaged: [^\n]+$"):
        prepare(tmp_path)


def test_a_directory_of_something_else_is_left_alone(prepare, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"is not empty, and no experiment: it has no plan\.json"):
        prepare(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_damaged_report_is_written_anew_and_a_damaged_run_is_named(finished, prepare, tmp_path):
    out = tmp_path / "exp"
    shutil.copytree(finished[0], out)
    (out / "report.json").write_text("{")
    report = prepare(out).finish()
    assert json.loads((out / "report.json").read_text()) == json.loads(report.json())
    broken = next(out.glob("runs/1-*-seed2"))
    (broken / "run.json").write_text("{")
    with pytest.raises(ValueError, match=r"seed2/run\.json is damaged"):
        prepare(out)
    shutil.rmtree(broken)
    shutil.copytree(next(out.glob("runs/1-*-seed3")), broken)
    with pytest.raises(ValueError, match="needs there: another seed; remove it"):
        prepare(out)


REFUSED = {
    "is one variant only; compare it with another": {"names": ["narrow.net"]},
    "an experiment needs a network": {"names": []},
    "is given twice": {"names": ["narrow.net", "narrow.net"]},
    "plain20 and plain-20 are the same variant": {
        "names": ["plain20", "plain-20"], "overrides": {}, "data": "synthetic",
    },
    "lr=0.01 and .* lr=0.010 are the same variant": {
        "names": ["narrow.net"], "overrides": {"size": 16, "lr": "0.01,0.010"},
    },
    "with the same recipe but for the protocol, by which `evaluate` tests": {
        "names": ["narrow.net"], "overrides": {"size": 16, "protocol": "single,ten-crop"},
    },
    "a recipe has no 'lrr'; did you mean lr": {"overrides": {"lrr": "1,2"}},
    "batch lacks a value in '16,'": {"overrides": {"batch": "16,"}},
    "seeds must be 2 to 1000, not 1; 6 are the least for a verdict": {"seeds": 1},
    "processes must be at least 1, not 0": {"processes": 0},
    "time is a number and a unit": {"budget": "soon"},
    "no network 'lenet55'": {"names": ["lenet55", "lenet5"]},
    r"mine\.py:five gives \(2, 5\) for two images of 10 classes": {
        "names": ["mine.py:five", "narrow.net"],
    },
    r"^[^ ]*mine\.py:five gives \(2, 5\)": {"names": ["narrow.net", "mine.py:five"]},
    r"^[^ ]*mine\.py:large: 1 needs 3072 values": {"names": ["narrow.net", "mine.py:large"]},
    "/nowhere/at/all": {"data": "/nowhere/at/all"},
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_compared_is_refused_before_anything_is_written(prepare, tmp_path, message):
    with pytest.raises(ValueError, match=message) as error:
        prepare(tmp_path / "exp", **REFUSED[message])
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_modules_and_data_made_in_python_are_refused(networks):
    from torch import nn

    from classicnets.data.synthetic import shapes

    with pytest.raises(
        ValueError, match=r"network cannot be .*: an experiment trains in processes"
    ):
        cn.experiment([nn.Linear(1, 1), "lenet5"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match=r"data cannot be .* take a name or a path"):
        cn.experiment(["lenet5", "resnet20"], shapes())  # type: ignore[arg-type]


def test_data_of_one_class_or_too_few_images_are_refused(prepare, write_folder, tmp_path):
    folder = write_folder(tmp_path / "two", 2)
    with pytest.raises(ValueError, match="dark"):
        prepare(tmp_path / "exp", data=str(folder))
    shutil.rmtree(folder / "light")
    with pytest.raises(ValueError, match="class"):
        prepare(tmp_path / "exp", data=str(folder))
    assert not (tmp_path / "exp").exists()


def test_a_process_that_dies_is_named(networks, tmp_path):
    (tmp_path / "dies.py").write_text(
        "import os, sys\n"
        "from torch import nn\n"
        "def net(classes, channels):\n"
        "    if sys.modules['__main__'].__spec__.name == 'classicnets.api.worker':\n"
        "        os._exit(7)\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(channels * 256, classes))\n"
    )
    words = ["experiment", f"{tmp_path / 'dies.py'}:net", networks / "wide.net", "--seeds", 2]
    words += ["--epochs", 1, "--set", "size=16", "--processes", 1, "--out", tmp_path / "exp"]
    done = subprocess.run([*PROGRAM, *map(str, words)], capture_output=True, check=False)
    assert done.returncode == 2
    assert re.fullmatch(
        rb"classicnets: the process that trained .*-lr-x0.5 ended with status 7; .*\n", done.stderr
    )


def test_values_are_separated_by_commas_but_not_those_of_a_part():
    settings = as_settings(
        {"lr": "0.1,Constant(0.2)", "optimizer": "SGD(0.9, 0.1)", "batch": [8, 16]}
    )
    assert settings["lr"] == ["0.1", "Constant(0.2)"]
    assert settings["optimizer"] == ["SGD(0.9, 0.1)"]
    assert settings["batch"] == ["8", "16"]
