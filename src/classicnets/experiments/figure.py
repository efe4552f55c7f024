"""The figure of an experiment, and the style of its page."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .report import ExperimentReport

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 1120px; margin: 24px auto;
  padding: 0 16px; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; }
table { border-collapse: collapse; margin: 12px 0 24px; font-variant-numeric: tabular-nums; }
th { border-bottom: 1px solid #999; }
"""


def draw(report: "ExperimentReport") -> bytes:
    """Left the test error of each run, those of a seed joined; right the differences from the
    baseline with mean and 95 % interval. Runs that diverged are drawn as crosses at the top."""
    from classicnets.support.plots import COLOURS, LiteralFigure, narrow, png

    blue, orange = COLOURS[:2]
    rows = report.rows
    figure = LiteralFigure(figsize=(10, 1.5 + 0.35 * max(8, len(rows))), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    errors = np.array([[np.nan if e is None else e for e in r.test_errors] for r in rows])
    top = float(np.nanmax(errors)) if np.isfinite(errors).any() else 100.0
    places = np.arange(len(rows))
    for pair in errors.T:
        left.plot(places, pair, "-", color="0.8", linewidth=0.8)
    for k, values in enumerate(errors):
        gone = np.isnan(values)
        left.plot(np.full((~gone).sum(), k), values[~gone], "o", color=blue, markersize=4)
        left.plot(np.full(gone.sum(), k), np.full(gone.sum(), 1.05 * top), "x", color=orange)
    names = [narrow(row.variant, 1.6, 8) for row in rows]
    left.set_xticks(places, names, fontsize=8, rotation=30 * (len(rows) > 3))
    left.set_xlim(-0.5, len(rows) - 0.5)
    left.set_ylabel("test error (%)")
    left.grid(axis="y", alpha=0.3)
    right.axvline(0, color="0.4", linewidth=1)
    for k, one in enumerate(report.comparisons):
        right.plot(one.differences, np.full(len(one.differences), k + 0.15), "o", color="0.6", ms=4)
        right.plot([one.low, one.high], [k, k], "-", color=orange)
        right.plot(one.mean, k, "o", color=orange)
    right.set_yticks(range(len(report.comparisons)), names[1:], fontsize=8)
    right.set_ylim(max(1, len(report.comparisons)) - 0.5, -0.5)
    right.set_visible(bool(report.comparisons))  # of one network there are none
    right.set_xlabel(f"minus {names[0]}\n(points of test error)")
    return png(figure, dpi=120)
