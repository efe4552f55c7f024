"""Several runs side by side: their figures, in what they differ, and their curves."""

import csv
import io
import json
import shutil
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from torch import nn

import classicnets as cn
from classicnets.api.compare import _apart, _draw, compare
from classicnets.data.synthetic import shapes
from classicnets.training.run.curves import Row


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    """A run of one pass; the tests copy it and write other figures into the copies."""
    out = tmp_path_factory.mktemp("runs") / "original"
    network = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(48, 4))
    cn.train(network, shapes(), epochs=1, out=out).finish()
    return out


def row(epoch: int, training: float, validation: float, **others: float) -> Row:
    figures = {"validation_loss": 1.0, "images_per_second": 100.0, "seconds": 10.0} | others
    return Row(
        epoch=epoch, step=10 * epoch, lr=0.1, train_loss=1.0, train_error=training,
        validation_top1_error=validation, validation_top5_error=1.0, **figures,
    )  # fmt: skip


ROWS = (row(1, 50.0, 40.0), row(2, 20.0, 30.0, images_per_second=400.0, seconds=5.0))


@pytest.fixture
def run(original, tmp_path):
    """A run with these epochs; `told` replaces what run.json says."""

    def write(name: str, rows: tuple[Row, ...] = ROWS, **told: object) -> Path:
        directory = tmp_path / name
        shutil.copytree(original, directory)
        file = directory / "run.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | told))
        lines = "".join(json.dumps(asdict(one)) + "\n" for one in rows)
        (directory / "metrics.jsonl").write_text(lines)
        return directory

    return write


def test_a_line_has_the_figures_of_its_run(run):
    test = {"top1_error": 31.0, "top5_error": 2.5}
    rows = (*ROWS, row(3, 10.0, 30.0, validation_loss=0.5, seconds=20.0))
    (line,) = compare([run("a", rows, test=test, parameters=196)]).lines
    assert (line.run, line.network) == ("a", "Sequential")
    assert (line.test_top1_error, line.test_top5_error) == (31.0, 2.5)
    assert (line.validation_top1_error, line.best_epoch, line.epochs) == (30.0, 3, 3)
    assert line.seconds == 10 + 5 + 20
    assert line.images_per_second == pytest.approx((1000 + 2000 + 2000) / 35)
    assert line.parameters == 196
    assert line.recipe == {}


def test_a_run_that_has_not_ended_is_compared_without_a_test(run):
    (line,) = compare([run("a", test=None)]).lines
    assert (line.test_top1_error, line.test_top5_error) == (None, None)
    assert " - / - " in compare([run("b", test="damaged")]).text()


def test_what_differs_is_told_and_what_does_not_is_not(run, original):
    recipe = json.loads((original / "run.json").read_text())["recipe"]
    other = recipe | {"batch": 7, "lr": {"kind": "Constant", "lr": 0.5}}
    comparison = compare([run("a"), run("b", recipe=other, seed=9)])
    assert comparison.lines[0].recipe.keys() == {"batch", "lr", "seed"}
    assert comparison.lines[1].recipe == {"batch": "7", "rate": "Constant(lr=0.5)", "seed": "9"}
    assert comparison.text().endswith("\nseed:\n  a  0\n  b  9")
    assert "\nbatch:\n  a  " in comparison.text()


def test_runs_of_other_data_are_marked(run):
    others = run("c", data="x", digest="another"), run("d", data="x/y")
    comparison = compare([run("a", data="x"), run("b", data="x"), *others])
    assert [line.same_data for line in comparison.lines] == [True, True, False, False]
    said = comparison.text().splitlines()
    assert [line.split()[2] for line in said[1:5]] == ["x", "x", "x*", "y*"]
    assert said[6].startswith("* other data than the first run's")
    assert "*" not in compare([run("e"), run("f")]).text()


