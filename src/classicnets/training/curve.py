"""The learning curve of a run as a picture."""

import io
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator


def curve(rows: Sequence[Mapping[str, int | float]], title: str) -> bytes:
    """Loss above and top-1 error below, training and validation, epoch by epoch; a PNG."""
    epochs = [row["epoch"] for row in rows]
    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.subplots(2, sharex=True)
    for ax, name, unit in zip(axes, ("loss", "error"), ("loss", "top-1 error (%)"), strict=True):
        measured = "validation_loss" if name == "loss" else "validation_top1_error"
        ax.plot(epochs, [row[f"train_{name}"] for row in rows], label="training")
        ax.plot(epochs, [row[measured] for row in rows], label="validation")
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
