"""Metrics of a trained network: errors, confusion, recall, precision and calibration."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int, Int64
from torch import Tensor

from classicnets.support.tables import html_table, html_text

SHOWN = 40  # classes in a notebook
COLUMNS = ("class", "images", "recall %", "precision %", "F1 %")
BINS = 15  # of confidence, as is usual since Guo et al. 2017
MISTAKES = 10


@dataclass(frozen=True)
class Mistake:
    """A misclassified image: its file, or its index in the data set, and the two classes."""

    image: str | int
    predicted: str
    label: str
    probability: float


@dataclass(frozen=True)
class Bin:
    """The images whose confidence lies in one range: count, mean confidence and accuracy in %."""

    images: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, repr=False)
class Evaluation:
    """The metrics of a network, or of an ensemble, over a set of images; errors are in %.

    `confusion[i][j]` counts the images of class i that were predicted as class j. `recall`,
    `precision` and `f1`, their harmonic mean, are in %, and `support` counts the images, in the
    order of `classes`; what would divide by 0 is 0. `balanced_accuracy` is the mean recall in % of
    the classes that have images. With five classes or fewer there is no top-5 error, and it is
    None. `views` counts the forward passes an image took, crops, mirror images and networks
    together.

    `calibration_error` is the expected calibration error: the mean distance in % between
    confidence and accuracy over `reliability`, 15 equal bins of confidence (Guo et al.,
    arXiv:1706.04599, equation 3). `mistakes` are the most confident ones, at most ten. `skipped`
    and `left_out` say which files of a folder were not evaluated, and why, as in `Splits`;
    `overlap` names the files that are also among the training images, None where that is not known.
    `data` says which images these are, and `unfinished` of which runs the training has not ended.
    `weights` has the file of the weights of each run, its SHA-256 sum, and their epoch, if known.
    """

    top1_error: float
    top5_error: float | None
    images: int
    protocol: str
    views: int
    seconds: float
    classes: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    recall: tuple[float, ...]
    precision: tuple[float, ...]
    f1: tuple[float, ...]
    support: tuple[int, ...]
    balanced_accuracy: float
    calibration_error: float
    reliability: tuple[Bin, ...]
    mistakes: tuple[Mistake, ...]
    overlap: tuple[str, ...] | None = None
    skipped: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    data: str = ""
    weights: tuple[Mapping[str, Any], ...] = ()
    unfinished: tuple[str, ...] = ()

    @property
    def errors(self) -> str:
        """The errors in words: `12.50 % (top-5 1.25 %)`, or only the first."""
        top5 = "" if self.top5_error is None else f" (top-5 {self.top5_error:.2f} %)"
        return f"{self.top1_error:.2f} %{top5}"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def __repr__(self) -> str:
        return (
            f"test error {self.errors} of {self.images} images, "
            f"protocol {self.protocol}, {self.seconds:.1f} s"
        )

    def measures(self, i: int) -> tuple[str, str, str]:
        """Recall, precision and F1 of class i in %, "-" of a class without images."""
        if not self.support[i]:
            return ("-", "-", "-")
        return (f"{self.recall[i]:.1f}", f"{self.precision[i]:.1f}", f"{self.f1[i]:.1f}")

    def _repr_html_(self) -> str:
        counts = enumerate(zip(self.classes, self.support, strict=True))
        rows = [(name, str(images), *self.measures(i)) for i, (name, images) in counts]
        table = html_table([COLUMNS, *rows[:SHOWN]], COLUMNS[:1])
        more = f"and {len(rows) - SHOWN} more classes" if len(rows) > SHOWN else ""
        return html_text(repr(self), "p") + table + html_text(more, "p") * bool(more)


def evaluate_scores(
    scores: Float[Tensor, "n classes"],
    labels: Int64[Tensor, " n"],
    classes: tuple[str, ...],
    protocol: str,
    seconds: float,
    views: int = 1,
    paths: Sequence[str] | None = None,
) -> Evaluation:
    """The metrics of scores, or log-probabilities, for a whole data set.

    Among equal scores the class with the lower index ranks first. Raises a ValueError when scores
    are NaN or infinite.
    """
    log_p = scores.double().log_softmax(1)
    if invalid := int(log_p.isnan().any(1).sum()):
        raise ValueError(f"the network gives NaN or infinite scores for {invalid} images")
    ranked = log_p.argsort(dim=1, descending=True, stable=True)[:, :5]
    correct = ranked == labels[:, None]
    confidence = log_p.amax(1).exp()
    confusion = confusion_counts(labels, ranked[:, 0], len(classes))
    right, actual, predicted = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    recall = np.array(_percent(right, actual))
    bins = reliability(confidence, correct[:, 0])
    wrong = (~correct[:, 0]).nonzero()[:, 0]
    order = confidence[wrong].argsort(descending=True, stable=True)
    worst: list[int] = wrong[order][:MISTAKES].tolist()
    return Evaluation(
        top1_error=_error(correct[:, :1]),
        top5_error=_error(correct) if len(classes) > 5 else None,
        images=len(labels),
        protocol=protocol,
        views=views,
        seconds=seconds,
        classes=classes,
        confusion=tuple(map(tuple, confusion.tolist())),
        recall=_percent(right, actual),
        precision=_percent(right, predicted),
        f1=_percent(2 * right, actual + predicted),
        support=tuple(actual.tolist()),
        balanced_accuracy=float(recall[actual > 0].mean()),
        calibration_error=sum(
            b.images / len(labels) * abs(b.confidence - b.accuracy) for b in bins
        ),
        reliability=bins,
        mistakes=tuple(
            Mistake(
                image=i if paths is None else paths[i],
                predicted=classes[int(ranked[i, 0])],
                label=classes[int(labels[i])],
                probability=confidence[i].item(),
            )
            for i in worst
        ),
    )


def confusion_counts(
    labels: Int64[Tensor, " n"], predicted: Int64[Tensor, " n"], classes: int
) -> Int[np.ndarray, "classes classes"]:
    """The confusion matrix: [i, j] counts the images of class i that were predicted as class j.

    >>> confusion_counts(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    cells = torch.bincount(labels * classes + predicted, minlength=classes**2)
    return cells.view(classes, classes).numpy()


def reliability(confidence: Float64[Tensor, " n"], correct: Bool[Tensor, " n"]) -> tuple[Bin, ...]:
    """Accuracy over equal bins of confidence from 0 to 1, open below and closed above.

    An empty bin has zeros.

    >>> reliability(torch.tensor([0.95, 0.97]).double(), torch.tensor([True, False]))[-1].accuracy
    50.0
    """
    index = ((confidence * BINS).ceil().long() - 1).clamp(0, BINS - 1)
    counts = torch.bincount(index, minlength=BINS)
    means = [
        100 * torch.bincount(index, weights, BINS) / counts.clamp(min=1)
        for weights in (confidence, correct.double())
    ]
    rows = zip(counts.tolist(), *(mean.tolist() for mean in means), strict=True)
    return tuple(Bin(*row) for row in rows)


def _percent(part: np.ndarray, whole: np.ndarray) -> tuple[float, ...]:
    return tuple((100 * part / np.maximum(whole, 1)).tolist())


def _error(correct: Tensor) -> float:
    wrong = len(correct) - int(correct.any(1).sum())
    return 100 * wrong / len(correct)
