"""docs/ideas.md is true: its tables follow from the errors of the runs, and cover enough.

That the tables are what docs/generate.py makes of these files is checked with the others.
"""

import json
import re
import runpy
from pathlib import Path
from statistics import fmean

import pytest

import classicnets as cn
from classicnets.experiments.verdicts import BETTER, WORSE, decide

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/ideas.md").read_text(encoding="utf-8")
FOUND = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "benchmarks/results/ideas").glob("*.json"))
}
each_study = pytest.mark.parametrize("name", FOUND)


@pytest.fixture(scope="module")
def studies():
    """The studies of the benchmark by their names."""
    module = runpy.run_path(str(ROOT / "benchmarks/ideas.py"))
    return {study.name: (study, module["base_design"](study)) for study in module["STUDIES"]}


@each_study
def test_a_verdict_follows_from_the_errors_of_the_pairs(name):
    base, *others = FOUND[name]["variants"]
    differences = {
        one["name"]: [b - a for a, b in zip(base["test_errors"], one["test_errors"], strict=True)]
        for one in others
    }
    for one, found in zip(others, decide(differences), strict=True):
        assert one["mean"] == pytest.approx(fmean(differences[one["name"]]))
        assert (one["low"], one["high"]) == pytest.approx((found.low, found.high))
        assert one["holm_p"] == pytest.approx(found.adjusted_p)
        assert one["verdict"] == found.sentence


@each_study
def test_a_study_is_of_the_moves_and_networks_that_the_benchmark_has(name, studies, tmp_path):
    study, design = studies[name]
    (tmp_path / "base.net").write_text(design)
    base, *others = FOUND[name]["variants"]
    assert [one["name"] for one in others] == list(study.moves)
    assert FOUND[name]["seeds"] == study.seeds >= 6
    for one in others:
        change = cn.apply_move(str(tmp_path / "base.net"), one["name"])
        assert (change.before.params, change.before.macs) == (base["params"], base["macs"])
        assert (change.after.params, change.after.macs) == (one["params"], one["macs"])
        assert one["harmful"] == (one["name"] in study.harmful)


def test_the_page_has_a_table_of_every_study():
    assert sorted(re.findall("<!-- (.*): generated -->", PAGE)) == sorted(FOUND)


@pytest.mark.parametrize("file", ["README.md", "README.zh-CN.md", "CHANGELOG.md"])
def test_the_number_of_moves_is_the_one_that_is_told(file):
    moves = {one["name"] for found in FOUND.values() for one in found["variants"][1:]}
    text = (ROOT / file).read_text(encoding="utf-8")
    told = re.search(r"\(docs/(?:zh/)?ideas\.md\)\D*(\d+)", text)
    assert told
    assert int(told[1]) == len(moves)


def test_eight_moves_have_six_pairs_and_moves_that_should_do_harm_are_called_worse():
    rows = [one for found in FOUND.values() for one in found["variants"][1:]]
    assert len({one["name"] for one in rows if len(one["test_errors"]) >= 6}) >= 8
    harmful = [one for one in rows if one["harmful"]]
    assert len(harmful) >= 3
    assert WORSE in [one["verdict"] for one in harmful]
    assert BETTER in [one["verdict"] for one in rows]
