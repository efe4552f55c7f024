"""Searches of the recipe: trials that Optuna chooses, and the best against the recipe's own."""

import csv
import os
import re
import signal
import subprocess
import sys

import pytest

import classicnets as cn
from classicnets.experiments.space import Range, as_space
from classicnets.training.run.directory import open_run

PROGRAM = [sys.executable, "-m", "classicnets"]
SEARCH = {"size": "16", "lr": "0.0001..0.1", "batch": "32,64"}
SETTINGS = {"trials": 8, "epochs": 2, "seeds": 2, "processes": 2}


@pytest.fixture(scope="module")
def network(networks):
    return str(networks / "narrow.net")


@pytest.fixture(scope="module")
def searched(network, tmp_path_factory):
    """A search, and the directory of it."""
    out = tmp_path_factory.mktemp("searched") / "exp"
    found = cn.experiment(network, overrides=SEARCH, out=out, **SETTINGS)
    found.finish()
    return out, found


def _trials(out):
    with (out / "trials/trials.csv").open() as file:
        return list(csv.DictReader(file))


def _facts(out):
    """The trials without what is measured in seconds: how far one went that was stopped, too."""
    kept = ("trial", "lr", "batch", "stopped early", "diverged")
    return [
        [row[name] for name in kept] + [row["validation error"]] * (not row["stopped early"])
        for row in _trials(out)
    ]


def test_the_trials_stay_in_their_ranges_and_look_at_validation_only(searched):
    out, _ = searched
    rows = _trials(out)
    assert [int(row["trial"]) for row in rows] == list(range(1, 9))
    assert all(1e-4 <= float(row["lr"]) <= 0.1 for row in rows)
    assert {row["batch"] for row in rows} <= {"32", "64"}
    runs = [open_run(path) for path in (out / "trials/runs").iterdir()]
    assert len(runs) == 8
    assert not any("test" in run.notes for run in runs)
    assert {run.config.seed for run in runs} == {0}
    errors = sorted(min(e.validation_top1_error for e in run.epochs) for run in runs)
    assert sorted(float(r["validation error"]) for r in rows) == pytest.approx(errors, abs=1e-4)


def test_the_best_by_validation_is_compared_with_the_recipes_own_values(searched, network):
    out, found = searched
    whole = [row for row in _trials(out) if not row["stopped early"]]
    least = min(float(row["validation error"]) for row in whole)
    trial, outcome = found.best
    assert outcome.validation == pytest.approx(least, abs=1e-4)
    own, best = found.report.rows
    assert own.variant == network
    assert best.variant == f"{network} lr={trial.values['lr']} batch={trial.values['batch']}"
    assert best.lr == pytest.approx(float(trial.values["lr"]))
    assert found.report.seeds == 2
    assert f"{best.variant} is the best of 8 trials by validation error" in found.report.text()
    assert (out / "report.html").exists()


