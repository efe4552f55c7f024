"""To compare: several runs in one table and one picture."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator
from sklearn.isotonic import isotonic_regression

from classicnets.training.changes import TOLD
from classicnets.training.curve import Row
from classicnets.training.recipe import Recipe
from classicnets.training.run import Run, open_run

# Okabe and Ito's colours, told apart by the colour-blind too; not yellow, too pale for a line
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
LOG_FROM = 20  # times the smallest error; from there on a linear axis hides the end


@dataclass(frozen=True)
class Line:
    """A run in figures.

    Errors are in %; those of the test are None before a run has ended. `recipe` has the fields in
    which the runs differ, and `same_data` says whether the data are those of the first run.
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


@dataclass(frozen=True)
class Comparison:
    """Runs side by side: a line and a learning curve of each."""

    lines: tuple[Line, ...]
    curves: tuple[tuple[Row, ...], ...]

    def __str__(self) -> str:
        return self.text()

    def text(self) -> str:
        """A table, and below it in what the recipes differ."""
        table = _aligned([COLUMNS, *map(_cells, self.lines)])
        if not all(line.same_data for line in self.lines):
            table += ["", "* other data than the first run's: these errors are of another task"]
        width = max(len(line.run) for line in self.lines)
        for name in self.lines[0].recipe:
            table += ["", f"{name}:"]
            table += [f"  {line.run.ljust(width)}  {line.recipe[name]}" for line in self.lines]
        return "\n".join(table)

    def json(self) -> str:
        """A list with an object for each run, named as in `Line`."""
        return json.dumps([asdict(line) for line in self.lines], ensure_ascii=False)

    def csv(self) -> str:
        """A row for each run, named as in `Line`; the recipe in one field."""
        table = io.StringIO()
        writer = csv.DictWriter(table, [f.name for f in fields(Line)], lineterminator="\n")
        writer.writeheader()
        for line in self.lines:
            differs = "; ".join(f"{name}={value}" for name, value in line.recipe.items())
            writer.writerow(asdict(line) | {"recipe": differs})
        return table.getvalue()

    def png(self) -> bytes:
        """The top-1 errors epoch by epoch: validation solid, training dashed."""
        figure = Figure(figsize=(9, max(5, 1.5 + 0.2 * len(self.lines))), layout="constrained")
        axes = figure.subplots()
        _draw(axes, self.lines, self.curves)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=150)
        return buffer.getvalue()


def compare(runs: Sequence[str | Path]) -> Comparison:
    """Several runs side by side, in the order given.

    Raises a ValueError when there is none or one is given twice, and for a run that is missing,
    damaged, or has no finished epoch.
    """
    if not runs:
        raise ValueError("compare needs at least one run")
    places = [Path(run).resolve() for run in runs]
    if twice := next((run for run, p in zip(runs, places, strict=True) if places.count(p) > 1), ""):
        raise ValueError(f"the run {twice} is given twice")
    opened = [open_run(Path(run)) for run in runs]
    if empty := next((run for run in opened if not run.rows), None):
        raise ValueError(f"{empty.directory} has no finished epoch to compare")
    differing = _differing([_recipe(run) for run in opened])
    names = [place.name for place in places]
    if len(set(names)) < len(names):
        names = list(map(str, runs))
    lines = map(_line, opened, names, differing, [opened[0]] * len(opened))
    return Comparison(tuple(lines), tuple(tuple(run.rows) for run in opened))


def _line(run: Run, name: str, recipe: Mapping[str, str], first: Run) -> Line:
    facts, rows = run.facts, run.rows
    test = run.notes.get("test")
    test = test if isinstance(test, Mapping) else {}
    best = min(rows, key=_rank)
    seconds = sum(row.seconds for row in rows)
    images = sum(row.images_per_second * row.seconds for row in rows)
    return Line(
        run=name,
        network=facts.network,
        data=facts.data,
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
    )


def _rank(row: Row) -> tuple[float, float]:
    return row.validation_top1_error, row.validation_loss


def _data(run: Run) -> tuple[Any, ...]:
    facts = run.facts
    return facts.data, facts.pictures, facts.digest, facts.classes


def _recipe(run: Run) -> dict[str, str]:
    """A recipe in words, field by field, with the seed, which is the run's."""
    recipe = run.facts.recipe
    if not isinstance(recipe, Recipe):
        return {"recipe": recipe.source, "seed": str(run.facts.seed)}
    told = {f.name: repr(getattr(recipe, f.name)) for f in fields(recipe) if f.name not in TOLD}
    return told | {"seed": str(run.facts.seed)}


