"""The figures that papers print about a trained network."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int64
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support
from torch import Tensor


@dataclass(frozen=True)
class Evaluation:
    """Errors in % over all the images, and how the classes are confused.

    `confusion[i][j]` counts the images of class i that were called j; recall and precision are in %,
    in the order of `classes`. With five classes or fewer the top-5 error is 0.
    """

    top1_error: float
    top5_error: float
    images: int
    protocol: str
    seconds: float
    classes: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    recall: tuple[float, ...]
    precision: tuple[float, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def evaluation(
    scores: Float[Tensor, "n classes"],
    labels: Int64[Tensor, " n"],
    classes: tuple[str, ...],
    protocol: str,
    seconds: float,
) -> Evaluation:
    """The figures that follow from the scores of a whole set."""
    ranked = scores.topk(min(5, scores.shape[1])).indices
    right = ranked == labels[:, None]
    truth, guess = labels.numpy(), ranked[:, 0].numpy()
    every = np.arange(len(classes))
    precision, recall, _, _ = precision_recall_fscore_support(
        truth, guess, labels=every, zero_division=0
    )
    return Evaluation(
        top1_error=_error(right[:, :1]),
        top5_error=_error(right),
        images=len(labels),
        protocol=protocol,
        seconds=seconds,
        classes=classes,
        confusion=tuple(map(tuple, confusion_matrix(truth, guess, labels=every).tolist())),
        recall=tuple((100 * recall).tolist()),
        precision=tuple((100 * precision).tolist()),
    )


def _error(right: Tensor) -> float:
    wrong = len(right) - int(right.any(1).sum())
    return 100 * wrong / len(right)