def test_a_trial_worse_than_the_median_of_the_others_is_stopped_early(searched):
    out, _ = searched
    rows, before = _trials(out), []
    first = {}
    for path in (out / "trials/runs").iterdir():
        number = int(re.match(r"trial(\d+)-", path.name)[1])
        first[number] = open_run(path).epochs[0].validation_top1_error
    for k in range(1, 9, 2):  # rounds of two
        for number in (k, k + 1):
            ordered = sorted(before)
            n = len(ordered)
            median = n and (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
            stopped = n >= 5 and first[number] > median
            assert bool(rows[number - 1]["stopped early"]) == stopped
        before += [first[n] for n in (k, k + 1) if not rows[n - 1]["stopped early"]]


def test_a_search_that_was_stopped_and_killed_goes_on_and_ends_the_same(
    searched, network, tmp_path
):
    out = tmp_path / "exp"
    words = ["experiment", network, "--out", out]
    words += [word for name, value in SEARCH.items() for word in ("--set", f"{name}={value}")]
    words += [word for name, value in SETTINGS.items() for word in (f"--{name}", value)]
    for number, after in ((signal.SIGINT, 1), (signal.SIGKILL, 4)):
        process = subprocess.Popen(
            [*PROGRAM, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        next(line for line in process.stdout if line.startswith(b"%d/8" % after))
        os.kill(process.pid, number)
        _, said = process.communicate()
        if number == signal.SIGINT:
            assert process.returncode == 130
            assert re.fullmatch(
                rb"stopped; the trials are in .*; the same command continues\n", said
            )
    ended = {
        path: (path / "metrics.csv").stat().st_mtime_ns
        for path in (out / "trials/runs").iterdir()
        if (path / "run.json").exists() and "ended" in open_run(path).notes
    }
    assert ended
    found = cn.experiment(network, overrides=SEARCH, out=out, **SETTINGS)
    report = found.finish()
    assert _facts(out) == _facts(searched[0])
    assert report.comparisons == searched[1].report.comparisons
    assert {path: (path / "metrics.csv").stat().st_mtime_ns for path in ended} == ended


def test_a_search_whose_best_has_the_recipes_own_values_compares_nothing(network, tmp_path):
    batch = str(cn.train(network, overrides={"size": 16}, out=tmp_path / "a").recipe.batch)
    values = {"size": "16", "batch": [batch, batch]}
    settings = {"trials": 2, "epochs": 1, "seeds": 2, "processes": 1}
    found = cn.experiment(network, overrides=values, out=tmp_path / "exp", **settings)
    assert found.finish() is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"overrides": {"lr": "0.003..0.3"}}, "lr=0.003..0.3 is a range; --trials N chooses"),
        (
            {"overrides": {"lr": "0.3..0.003"}, "trials": 3},
            "lr=0.3..0.003 is not a range of numbers",
        ),
        (
            {"overrides": {"lr": "a..b"}, "trials": 3},
            "lr=a..b is not a range of numbers, such",
        ),
        ({"overrides": {"lr": "0.1..1,2"}, "trials": 3}, "give one range or several values"),
        ({"overrides": {"lrr": "0.1..1"}, "trials": 3}, "a recipe has no 'lrr'; did you mean lr"),
        ({"overrides": {"batch": "0..64"}, "trials": 3}, "batch"),
        ({"overrides": {"lr": "0.1"}, "trials": 3}, "trials need a range or several values"),
        ({"overrides": {"lr": "0.1..1"}, "trials": 1}, "trials must be at least 2, not 1"),
        (
            {"overrides": {"lr": "0.1..1"}, "trials": 3, "budget": 0.001},
            "a budget of 1 ms allows no",
        ),
    ],
)
def test_what_cannot_be_searched_is_one_sentence_and_nothing_is_written(
    network, tmp_path, given, message
):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        cn.experiment(network, out=tmp_path / "exp", epochs=1, **given)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "exp").exists()


def test_a_directory_of_another_search_is_refused(searched, network):
    out, _ = searched
    other = {**SEARCH, "lr": "0.001..0.1"}
    with pytest.raises(ValueError, match=r"its search was lr=0\.0001\.\.0\.1 batch=32,64, not lr"):
        cn.experiment(network, overrides=other, out=out, **SETTINGS)


def test_trials_of_several_networks_are_refused(network):
    with pytest.raises(ValueError, match="trials are of one network, not of 2"):
        cn.experiment([network, "lenet5"], overrides=SEARCH, trials=3)


def test_without_the_package_the_message_says_how_to_install_it(network, monkeypatch):
    monkeypatch.setattr("classicnets.experiments.space.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"not installed: pip install 'classicnets\[sweep\]'"):
        cn.experiment(network, overrides=SEARCH, trials=3)


def test_a_range_is_logarithmic_from_a_factor_of_10_and_whole_between_whole_numbers():
    space = as_space({"lr": ["0.01..0.1"], "batch": ["16..64"], "size": ["16"]})
    assert space == {"lr": Range(0.01, 0.1), "batch": Range(16, 64)}
    assert (space["lr"].logarithmic, space["lr"].whole) == (True, False)
    assert (space["batch"].logarithmic, space["batch"].whole) == (False, True)
    assert not Range(0.0, 1.0).logarithmic
