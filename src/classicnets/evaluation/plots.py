"""The metrics of an evaluation as CSV and as a figure."""

import csv
import io

import numpy as np
from matplotlib.axes import Axes

from classicnets.support.plots import LiteralFigure, draw_confusion, matrix_side, narrow, png

from .metrics import Evaluation


def class_csv(evaluation: Evaluation) -> str:
    """CSV with a row for each true class: recall, precision, F1, the count of each prediction."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    predicted = [f"predicted {name}" for name in evaluation.classes]
    writer.writerow(["class", "images", "recall", "precision", "f1", *predicted])
    for name, row, *measures in zip(
        evaluation.classes,
        evaluation.confusion,
        evaluation.recall,
        evaluation.precision,
        evaluation.f1,
        strict=True,
    ):
        writer.writerow([name, sum(row), *(f"{value:.3f}" for value in measures), *row])
    return text.getvalue()


def evaluation_png(evaluation: Evaluation, title: str = "") -> bytes:
    """The confusion matrix beside a reliability diagram; a PNG. `title` names the run."""
    side = matrix_side(len(evaluation.classes))
    size = (max(13, side + 9), max(7, side + 3))
    figure = LiteralFigure(figsize=size, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(size[0] - 5.5, 5))
    shading = draw_confusion(left, np.array(evaluation.confusion), evaluation.classes)
    left.set_title("Confusion matrix")
    figure.colorbar(shading, ax=left, label="% of the true class", shrink=0.7)
    _draw_reliability(right, evaluation)
    numbers = (
        f"{evaluation.protocol}: top-1 error {evaluation.errors}, {evaluation.images:,} images"
    )
    lines = filter(None, (narrow(title, 12, 13, "bold"), numbers))
    figure.suptitle("\n".join(lines), fontsize=12)
    return png(figure, dpi=120)


def _draw_reliability(ax: Axes, evaluation: Evaluation) -> None:
    bins = evaluation.reliability
    width = 100 / len(bins)
    edges = [width * k for k in range(len(bins))]
    accuracy = [b.accuracy for b in bins]
    ax.bar(edges, accuracy, width, align="edge", edgecolor="white", label="accuracy in the bin")
    ax.plot([0, 100], [0, 100], "k--", linewidth=1, label="perfect calibration")
    held = [100 * b.images / evaluation.images for b in bins]
    ax.step([*edges, 100], [*held, held[-1]], where="post", color="#D55E00", label="% of images")
    ax.set(xlim=(0, 100), ylim=(0, 105), xlabel="confidence (%)", ylabel="%")
    ax.set_title(f"Reliability\nexpected calibration error {evaluation.calibration_error:.2f} %")
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.12), "frameon": False}
    ax.legend(fontsize=9, **below)
