"""Metrics of a run epoch by epoch, and its learning curves."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from classicnets.support.errors import check_range

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .state import Record

VALIDATION = {"loss": "validation_loss", "error": "validation_top1_error"}  # their columns
FEW = 20  # epochs, each of which gets a marker; a single one has no line


@dataclass(frozen=True)
class EpochMetrics:
    """A finished epoch: means of training over it, errors in %, and the validation.

    `first_lr` and `last_lr` are the learning rates at its first and at its last step. With five
    classes or fewer there is no top-5 error.
    """

    epoch: int
    step: int
    first_lr: float
    last_lr: float
    train_loss: float
    train_error: float
    validation_loss: float
    validation_top1_error: float
    validation_top5_error: float | None
    images_per_second: float
    seconds: float

    @classmethod
    def of(cls, record: "Record", seconds: float) -> "EpochMetrics":
        """The epoch that ended with this record of its last step, and took so many seconds."""
        assert record.validation is not None
        return cls(
            epoch=record.epoch,
            step=record.step,
            first_lr=record.first_lr,
            last_lr=record.lr,
            train_loss=record.loss,
            train_error=record.error,
            **{f"validation_{name}": v for name, v in asdict(record.validation).items()},
            images_per_second=record.images / seconds,
            seconds=seconds,
        )

    def check(self, before: "EpochMetrics | None") -> None:
        """Raises a ValueError for values that no epoch after `before` can have."""
        check_range(self, epoch=(before.epoch + 1 if before else 1, 2**31))
        check_range(self, step=(before.step + 1 if before else 1, 2**53))
        errors = ["train_error", "validation_top1_error"]
        errors += ["validation_top5_error"] * (self.validation_top5_error is not None)
        check_range(self, **dict.fromkeys(errors, (0, 100)))
        check_range(self, seconds=(0, 1e9), images_per_second=(0, 1e12))
        # those of fp32
        finite = ("first_lr", "last_lr", "train_loss", "validation_loss")
        check_range(self, **dict.fromkeys(finite, (-4e38, 4e38)))

    @property
    def rank(self) -> tuple[float | int, float | int]:
        """Smaller is better."""
        return self.validation_top1_error, self.validation_loss


def plot_curve(
    axes: "Axes", epochs: Sequence[EpochMetrics], measure: str, longest: int = 0, **style: Any
) -> None:
    """Draws training and validation `measure`, loss or error, over the epochs, the best marked.

    Each epoch gets a marker where the `longest` curve beside it has few of them.
    """
    from matplotlib.ticker import MaxNLocator

    columns = ("epoch", f"train_{measure}", VALIDATION[measure])
    numbers, training, validated = ([drawn(getattr(e, c)) for e in epochs] for c in columns)
    dots = {"marker": "o", "markersize": 3} if max(longest, len(epochs)) <= FEW else {}
    dashed = {"linestyle": "--", "linewidth": 1, "markerfacecolor": "white"}
    axes.plot(numbers, training, label="training", **dots, **dashed, **style)
    (line,) = axes.plot(numbers, validated, label="validation", **dots, **style)
    best = min(range(len(epochs)), key=lambda k: epochs[k].rank)
    name, colour = f"best validation: epoch {numbers[best]}", line.get_color()
    axes.plot(numbers[best], validated[best], "o", color=colour, markersize=6, label=name)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def drawn(value: float | int) -> float | int:
    """A gap for what no axis can show; a diverged run is still drawn."""
    return value if abs(value) < 1e30 else math.nan


def learning_curve(epochs: Sequence[EpochMetrics], title: str) -> bytes:
    """Loss above and top-1 error below, training and validation, epoch by epoch; a PNG."""
    from classicnets.support.plots import LiteralFigure, narrow, png

    figure = LiteralFigure(figsize=(6, 6), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True)
    for axes, measure, unit in ((upper, "loss", "loss"), (lower, "error", "top-1 error (%)")):
        plot_curve(axes, epochs, measure)
        axes.set_ylabel(unit)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    upper.set(xlabel="")
    upper.legend()
    figure.suptitle("\n".join(narrow(line, 5.6, 11) for line in title.split("\n")), fontsize=11)
    return png(figure, dpi=120)