def test_json_and_csv_have_a_row_for_each_run_with_the_same_names(run):
    comparison = compare([run("a", seed=1), run("b, c", seed=2)])
    told = json.loads(comparison.json())
    table = list(csv.DictReader(io.StringIO(comparison.csv())))
    assert [line["run"] for line in told] == [line["run"] for line in table] == ["a", "b, c"]
    assert told[0].keys() == table[0].keys()
    assert [line["recipe"] for line in told] == [{"seed": "1"}, {"seed": "2"}]
    assert [line["recipe"] for line in table] == ["seed=1", "seed=2"]
    assert float(table[0]["validation_top1_error"]) == 30.0


def test_runs_of_one_name_are_told_apart_by_where_they_are(run):
    (one, _), two = (run("x/a"), run("x/b")), run("y/a")
    assert [line.run for line in compare([one, two]).lines] == [str(one), str(two)]


@pytest.mark.parametrize(
    ("finals", "scale"), [((30.0, 20.0), "linear"), ((30.0, 0.5), "log"), ((0.0, 0.0), "linear")]
)
def test_the_axis_is_logarithmic_where_a_linear_one_would_hide_the_end(run, finals, scale):
    rows = (row(1, *finals), row(2, *finals))
    comparison = compare([run("a", rows)])
    axes = Figure().subplots()
    _draw(axes, comparison.lines, comparison.curves)
    assert axes.get_yscale() == scale


def test_the_picture_has_a_colour_for_each_run_and_names_that_do_not_overlap(run):
    comparison = compare([run(f"a run with a long name {k}") for k in range(5)])
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    _draw(axes, comparison.lines, comparison.curves)
    figure.draw_without_rendering()
    dashed = [line.get_color() for line in axes.lines if line.get_linestyle() == "--"]
    assert len(set(dashed)) == 5
    names = [Text.get_window_extent(text).bounds for text in axes.texts[:5]]  # not the line to it
    heights = sorted((y, y + height) for _, y, _, height in names)
    assert all(below[1] <= above[0] for below, above in pairwise(heights))
    assert all(x + width <= figure.bbox.width for x, _, width, _ in names)
    picture = Image.open(io.BytesIO(comparison.png()))
    assert (picture.format, picture.size) == ("PNG", (1350, 750))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=11).map(sorted))
def test_names_keep_their_order_and_their_distance_and_stay_in_the_picture(heights):
    placed = _apart(heights, 0.1)
    assert all(b - a >= 0.1 - 1e-9 for a, b in pairwise(placed))
    assert placed[0] >= -1e-9
    assert placed[-1] <= 1 + 1e-9


def test_a_name_with_room_stays_where_its_curve_ends():
    assert _apart([0.1, 0.5, 0.52, 0.9], 0.1) == pytest.approx([0.1, 0.46, 0.56, 0.9])


def test_runs_that_cannot_be_compared_are_refused_by_name(run, tmp_path):
    good, empty, damaged = run("good"), run("empty", ()), run("damaged")
    (damaged / "metrics.jsonl").write_text("{")
    for runs, sentence in (
        ([], "compare needs at least one run"),
        ([good, tmp_path / "x" / ".." / "good"], "good is given twice"),
        ([good, empty], "empty has no finished epoch"),
        ([damaged], "metrics.jsonl is damaged"),
        ([good, tmp_path / "nowhere"], "there is no run at"),
    ):
        with pytest.raises(ValueError, match=sentence):
            compare(runs)


def test_the_verb_prints_a_table_and_writes_the_picture(run, tmp_path, typed):
    def said(*words: object) -> str:
        status, out, err = typed("compare", *words)
        return err if status else out

    one, two, png = run("one", seed=1), run("two", seed=2), tmp_path / "curves.png"
    assert said(one, two, "--png", png).startswith(compare([one, two]).text())
    assert png.read_bytes().startswith(b"\x89PNG")
    assert said(one, two, "--csv") == compare([one, two]).csv()
    assert json.loads(said(one, "--json"))[0]["run"] == "one"
    assert said(one, "--json", "--csv") == (
        "classicnets: --json and --csv exclude each other; give one\n"
    )
    assert said(one, "--png", tmp_path / "no" / "where.png").startswith("classicnets: cannot")
