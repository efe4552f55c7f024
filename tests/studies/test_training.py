"""Training studies: what they compare can be built and trained, and a tiny one is kept."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import classicnets as cn
from classicnets import catalog
from classicnets.api.recipes import with_overrides
from classicnets.designs.build import output_shape
from classicnets.designs.reader import read
from classicnets.experiments.statistics import least_pairs
from classicnets.measure import measure
from classicnets.recipes.fast import OWN
from classicnets.studies import lenet, resnet
from classicnets.studies.index import STUDIES, select
from classicnets.studies.keeping import read_kept
from classicnets.studies.lab import Lab, Variant, evaluated
from classicnets.studies.verdicts import CANNOT_TELL, CONFIRMED, LOWER, VERDICTS

TRAINING = select(kind="training")
by_themselves = ("lenet5-collapse", "resnet-gradients")  # without the experiment machinery
COMPARED = [one for one in TRAINING if one.name not in by_themselves]


class Stopped(Exception):
    """What would be trained is known."""


class Looking(Lab):
    """A lab that looks at what would be trained."""

    def trained(self, variants: Mapping[str, Variant], comparisons: int, **how: Any) -> Any:
        raise Stopped(variants, comparisons, how)


@pytest.mark.parametrize("study", COMPARED, ids=lambda study: study.name)
def test_what_a_study_compares_can_be_built_and_trained(study, tmp_path):
    with pytest.raises(Stopped) as stopped:
        study.run(Looking(study.name, tmp_path))
    variants, comparisons, how = stopped.value.args
    assert comparisons >= 1
    recipe = catalog.find("resnet20").recipe if "recipe" in how else OWN
    trained = set()
    for variant in variants.values():
        changed = with_overrides(recipe, how.get("epochs"), dict(variant.settings))
        trained.add((variant.network, repr(replace(changed, protocol="single"))))
        if "\n" in variant.network:
            assert output_shape(read(variant.network)) == (10,)
        else:
            assert catalog.find(variant.network).paper
    assert len(trained) == len(variants)  # a protocol of evaluation trains nothing else


def test_inception_and_its_plain_equal_cost_the_same(tmp_path):
    with pytest.raises(Stopped) as stopped:
        STUDIES["googlenet-inception"].run(Looking("x", tmp_path))
    macs = [_macs(one.network) for one in stopped.value.args[0].values()]
    assert macs[0] == pytest.approx(macs[1], rel=0.05)  # as its criterion says


def _macs(design: str) -> int:
    from classicnets.designs.build import build

    return measure(build(read(design)), (1, 16, 16)).totals.macs


@pytest.mark.parametrize("name", by_themselves)
def test_a_study_of_six_seeds_ends_the_same_twice(name, tmp_path, monkeypatch):
    monkeypatch.setattr(lenet, "STEPS", 2)
    first, again = (STUDIES[name].run(Lab(name, tmp_path, seeds=6)) for _ in range(2))
    assert first == again
    assert first.verdict in VERDICTS


TINY = """from classicnets.studies import index
from classicnets.studies.lab import Variant
from classicnets.studies.study import training
from classicnets.studies.verdicts import LOWER

def net(width):
    text = f"[16x16x1] input\\nconv1: {width} 5x5 filters at stride 4\\nfc: 10 neurons\\n"
    return Variant(text, {"size": "16", "lr": "0.02"})

@training(claim="Wider is better.", by="us", source="this file", criterion="lower", minutes=1,
          shrunk="all of it")
def tiny(lab):
    pair = {"narrow": net(1), "wide": net(16)}
    return lab.compare(pair, {("narrow", "wide"): LOWER}, epochs=1, search_lr=False)

