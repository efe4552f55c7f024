"""Comparing runs: one table, one chart."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import timedelta
from itertools import cycle
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from classicnets.support.arguments import answering
from classicnets.support.names import short
from classicnets.support.tables import align, columns, html_table, html_text, padded
from classicnets.training.recipe.recipe import ABOUT_PAPER, shown
from classicnets.training.run.curves import VALIDATION, EpochMetrics, drawn, plot_curve
from classicnets.training.run.directory import Run

from .opened import open_any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLES = {"error": "top-1 error on {}, %", "loss": "loss on {}"}
LOG_FROM = 20  # ratio of errors from which a linear axis hides the end


@dataclass(frozen=True)
class Row:
    """A row: one run.

    Errors are in %; the test errors are None until a run has ended, and that of top-5 with five
    classes or fewer. `recipe` has the fields in which the runs differ, and `same_data` says whether
    the data are those of the first run; `ended` whether the training has.
    """

    run: str
    network: str
    data: str
    same_data: bool
    recipe: Mapping[str, str]
    test_top1_error: float | None
    test_top5_error: float | None
    validation_top1_error: float
    best_epoch: int
    epochs: int
    seconds: float
    images_per_second: float
    parameters: int | None
    ended: bool


@dataclass(frozen=True, repr=False)
class Comparison:
    """Runs side by side: a row and a learning curve of each."""

    rows: tuple[Row, ...]
    curves: tuple[tuple[EpochMetrics, ...], ...]

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from classicnets.support.plots import html_image

        runs, differing = [row.run for row in self.rows], self.rows[0].recipe
        recipe = [[name, *(row.recipe[name] for row in self.rows)] for name in differing]
        heads = ["recipe", *runs]
        return (
            html_table([COLUMNS, *map(_cells, self.rows)], LEFT)
            + html_text(self._note(), "p")
            + (html_table([heads, *recipe], heads) if recipe else "")
            + html_image(self.png())
        )

    def text(self) -> str:
        """A table, and below it in what the recipes differ."""
        table = align([COLUMNS, *map(_cells, self.rows)], LEFT)
        if note := self._note():
            table += ["", note]
        width = max(columns(line.run) for line in self.rows)
        for name in self.rows[0].recipe:
            table += ["", f"{name}:"]
            table += [
                f"  {padded(line.run, width)}  {short(line.recipe[name], 200)}"
                for line in self.rows
            ]
        return "\n".join(table)

    def _note(self) -> str:
        notes = []
        if not all(line.same_data for line in self.rows):
            notes.append("* other data than the first run's: the errors are not comparable")
        if going := [line.run for line in self.rows if not line.ended]:
            has = "have" if len(going) > 1 else "has"
            notes.append(f"{', '.join(going)} {has} not ended, and {has} no test error yet")
        return "; ".join(notes)

    def json(self) -> str:
        """A list with an object for each run, named as in `Row`."""
        return json.dumps([asdict(line) for line in self.rows], ensure_ascii=False)

    def csv(self) -> str:
        """A row for each run, named as in `Row`; the recipe in one field."""
        table = io.StringIO()
        writer = csv.DictWriter(table, [f.name for f in fields(Row)], lineterminator="\n")
        writer.writeheader()
        for line in self.rows:
            differs = "; ".join(f"{name}={value}" for name, value in line.recipe.items())
            writer.writerow(asdict(line) | {"recipe": differs})
        return table.getvalue()

    def png(self) -> bytes:
        """The top-1 errors above and the losses below, epoch by epoch: validation solid, training
        dashed.
        """
        from classicnets.support.plots import LiteralFigure, png

        height = max(5, 1.5 + 0.2 * len(self.rows))
        figure = LiteralFigure(figsize=(9, 2 * height), layout="constrained")
        for axes, measure in zip(figure.subplots(2), ("error", "loss"), strict=True):
            _draw(axes, self.rows, self.curves, measure)
        return png(figure, dpi=150)


@answering("runs")
def compare(runs: str | Path | Sequence[str | Path]) -> Comparison:
    """One run, or several side by side, in the order given.

    Raises a ValueError when there is none or one is given twice, and for a run that is missing,
    damaged, or has no finished epoch.
    """
    runs = [runs] if isinstance(runs, str | Path) else runs
    if not runs:
        raise ValueError("compare needs at least one run")
    places = [Path(run).resolve() for run in runs]
    if twice := next((run for run, p in zip(runs, places, strict=True) if places.count(p) > 1), ""):
        raise ValueError(f"the run {twice} is given twice")
    opened = [open_any(run) for run in runs]
    if empty := next((run for run in opened if not run.epochs), None):
        raise ValueError(f"{empty.directory} has no finished epoch to compare")
    differing = _differing([_recipe(run) for run in opened])
    names = [place.name for place in places]
    if len(set(names)) < len(names):
        names = list(map(str, runs))
    lines = map(_line, opened, names, differing, [opened[0]] * len(opened))
    return Comparison(tuple(lines), tuple(tuple(run.epochs) for run in opened))


def _line(run: Run, name: str, recipe: Mapping[str, str], first: Run) -> Row:
    config, rows = run.config, run.epochs
    test = run.notes.get("test") or {}
    best = min(rows, key=attrgetter("rank"))
    seconds = sum(row.seconds for row in rows)
    images = sum(row.images_per_second * row.seconds for row in rows)
    return Row(
        run=name,
        network=config.network,
        data=config.data,
        same_data=_data(run) == _data(first),
        recipe=recipe,
        test_top1_error=test.get("top1_error"),
        test_top5_error=test.get("top5_error"),
        validation_top1_error=best.validation_top1_error,
        best_epoch=best.epoch,
        epochs=rows[-1].epoch,
        seconds=seconds,
        images_per_second=images / seconds if seconds else 0.0,
        parameters=run.notes.get("parameters"),
        ended=run.ended,
    )


def _data(run: Run) -> tuple[Any, ...]:
    config = run.config
    # files are the same wherever they lie
    return config.digest or config.data, config.images, config.classes


def _recipe(run: Run) -> dict[str, str]:
    """A recipe field by field as text, with the seed of the run."""
    recipe = run.config.recipe
    names = [f.name for f in fields(recipe) if f.name not in ABOUT_PAPER]
    values = {name: shown(getattr(recipe, name)) for name in names}
    return values | {"seed": str(run.config.seed)}


def _differing(recipes: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    names = dict.fromkeys(name for recipe in recipes for name in recipe)
    differ = [name for name in names if len({recipe.get(name) for recipe in recipes}) > 1]
    return [{name: recipe.get(name, "-") for name in differ} for recipe in recipes]


# --- as text ---


COLUMNS = (
    *("run", "network", "data", "test error %", "validation %", "best epoch"),
    *("time", "images/s", "parameters"),
)
LEFT = ("run", "network", "data")


def _cells(row: Row) -> Sequence[str]:
    test = (row.test_top1_error, row.test_top5_error)
    return (
        row.run,
        row.network,
        Path(row.data).name + "*" * (not row.same_data),
        " / ".join(f"{error:.2f}" for error in test if error is not None) or "-",
        f"{row.validation_top1_error:.2f}",
        f"{row.best_epoch} of {row.epochs}",
        str(timedelta(seconds=round(row.seconds))),
        f"{row.images_per_second:,.0f}",
        "-" if row.parameters is None else f"{row.parameters:,}",
    )


# --- as a chart ---


def _draw(
    axes: "Axes",
    lines: Sequence[Row],
    curves: Sequence[Sequence[EpochMetrics]],
    measure: str = "error",
) -> None:
    from classicnets.support.plots import COLOURS, narrow

    longest = max(map(len, curves))
    for rows, colour in zip(curves, cycle(COLOURS), strict=False):
        plot_curve(axes, rows, measure, longest, color=colour)
    if measure == "error":
        _scale(axes, curves)
    _label(axes, lines, curves, measure)
    data = " and ".join(dict.fromkeys(Path(line.data).name for line in lines))
    axes.set_title(narrow(TITLES[measure].format(data), 8, 12), loc="left", fontsize=12, pad=22)
    axes.text(
        0, 1.025, "solid: validation, best epoch marked; dashed: training",
        transform=axes.transAxes, fontsize=9, color="0.35",
    )  # fmt: skip
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _scale(axes: "Axes", curves: Sequence[Sequence[EpochMetrics]]) -> None:
    """Logarithmic where the errors span so much that the end could not be read otherwise.

    Then the lowest part, with errors of 0, is linear.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, SymmetricalLogLocator

    rows = [row for curve in curves for row in curve]
    validation = [row.validation_top1_error for row in rows]
    errors = [*validation, *(row.train_error for row in rows)]
    positive = [error for error in errors if error > 0]
    if not positive or max(positive) < LOG_FROM * min(positive):
        axes.set_ylim(0, None if positive else 1)
        return
    # training errors far below those of validation would take all the room
    lowest = max(min(positive), min(filter(None, validation), default=0) / 10)
    bottom = lowest / 1.3
    if min(errors) < bottom:
        bottom = 0.0
        axes.set_yscale("symlog", linthresh=lowest, linscale=0.3, subs=range(2, 10))
        locator = SymmetricalLogLocator(base=10, linthresh=lowest, subs=(1, 2, 5))
    else:
        axes.set_yscale("log")
        locator = LogLocator(subs=(1, 2, 5))
    axes.set_ylim(bottom, min(max(positive) * 1.3, 100))
    axes.yaxis.set_major_locator(locator)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda error, _: f"{error:g}"))
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda *_: ""))


