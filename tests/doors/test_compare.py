"""Several runs compared: their metrics, their differences, and their learning curves."""

import csv
import io
import json
import math
import shutil
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from torch import nn

import classicnets as cn
from classicnets.api.compare import _apart, _draw, compare
from classicnets.data.synthetic import shapes
from classicnets.training.run.curves import EpochMetrics


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    """A run of one epoch; the tests copy it and write other metrics into the copies."""
    out = tmp_path_factory.mktemp("runs") / "original"
    network = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(48, 4))
    cn.train(network, shapes(), epochs=1, out=out).finish()
    return out


def metrics(epoch: int, training: float, validation: float, **others: float) -> EpochMetrics:
    defaults = {"validation_loss": 1.0, "images_per_second": 100.0, "seconds": 10.0}
    return EpochMetrics(
        epoch=epoch, step=10 * epoch, first_lr=0.1, last_lr=0.1,
        train_loss=1.0, train_error=training, validation_top1_error=validation,
        validation_top5_error=1.0, **(defaults | others),
    )  # fmt: skip


EPOCHS = (metrics(1, 50.0, 40.0), metrics(2, 20.0, 30.0, images_per_second=400.0, seconds=5.0))


@pytest.fixture
def run(original, tmp_path):
    """Writes a run with these epochs; `notes` replaces entries of its run.json."""

    def write(name: str, epochs: tuple[EpochMetrics, ...] = EPOCHS, **notes: object) -> Path:
        directory = tmp_path / name
        shutil.copytree(original, directory)
        file = directory / "run.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | notes))
        lines = "".join(json.dumps(asdict(one)) + "\n" for one in epochs)
        (directory / "metrics.jsonl").write_text(lines)
        return directory

    return write


def test_a_row_has_the_metrics_of_its_run(run):
    test = {"top1_error": 31.0, "top5_error": 2.5}
    epochs = (*EPOCHS, metrics(3, 10.0, 30.0, validation_loss=0.5, seconds=20.0))
    (row,) = compare([run("a", epochs, test=test, parameters=196)]).rows
    assert (row.run, row.network) == ("a", "Sequential")
    assert (row.test_top1_error, row.test_top5_error) == (31.0, 2.5)
    assert (row.validation_top1_error, row.best_epoch, row.epochs) == (30.0, 3, 3)
    assert row.seconds == 10 + 5 + 20
    assert row.images_per_second == pytest.approx((1000 + 2000 + 2000) / 35)
    assert row.parameters == 196
    assert row.recipe == {}


def test_an_unfinished_run_is_compared_without_a_test_error(run):
    (row,) = compare([run("a", test=None)]).rows
    assert (row.test_top1_error, row.test_top5_error) == (None, None)
    with pytest.raises(ValueError, match="test is not an object"):
        compare([run("b", test="damaged")])


def test_only_differences_of_the_recipes_are_printed(run, original):
    recipe = json.loads((original / "run.json").read_text())["recipe"]
    other = recipe | {"batch": 7, "lr": {"kind": "Constant", "lr": 0.5}}
    comparison = compare([run("a"), run("b", recipe=other, seed=9)])
    assert comparison.rows[0].recipe.keys() == {"batch", "lr", "seed"}
    assert comparison.rows[1].recipe == {"batch": "7", "lr": "Constant(lr=0.5)", "seed": "9"}
    assert comparison.text().endswith("\nseed:\n  a  0\n  b  9")
    assert "\nbatch:\n  a  " in comparison.text()


def test_runs_of_other_data_are_marked_and_those_of_moved_data_are_not(run):
    here, there = {"data": "x", "digest": "abc"}, {"data": "x/y", "digest": "abc"}
    others = run("c", data="x", digest="another"), run("d", **there)
    comparison = compare([run("a", **here), run("b", **here), *others])
    assert [row.same_data for row in comparison.rows] == [True, True, False, True]
    lines = comparison.text().splitlines()
    assert [line.split()[2] for line in lines[1:5]] == ["x", "x", "x*", "y"]
    assert lines[6].startswith("* other data than the first run's")
    assert "*" not in compare([run("e"), run("f")]).text()