index.STUDIES["tiny"] = tiny
"""
MAIN = "import sys\nfrom classicnets.cli import main\nsys.argv[0] = 'classicnets'\nmain()\n"


@pytest.fixture
def script(tmp_path) -> Path:
    """The command line with a tiny study more."""
    path = tmp_path / "tiny.py"
    path.write_text(TINY + MAIN.replace("main()\n", "if __name__ == '__main__': main()\n"))
    return path


@pytest.mark.slow
def test_a_study_that_is_killed_resumes_and_ends_the_same(script, tmp_path):
    words = [sys.executable, str(script), "study", "tiny", "--processes", "1", "--out"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    out, whole = tmp_path / "killed", tmp_path / "whole"
    started = subprocess.Popen([*words, str(out)], stdout=subprocess.PIPE, env=env)
    assert started.stdout is not None
    next(line for line in started.stdout if line.startswith(b"3/12"))
    started.send_signal(signal.SIGKILL)
    started.communicate()
    assert read_kept(out / "tiny") is None
    runs = sorted((out / "tiny/experiment/runs").glob("*/run.json"))
    before = {path: path.stat().st_mtime_ns for path in runs[:2]}
    for place in (out, whole):
        done = subprocess.run([*words, str(place)], capture_output=True, env=env, check=False)
        assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
    data = [json.loads((place / "tiny/data.json").read_text()) for place in (out, whole)]
    assert data[0] == data[1]
    assert len(data[0]["runs"]["values"]["wide"]) == 6
    report = (out / "tiny/report.md").read_text()
    assert "What was shrunk, and is therefore not shown: all of it" in report


@pytest.mark.slow
def test_no_claim_is_confirmed_by_a_network_that_gives_one_answer(tmp_path):
    text = "[16x16x1] input\nconv1: 16 5x5 filters at stride 4\nfc: 10 neurons\n"
    learns = Variant(text, {"size": "16", "lr": "0.02"})
    silent = Variant(text, {"size": "16", "lr": "Constant(1e-9)", "init": "Gaussian(1e-30)"})
    lab = Lab("x", tmp_path, processes=1)
    variants, expected = {"silent": silent, "learns": learns}, {("silent", "learns"): LOWER}
    how = {"epochs": 1, "search_lr": False}
    found = lab.compare(variants, expected, **how)
    assert found.verdict == CANNOT_TELL
    assert found.answer.endswith("; silent: learnt nothing, at least half of the runs guess")
    found = lab.compare(variants, expected, may_fail=["silent"], **how)  # nothing is trained again
    assert found.verdict == CONFIRMED


@pytest.mark.slow
def test_one_network_is_measured_in_several_ways_on_the_same_runs(tmp_path):
    text = "[16x16x1] input\nconv1: 8 5x5 filters at stride 4\nrelu1: relu\nfc: 10 neurons\n"
    settings = {"size": "16", "side": "20", "crop_sampler": "RandomCrop()", "lr": "0.02"}
    lab, names = Lab("x", tmp_path, processes=1), ("single", "ten-crop")
    measures = {name: evaluated(name) for name in names}
    found = lab.within(Variant(text, settings), measures, {names: LOWER}, epochs=1)
    runs = sorted((tmp_path / "experiment/runs").iterdir())
    assert len(runs) == 6
    for name in names:
        errors = [cn.evaluate(run, protocol=name).top1_error for run in runs]
        assert found.runs["values"][name] == errors
    tested = found.runs["variants"]["network"]["test_errors"]
    assert found.runs["values"]["single"] == list(tested)
    assert found.runs["values"]["single"] != found.runs["values"]["ten-crop"]


def test_the_cost_is_that_of_the_comparisons_that_a_study_makes(tmp_path):
    told: list[str] = []
    lab = Lab("x", tmp_path, processes=1, train=lambda experiment: told.append(str(experiment)))
    text = "[16x16x1] input\nconv1: {} 5x5 filters at stride 4\nfc: 10 neurons\n"
    variants = {f"{width} maps": Variant(text.format(width), {"size": "16"}) for width in (1, 2, 4)}
    lab.trained(variants, 1, epochs=1, search_lr=False)
    first, second, *_ = told[0].splitlines()
    assert first == "3 variants on digits: 1 maps, 2 maps, 4 maps"
    assert second.startswith("6 seeds make 18 runs")
    assert "too few" not in told[0]


def test_the_full_length_study_is_made_of_ordinary_runs(tmp_path):
    with pytest.raises(Stopped) as stopped:
        STUDIES["resnet-degradation"].run(Looking("resnet-degradation", tmp_path, device="cuda"))
    variants, comparisons, how = stopped.value.args
    assert list(variants) == [
        *("plain20", "plain32", "plain44", "plain56"),
        *("resnet20", "resnet32", "resnet44", "resnet56", "resnet110"),
    ]
    assert how["recipe"] is None  # the paper's
    assert all(catalog.find(name).recipe.steps == 64_000 for name in variants)
    assert least_pairs(comparisons) == 7


@pytest.mark.slow
def test_the_full_length_study_in_tiny_numbers_resumes(tmp_path, monkeypatch):
    monkeypatch.setattr(resnet, "PLAIN", (20, 32))
    monkeypatch.setattr(resnet, "RESIDUAL", (20, 32))
    monkeypatch.setattr(resnet, "LENGTH", {"steps": "1", "size": "8", "batch": "4"})

    def stop(experiment):
        next(step for step in experiment if step.progress.ended)
        raise KeyboardInterrupt

    settings: dict[str, Any] = {"data": "digits", "processes": 1, "out": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        cn.study("resnet-degradation", train=stop, **settings)
    assert not list(tmp_path.glob("*/data.json"))
    kept = cn.study("resnet-degradation", **settings)
    assert kept.verdict in VERDICTS
    assert len(list(tmp_path.glob("*/experiment/runs/*/run.json"))) == 4 * 7
    assert all(one["steps"] == 1 for one in kept.runs["variants"].values())


def test_too_few_seeds_and_missing_data_are_refused_in_a_sentence(run_cli, tmp_path, monkeypatch):
    out = tmp_path / "out"
    words = ("study", "resnet-depth", "--out", out)
    status, _, err = run_cli(*words, "--seeds", 3)
    assert status == 2
    assert err == (
        "classicnets: resnet-depth makes 2 comparisons, and a verdict needs at least 7 seeds, "
        "not 3\n"
    )
    status, _, err = run_cli(*words, "--data", "cifar-10")
    assert status == 2
    assert "unknown data set or path 'cifar-10'" in err
    monkeypatch.setenv("CLASSICNETS_DATA", str(tmp_path / "none"))
    monkeypatch.setattr("pooch.retrieve", _offline)
    status, _, err = run_cli("study", "resnet-warm-up", "--out", out)
    assert status == 2
    assert "if you have it, put it at" in err
    with pytest.raises(ValueError, match="needs at least 6 seeds, not 2"):
        cn.study("lenet5-collapse", out, seeds=2)
    with pytest.raises(ValueError, match="needs at least 7 seeds, not 6"):
        cn.study("zfnet-planted", out, seeds=6)
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("vgg-memory", "--seeds", "8"), "vgg-memory takes no --seeds 8: it trains nothing"),
        (("vgg-memory", "--quick"), "vgg-memory takes no --quick: it trains nothing"),
        (("vgg-memory", "--data", "digits"), "vgg-memory takes no --data digits: it trains"),
        *(
            ((name, "--data", "digits"), f"{name} takes no --data digits: its images are a part")
            for name in ("lenet5-collapse", "resnet-gradients", "zfnet-planted")
        ),
    ],
)
def test_what_a_study_does_not_take_is_refused_where_it_is_named(run_cli, tmp_path, words, why):
    status, _, err = run_cli("study", *words, "--out", tmp_path / "out")
    assert status == 2
    assert why in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_of_several_studies_each_takes_what_it_can(run_cli, tmp_path):
    words = ("--kind", "structure", "--family", "vgg", "--seeds", 8, "--out", tmp_path / "out")
    assert run_cli("study", "--all", *words).status == 0


def _offline(*given: Any, **how: Any) -> None:
    raise OSError("no network")
