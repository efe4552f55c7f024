"""An evaluation as a table for other programs and as a picture."""

import csv
import io
import warnings

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .metrics import Evaluation

NAMED = 40  # classes whose names can be read along the sides
COUNTED = 20  # classes whose counts can be read in the squares


def table(evaluation: Evaluation) -> str:
    """A row for each class as CSV: how often it was recognised, and called by which name."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    called = [f"called {name}" for name in evaluation.classes]
    writer.writerow(["class", "images", "recall", "precision", *called])
    for name, row, recall, precision in zip(
        evaluation.classes,
        evaluation.confusion,
        evaluation.recall,
        evaluation.precision,
        strict=True,
    ):
        writer.writerow([name, sum(row), f"{recall:.3f}", f"{precision:.3f}", *row])
    return text.getvalue()


def picture(evaluation: Evaluation) -> bytes:
    """What is taken for what, on the left, and confidence against accuracy, right; a PNG."""
    figure = Figure(figsize=(13, 7), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(7, 5))
    _confusion(left, evaluation)
    _reliability(right, evaluation)
    figure.suptitle(
        f"{evaluation.protocol}: top-1 error {evaluation.top1_error:.2f} %, "
        f"top-5 {evaluation.top5_error:.2f} % of {evaluation.images} pictures"
    )
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # a name the font cannot write
        figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def _confusion(ax: Axes, evaluation: Evaluation) -> None:
    counts = np.array(evaluation.confusion)
    shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    shown = ax.imshow(shares, cmap="Blues", vmin=0, vmax=100, interpolation="nearest")
    ax.figure.colorbar(shown, ax=ax, label="% of the class", shrink=0.7)
    ax.set(xlabel="called", ylabel="is", title="what is taken for what")
    if len(counts) <= NAMED:
        # a name of a user's may hold what matplotlib takes for mathematics
        names = [name.replace("$", r"\$") for name in evaluation.classes]
        ax.set_xticks(range(len(names)), names, rotation=90 if max(map(len, names)) > 2 else 0)
        ax.set_yticks(range(len(names)), names)
    if len(counts) <= COUNTED:
        for (i, j), count in np.ndenumerate(counts):
            if count:
                colour = "white" if shares[i, j] > 50 else "black"
                ax.text(j, i, str(count), ha="center", va="center", color=colour, fontsize=8)


def _reliability(ax: Axes, evaluation: Evaluation) -> None:
    bins = evaluation.reliability
    width = 100 / len(bins)
    edges = [width * k for k in range(len(bins))]
    ax.bar(
        edges,
        [b.accuracy for b in bins],
        width,
        align="edge",
        edgecolor="white",
        label="right, of these pictures",
    )
    ax.plot([0, 100], [0, 100], color="black", linewidth=1, linestyle="--", label="as it should be")
    held = [100 * b.images / evaluation.images for b in bins]
    ax.step(
        [*edges, 100], [*held, held[-1]], where="post", color="#D55E00", label="of all pictures"
    )
    ax.set(xlim=(0, 100), ylim=(0, 105), xlabel="confidence (%)", ylabel="%")
    ax.set_title(f"calibration error {evaluation.calibration_error:.2f} %")
    ax.legend(loc="upper left")