def test_json_and_csv_have_a_row_for_each_run_with_the_same_names(run):
    comparison = compare([run("a", seed=1), run("b, c", seed=2)])
    objects = json.loads(comparison.json())
    table = list(csv.DictReader(io.StringIO(comparison.csv())))
    assert [row["run"] for row in objects] == [row["run"] for row in table] == ["a", "b, c"]
    assert objects[0].keys() == table[0].keys()
    assert [row["recipe"] for row in objects] == [{"seed": "1"}, {"seed": "2"}]
    assert [row["recipe"] for row in table] == ["seed=1", "seed=2"]
    assert float(table[0]["validation_top1_error"]) == 30.0


def test_runs_of_the_same_name_are_named_by_their_path(run):
    (one, _), two = (run("x/a"), run("x/b")), run("y/a")
    assert [row.run for row in compare([one, two]).rows] == [str(one), str(two)]


@pytest.mark.parametrize(
    ("finals", "scale"), [((30.0, 20.0), "linear"), ((30.0, 0.5), "log"), ((0.0, 0.0), "linear")]
)
def test_the_axis_is_logarithmic_where_a_linear_one_would_hide_the_end(run, finals, scale):
    epochs = (metrics(1, *finals), metrics(2, *finals))
    comparison = compare([run("a", epochs)])
    axes = Figure().subplots()
    _draw(axes, comparison.rows, comparison.curves)
    assert axes.get_yscale() == scale


def test_an_error_of_zero_has_a_place_on_a_logarithmic_axis(run):
    epochs = (metrics(1, 30.0, 30.0), metrics(2, 3.0, 2.0), metrics(3, 0.5, 0.0))
    comparison = compare([run("a", epochs)])
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    _draw(axes, comparison.rows, comparison.curves)
    figure.draw_without_rendering()  # a warning, as of a layout that collapses, is an error
    assert axes.get_ylim()[0] == 0
    assert axes.lines[1].get_ydata().tolist() == [30.0, 2.0, 0.0]
    words = {text.get_text(): text.get_position()[1] for text in axes.get_yticklabels()}
    assert words["0"] == 0
    assert words["10"] == 10
    to_height = axes.transScale + axes.transLimits
    heights = [to_height.transform((1, error))[1] for error in (0, 0.5, 5, 30)]
    assert heights[0] == 0
    decade = heights[2] - heights[1]
    assert heights[1] == pytest.approx(0.3 / 0.9 * decade)  # the linear part
    assert heights[3] - heights[2] == pytest.approx(math.log10(6) * decade)
    assert all(0 <= text.get_position()[1] <= 1.1 for text in axes.texts)


def test_the_chart_has_a_colour_for_each_run_and_names_that_do_not_overlap(run):
    comparison = compare([run(f"a run with a long name {k}") for k in range(5)])
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    _draw(axes, comparison.rows, comparison.curves)
    figure.draw_without_rendering()
    dashed = [line.get_color() for line in axes.lines if line.get_linestyle() == "--"]
    assert len(set(dashed)) == 5
    names = [Text.get_window_extent(text).bounds for text in axes.texts[:5]]  # without its line
    heights = sorted((y, y + height) for _, y, _, height in names)
    assert all(below[1] <= above[0] for below, above in pairwise(heights))
    assert all(x + width <= figure.bbox.width for x, _, width, _ in names)
    chart = Image.open(io.BytesIO(comparison.png()))
    assert (chart.format, chart.size) == ("PNG", (1350, 1500))


@pytest.mark.parametrize("measure", ["error", "loss"])
def test_a_name_stands_at_the_height_where_its_curve_ends(run, measure):
    comparison = compare([run("one")])
    ends = comparison.curves[0][-1]
    value = ends.validation_top1_error if measure == "error" else ends.validation_loss
    axes = Figure(figsize=(9, 5), layout="constrained").subplots()
    _draw(axes, comparison.rows, comparison.curves, measure)
    bottom, top = axes.get_ylim()
    assert axes.texts[0].get_text() == "one"
    assert axes.texts[0].get_position()[1] == pytest.approx((value - bottom) / (top - bottom))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=11).map(sorted))
