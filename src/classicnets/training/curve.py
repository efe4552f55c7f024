"""The learning curve of a run as a picture."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator


@dataclass(frozen=True)
class Row:
    """A finished epoch in figures: means of training over it, errors in %, and the validation."""

    epoch: int
    step: int
    rate: float
    train_loss: float
    train_error: float
    validation_loss: float
    validation_top1_error: float
    validation_top5_error: float
    images_per_second: float
    seconds: float


def curve(rows: Sequence[Row], title: str) -> bytes:
    """Loss above and top-1 error below, training and validation, epoch by epoch; a PNG."""
    epochs = [row.epoch for row in rows]
    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.subplots(2, sharex=True)
    for ax, name, unit in zip(axes, ("loss", "error"), ("loss", "top-1 error (%)"), strict=True):
        measured = "validation_loss" if name == "loss" else "validation_top1_error"
        ax.plot(epochs, [getattr(row, f"train_{name}") for row in rows], label="training")
        ax.plot(epochs, [getattr(row, measured) for row in rows], label="validation")
        ax.set_ylabel(unit)
        ax.set_ylim(bottom=0)
        ax.grid(alpha=0.3)
    axes[0].set_title(title)
    axes[0].legend()
    axes[1].set_xlabel("epoch")
    axes[1].xaxis.set_major_locator(MaxNLocator(integer=True))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()
