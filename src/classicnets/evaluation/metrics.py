"""The figures that papers print about a trained network."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int64
from sklearn.metrics import confusion_matrix
from torch import Tensor


@dataclass(frozen=True)
class Evaluation:
    """Errors in % over all the images, and how the classes are confused.

    `confusion[i][j]` counts the images of class i that were called j; recall and precision are in
    %, in the order of `classes`. With five classes or fewer the top-5 error is 0.
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
    confusion = confusion_matrix(
        labels.numpy(), ranked[:, 0].numpy(), labels=np.arange(len(classes))
    )
    return Evaluation(
        top1_error=_error(right[:, :1]),
        top5_error=_error(right),
        images=len(labels),
        protocol=protocol,
        seconds=seconds,
        classes=classes,
        confusion=tuple(map(tuple, confusion.tolist())),
        recall=_shares(confusion.diagonal(), confusion.sum(1)),
        precision=_shares(confusion.diagonal(), confusion.sum(0)),
    )


def _shares(part: np.ndarray, whole: np.ndarray) -> tuple[float, ...]:
    return tuple((100 * part / np.maximum(whole, 1)).tolist())


def _error(right: Tensor) -> float:
    wrong = len(right) - int(right.any(1).sum())
    return 100 * wrong / len(right)
