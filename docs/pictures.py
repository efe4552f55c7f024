"""The pictures of docs/claims.md that are made of the kept data of training studies, as SVG."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from math import ceil, log10
from pathlib import Path
from statistics import fmean

WIDTH, HEIGHT = 620, 330
LEFT, RIGHT, TOP, BOTTOM = 60, 600, 56, 268  # of the axes
INK, FAINT, PAPER, BLUE, ORANGE = "#24292f", "#6a737d", "#fcfbf8", "#3f74b5", "#e8963c"
STUDIES = Path(__file__).parents[1] / "benchmarks/results/studies"
# study: what is drawn, what of it, and what was trained
PICTURES = {
    "alexnet-relu": (
        "Epochs to a training error of 25 %",
        "AlexNet at an eighth of its width, with tanh and with ReLU",
    ),
    "resnet-depth": (
        "Training error after 8 epochs, %",
        "plain and residual networks of 8 and 32 layers, at a quarter of the width",
    ),
}


def pictures() -> dict[str, str]:
    """Name of a file in docs/claims -> its text."""
    return {f"{study}.svg": picture(study, *words) for study, words in PICTURES.items()}


def picture(study: str, title: str, trained: str) -> str:
    """What each run of a study came to: a dot for each, those of a seed joined by a line."""
    kept = json.loads((STUDIES / f"{study}.json").read_text(encoding="utf-8"))
    values: Mapping[str, Sequence[float]] = kept["runs"]["values"]
    step = _step(max(map(max, values.values())))
    top = step * ceil(max(map(max, values.values())) / step)
    width = (RIGHT - LEFT) / len(values)
    parts = [_text(LEFT, 26, title, 15, bold=True), _text(LEFT, 44, trained, 12, FAINT)]
    for k in range(round(top / step) + 1):
        y = _height(k * step, top)
        parts += [_line((LEFT, y), (RIGHT, y), "#dddddd", 1)]
        parts += [_text(LEFT - 8, y + 4, f"{k * step:g}", 12, anchor="end")]
    places = [LEFT + width * (k + 0.5) for k in range(len(values))]
    for x, (name, found) in zip(places, values.items(), strict=True):
        y = _height(fmean(found), top)
        parts += [_line((x - 30, y), (x + 30, y), ORANGE, 2.5)]
        parts += [_text(x + 36, y + 4, f"{fmean(found):.2f}", 12)]
        parts += [_text(x, BOTTOM + 20, name, 13, anchor="middle")]
    for k, pair in enumerate(zip(*values.values(), strict=True)):
        beside = 7 * (k - (kept["runs"]["seeds"] - 1) / 2)
        points = [(x + beside, _height(y, top)) for x, y in zip(places, pair, strict=True)]
        parts += [_line(a, b, "#c3c7cc", 1) for a, b in pairwise(points)]
        parts += [f'<circle cx="{x:g}" cy="{y:g}" r="3" fill="{BLUE}"/>' for x, y in points]
    parts += [
        f'<circle cx="{LEFT + 5}" cy="{HEIGHT - 18}" r="3" fill="{BLUE}"/>',
        _text(LEFT + 16, HEIGHT - 14, "a run; those of a seed are joined", 12, FAINT),
        _line((LEFT + 250, HEIGHT - 18), (LEFT + 276, HEIGHT - 18), ORANGE, 2.5),
        _text(LEFT + 284, HEIGHT - 14, "the mean", 12, FAINT),
    ]
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}"
 height="{HEIGHT}" role="img" font-family="Helvetica, Arial, 'Liberation Sans', sans-serif">
<title>{escape(f"{title}: {trained}")}</title>
<rect width="{WIDTH}" height="{HEIGHT}" fill="{PAPER}"/>
{chr(10).join(parts)}
</svg>
"""


def _step(largest: float) -> float:
    """The distance of at least three and at most eight marks: 1, 2 or 5 times a power of ten."""
    power = 10.0 ** (ceil(log10(largest)) - 2)
    return next(n * power for n in (1, 2, 5, 10, 20, 50) if largest <= 8 * n * power)


def _height(value: float, top: float) -> float:
    return round(BOTTOM - (BOTTOM - TOP) * value / top, 1)


def _line(a: tuple[float, float], b: tuple[float, float], colour: str, width: float) -> str:
    ends = f'x1="{a[0]:g}" y1="{a[1]:g}" x2="{b[0]:g}" y2="{b[1]:g}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width:g}"/>'


def _text(
    x: float, y: float, words: str, size: int, fill: str = INK, *, anchor: str = "start",
    bold: bool = False,
) -> str:  # fmt: skip
    weight = ' font-weight="bold"' * bold
    at = f'x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}"'
    return f'<text {at} fill="{fill}"{weight}>{escape(words)}</text>'
