"""The verb experiment: its lines, its table, its JSON, and what it refuses."""

import json
import re

import pytest

NET = """every conv: relu

[16x16x1] input
[4x4x3]   conv1: 3 5x5 filters at stride 4, pad 2
[10]      fc2: 10 neurons
"""
NAMES = ("<b>a$x$.net", "b.net")


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    folder = tmp_path_factory.mktemp("experiment")
    for maps, name in enumerate(NAMES, 3):
        (folder / name).write_text(NET.replace("3]  ", f"{maps}]  ").replace(": 3", f": {maps}"))
    networks = [folder / name for name in NAMES]
    options = ["--epochs", 1, "--set", "size=16", "--seeds", 2, "--no-lr-search"]
    return ["experiment", *networks, *options, "--processes", 1, "--out", folder / "out"]


@pytest.fixture(scope="module")
def first(run_cli, words):
    return run_cli(*words)


def test_the_cost_comes_first_then_a_line_for_each_run_then_the_report(first):
    assert first.status == 0, first.err
    lines = first.out.splitlines()
    runs = r"2 seeds make 4 runs, in 1 process of \d+ threads?; 0 have ended"
    assert re.fullmatch(runs, lines[1])
    assert re.match(r"about .* from now, by a few steps of each", lines[2])
    assert lines[3].endswith("the least p of 2 pairs is 0.500; --seeds 6 can")
    ended = [line for line in lines if re.match(r"\d/4 .*: validation error \d", line)]
    assert len(ended) == 4
    assert "too few to tell (6 pairs are the least)" in first.out
    assert lines[-1].startswith("report: ")
    assert lines[-1].endswith("report.html")


def test_json_is_the_report_and_what_else_is_said_goes_elsewhere(run_cli, words, first):
    again = run_cli(*words, "--json")
    content = json.loads(again.out)
    assert [row["variant"].rpartition("/")[2] for row in content["rows"]] == list(NAMES)
    assert content["comparisons"][0]["verdict"] == "too few to tell"
    assert "4 have ended" in again.err


def test_a_terminal_shows_a_table_with_a_column_for_each_seed(run_cli, words, first, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    out = run_cli(*words).out
    assert "seed 1" in out
    assert "seed 2" in out
    assert re.search(r"b\.net.*\d+\.\d %", out)


def test_names_are_text_in_the_report(words, first):
    page = (words[-1] / "report.html").read_text()
    assert "&lt;b&gt;a$x$.net" in page
    assert "<b>" not in page


REFUSED = {
    "one variant only": ["experiment", "lenet5"],
    "an experiment needs a network": ["experiment"],
    "--set takes FIELD=VALUE": ["experiment", "lenet5", "resnet20", "--set", "lr"],
    "a recipe has no momentum; write": ["experiment", "lenet5", "--set", "momentum=0.8,0.9"],
    "seeds must be 2 to 1000, not 0": ["experiment", "lenet5", "resnet20", "--seeds", "0"],
    "allows no comparison": ["experiment", "lenet5", "--set", "lr=1,2", "--budget", "0.001s"],
}


@pytest.mark.parametrize("message", REFUSED)
def test_a_mistake_is_one_line(run_cli, tmp_path, monkeypatch, message):
    monkeypatch.chdir(tmp_path)
    done = run_cli(*REFUSED[message])
    assert done.status == 2
    assert message in done.err
    assert done.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
