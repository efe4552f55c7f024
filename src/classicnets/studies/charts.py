"""Charts of studies: bars, curves, and paired differences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Number = float | int
INCHES, DPI = (6.4, 0.9), 90  # width and margin; each bar adds to the height
BAR = 0.34
THOUSANDS = 10_000  # from which an axis has k and M
WIDE = 50  # ratio of the largest to the smallest bar from which the axis is logarithmic


@dataclass(frozen=True)
class Bars:
    """A bar for each value; a dashed line marks another, such as that which was claimed."""

    values: Mapping[str, Number]
    unit: str
    claimed: Number | None = None
    marked: str = "claimed"

    @property
    def height(self) -> float:
        return BAR * len(self.values)

    def draw(self, ax: Any, colours: Sequence[str]) -> None:
        from matplotlib.ticker import EngFormatter

        values = list(self.values.values())
        places = range(len(values))
        ax.barh(places, values, color=colours[0], height=0.6)
        ax.set_yticks(places, list(self.values))
        ax.invert_yaxis()
        if min(values) > 0 and max(values) / min(values) > WIDE:
            ax.set_xscale("log")
            ax.xaxis.set_major_formatter(lambda value, _: _written(value))
        if max(values) >= THOUSANDS:
            ax.xaxis.set_major_formatter(EngFormatter(sep=" "))
        for place, value in zip(places, values, strict=True):
            ax.annotate(_written(value), (value, place), (4, 0), textcoords="offset points",
                        va="center", fontsize=8)  # fmt: skip
        ax.margins(x=0.18)
        if self.claimed is not None:
            ax.axvline(self.claimed, color=colours[1], linestyle="--", label=self.marked)
            ax.legend(fontsize=8, loc="best")
        ax.set_xlabel(self.unit)


@dataclass(frozen=True)
class Curves:
    """A line for each series of points (x, y)."""

    series: Mapping[str, Sequence[tuple[Number, Number]]]
    x: str
    y: str
    logarithmic: bool = False
    height: float = 2.6

    def draw(self, ax: Any, colours: Sequence[str]) -> None:
        for k, (name, points) in enumerate(self.series.items()):
            style = "-" if k < len(colours) else "--"
            colour = colours[k % len(colours)]
            ax.plot(*zip(*points, strict=True), f"o{style}", color=colour, label=name, ms=3)
        if self.logarithmic:
            ax.set_yscale("log")
        ax.set(xlabel=self.x, ylabel=self.y)
        ax.grid(alpha=0.3)
        ax.legend(fontsize=8)


@dataclass(frozen=True)
class Differences:
    """Paired differences: a grey point for each pair, the mean and its 95 % interval."""

    values: Mapping[str, Sequence[Number]]
    means: Mapping[str, tuple[Number, Number, Number]]  # mean, low, high
    unit: str

    @property
    def height(self) -> float:
        return 0.3 + BAR * len(self.values)

    def draw(self, ax: Any, colours: Sequence[str]) -> None:
        ax.axvline(0, color="0.4", linewidth=1)
        for k, (name, values) in enumerate(self.values.items()):
            mean, low, high = self.means[name]
            ax.plot(values, [k + 0.15] * len(values), "o", color="0.6", ms=4)
            ax.plot([low, high], [k, k], "-", color=colours[1])
            ax.plot(mean, k, "o", color=colours[1])
        ax.set_yticks(range(len(self.values)), list(self.values))
        ax.set_ylim(len(self.values) - 0.5, -0.5)
        ax.grid(axis="x", alpha=0.3)
        ax.set_xlabel(self.unit)


Chart = Bars | Curves | Differences


def draw(chart: Chart) -> bytes:
    """A chart as a PNG file."""
    from classicnets.support.plots import COLOURS, LiteralFigure, png

    width, margin = INCHES
    figure = LiteralFigure(figsize=(width, margin + chart.height), layout="constrained")
    ax = figure.subplots()
    chart.draw(ax, COLOURS)
    ax.tick_params(labelsize=9)
    return png(figure, dpi=DPI)


def _written(value: Number) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