def _label(
    axes: "Axes",
    lines: Sequence[Row],
    curves: Sequence[Sequence[EpochMetrics]],
    measure: str = "error",
) -> None:
    """Each run's name to the right of its end, moved up or down until no two overlap."""
    from classicnets.support.plots import COLOURS, narrow

    axes.get_ylim()  # sets the limits, which the heights below depend on
    to_height = axes.transData + axes.transAxes.inverted()
    ends = [(rows[-1].epoch, drawn(getattr(rows[-1], VALIDATION[measure]))) for rows in curves]
    heights = [float(np.clip(to_height.transform(end)[1], 0, 1)) for end in ends]
    heights = [height if math.isfinite(height) else 1.0 for height in heights]
    figure = axes.get_figure(root=True)
    assert figure is not None
    charts = len(figure.axes)
    room = 0.2 / (figure.get_figheight() / charts - 1)  # a line of text, of the height of the axes
    for k, height in zip(np.argsort(heights), _apart(sorted(heights), room), strict=True):
        colour = COLOURS[k % len(COLOURS)]
        axes.annotate(
            narrow(lines[k].run, 2.8, 9), ends[k], (1.03, height), textcoords="axes fraction",
            va="center", fontsize=9, color=colour, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": "0.6", "linewidth": 0.5, "linestyle": ":",
                        "relpos": (0, 0.5)},  # not like a curve that goes on
        )  # fmt: skip


def _apart(heights: Sequence[float], room: float) -> list[float]:
    """The nearest heights, in the same order from 0 to 1, with at least `room` between them.

    >>> [round(height, 3) for height in _apart([0.5, 0.5, 1.0], 0.25)]
    [0.375, 0.625, 1.0]
    """
    from sklearn.isotonic import isotonic_regression

    below = room * np.arange(len(heights))
    top = max(0.0, 1 - below[-1])
    return (isotonic_regression(heights - below, y_min=0.0, y_max=top) + below).tolist()