def _differing(recipes: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    names = dict.fromkeys(name for recipe in recipes for name in recipe)
    differ = [name for name in names if len({recipe.get(name) for recipe in recipes}) > 1]
    return [{name: recipe.get(name, "-") for name in differ} for recipe in recipes]


# --- as text ---


COLUMNS = (
    *("run", "network", "data", "test error %", "validation %", "best epoch"),
    *("time", "images/s", "parameters"),
)


def _cells(line: Line) -> Sequence[str]:
    test = (line.test_top1_error, line.test_top5_error)
    return (
        line.run,
        line.network,
        Path(line.data).name + "*" * (not line.same_data),
        " / ".join("-" if error is None else f"{error:.2f}" for error in test),
        f"{line.validation_top1_error:.2f}",
        f"{line.best_epoch} of {line.epochs}",
        str(timedelta(seconds=round(line.seconds))),
        f"{line.images_per_second:,.0f}",
        "-" if line.parameters is None else f"{line.parameters:,}",
    )


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines; the first three columns are words, set to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i < 3 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


# --- as a picture ---


def _draw(axes: Axes, lines: Sequence[Line], curves: Sequence[Sequence[Row]]) -> None:
    for rows, colour in zip(curves, cycle(COLOURS), strict=False):
        epochs = [row.epoch for row in rows]
        training = [row.train_error for row in rows]
        validation = [row.validation_top1_error for row in rows]
        axes.plot(epochs, training, "--", color=colour, linewidth=1, alpha=0.7)
        axes.plot(epochs, validation, color=colour, linewidth=1.5)
        best = min(rows, key=_rank)
        axes.plot(best.epoch, best.validation_top1_error, "o", color=colour, markersize=5)
    _scale(axes, curves)
    _label(axes, lines, curves)
    data = " and ".join(dict.fromkeys(Path(line.data).name for line in lines))
    axes.set_title(f"top-1 error on {data}, %", loc="left", fontsize=12, pad=22)
    axes.text(
        0, 1.025, "solid: validation, with its best epoch; dashed: training",
        transform=axes.transAxes, fontsize=9, color="0.35",
    )  # fmt: skip
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _scale(axes: Axes, curves: Sequence[Sequence[Row]]) -> None:
    """Logarithmic where the errors span so much that the end could not be read otherwise."""
    rows = [row for curve in curves for row in curve]
    validation = [row.validation_top1_error for row in rows]
    positive = [e for e in (*validation, *(row.train_error for row in rows)) if e > 0]
    if not positive or max(positive) < LOG_FROM * min(positive):
        axes.set_ylim(bottom=0)
        return
    axes.set_yscale("log", nonpositive="clip")
    # training errors far below those of validation would take all the room
    lowest = max(min(positive), min(filter(None, validation), default=0) / 10)
    axes.set_ylim(lowest / 1.3, min(max(positive) * 1.3, 100))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda error, _: f"{error:g}"))
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda *_: ""))


def _label(axes: Axes, lines: Sequence[Line], curves: Sequence[Sequence[Row]]) -> None:
    """Each run's name to the right of its end, moved up or down until no two overlap."""
    to_height = axes.transData + axes.transAxes.inverted()
    ends = [(rows[-1].epoch, rows[-1].validation_top1_error) for rows in curves]
    heights = [float(np.clip(to_height.transform(end)[1], 0, 1)) for end in ends]
    figure = axes.get_figure(root=True)
    assert figure is not None
    room = 0.2 / (figure.get_figheight() - 1)  # a line of text, of the height of the axes
    for k, height in zip(np.argsort(heights), _apart(sorted(heights), room), strict=True):
        colour = COLOURS[k % len(COLOURS)]
        axes.annotate(
            lines[k].run, ends[k], (1.03, height), textcoords="axes fraction", va="center",
            fontsize=9, color=colour, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.5, "relpos": (0, 0.5)},
        )  # fmt: skip


def _apart(heights: Sequence[float], room: float) -> list[float]:
    """The nearest heights, in the same order from 0 to 1, with at least `room` between them.

    >>> [round(height, 3) for height in _apart([0.5, 0.5, 1.0], 0.25)]
    [0.375, 0.625, 1.0]
    """
    below = room * np.arange(len(heights))
    top = max(0.0, 1 - below[-1])
    return (isotonic_regression(heights - below, y_min=0.0, y_max=top) + below).tolist()