def test_names_keep_their_order_and_distance_and_stay_in_the_chart(heights):
    placed = _apart(heights, 0.1)
    assert all(b - a >= 0.1 - 1e-9 for a, b in pairwise(placed))
    assert placed[0] >= -1e-9
    assert placed[-1] <= 1 + 1e-9


def test_a_name_with_room_stays_where_its_curve_ends():
    assert _apart([0.1, 0.5, 0.52, 0.9], 0.1) == pytest.approx([0.1, 0.46, 0.56, 0.9])


@pytest.mark.parametrize(
    ("epoch", "notes", "sentence"),
    [
        (
            {"epoch": 10**400},
            {},
            r"jsonl is damaged: epoch cannot be 1000.*\.\.\.; it takes",
        ),
        ({"validation_top1_error": math.nan}, {}, "validation_top1_error cannot be nan"),
        ({"train_error": 1e300}, {}, r"train_error .* must be 0 to 100, not 1e\+300"),
        ({"seconds": math.inf}, {}, "seconds cannot be inf"),
        ({"images_per_second": -1.0}, {}, r"images_per_second .* not -1.0"),
        (
            {},
            {"test": {"top1_error": [1, 2]}},
            r"json is damaged: test.top1_error .* be \[1, 2\]",
        ),
        ({}, {"test": {"top1_error": 1.0, "top5_error": "31"}}, "top5_error cannot be '31'"),
        ({}, {"test": {"top1_error": True}}, "top1_error cannot be True"),
        ({}, {"parameters": {}}, r"parameters cannot be \{\}; it takes a whole number"),
    ],
)
def test_numbers_that_cannot_be_printed_or_drawn_are_refused(run, epoch, notes, sentence):
    directory = run("a", (replace(EPOCHS[0], **epoch),), **notes)
    with pytest.raises(ValueError, match=sentence) as error:
        compare([directory])
    assert len(str(error.value)) < 300


def test_names_with_dollar_signs_are_drawn_and_long_ones_shortened(run):
    name = "m$\\bad{$" + "n" * 200
    comparison = compare([run(name, data=f"data/{name}")])
    assert comparison.png().startswith(b"\x89PNG")
    axes = Figure().subplots()
    _draw(axes, comparison.rows, comparison.curves)
    texts = [axes.get_title(loc="left"), *(text.get_text() for text in axes.texts)]
    assert [text[:8] for text in texts if "$" in text and "…" in text] == ["top-1 er", "m$\\bad{$"]


def test_runs_that_cannot_be_compared_are_refused_by_name(run, tmp_path):
    good, empty, damaged = run("good"), run("empty", (), best_epoch=None), run("damaged")
    (damaged / "metrics.jsonl").write_text("{")
    for runs, sentence in (
        ([], "compare needs at least one run"),
        ([good, tmp_path / "x" / ".." / "good"], "good is given twice"),
        ([good, empty], "empty has no finished epoch"),
        ([damaged], "metrics.jsonl is damaged"),
        ([good, tmp_path / "nowhere"], "no run at"),
    ):
        with pytest.raises(ValueError, match=sentence):
            compare(runs)


def test_the_verb_prints_a_table_and_writes_the_chart(run, tmp_path, run_cli):
    def printed(*words: object) -> str:
        status, out, err = run_cli("compare", *words)
        return err if status else out

    one, two, png = run("one", seed=1), run("two", seed=2), tmp_path / "curves.png"
    assert printed(one, two, "--png", png).startswith(compare([one, two]).text())
    assert png.read_bytes().startswith(b"\x89PNG")
    assert printed(one, two, "--csv") == compare([one, two]).csv()
    assert json.loads(printed(one, "--json"))[0]["run"] == "one"
    assert printed(one, "--json", "--csv") == (
        "classicnets: --json and --csv exclude each other; give one\n"
    )
    assert printed(one, "--png", tmp_path / "no" / "where.png").startswith("classicnets: cannot")
