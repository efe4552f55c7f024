"""The figures that papers print about a trained network, and how far it can be believed."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from sklearn.metrics import confusion_matrix
from torch import Tensor

BINS = 15  # of confidence, as is usual since Guo et al. 2017
MISTAKES = 10


@dataclass(frozen=True)
class Mistake:
    """A picture, by its file or else its place in the set, and the class it was wrongly called."""

    picture: str | int
    called: str
    truth: str
    probability: float


@dataclass(frozen=True)
class Bin:
    """The pictures whose likeliest class has a probability in one range; mean and share in %."""

    images: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Evaluation:
    """Errors in % over all the images, and how the classes are confused.

    `confusion[i][j]` counts the images of class i that were called j; recall and precision are in
    %, in the order of `classes`. With five classes or fewer the top-5 error is 0. `passes` is how
    many times each image went through a network.

    The calibration error is the mean distance in % between confidence and accuracy over the
    `reliability`, 15 equal ranges of confidence (Guo et al., arXiv:1706.04599, equation 3).
    `mistakes` are the most confident ones, at most ten.
    """

    top1_error: float
    top5_error: float
    images: int
    protocol: str
    passes: int
    seconds: float
    classes: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    recall: tuple[float, ...]
    precision: tuple[float, ...]
    calibration_error: float
    reliability: tuple[Bin, ...]
    mistakes: tuple[Mistake, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def evaluation(
    scores: Float[Tensor, "n classes"],
    labels: Int64[Tensor, " n"],
    classes: tuple[str, ...],
    protocol: str,
    seconds: float,
    passes: int = 1,
    names: Sequence[str] | None = None,
) -> Evaluation:
    """The figures that follow from the scores, or log-probabilities, of a whole set.

    Of classes with equal scores the earlier comes first. Raises a ValueError when some scores are
    no numbers.
    """
    log_p = scores.double().log_softmax(1)
    if strange := int(log_p.isnan().any(1).sum()):
        raise ValueError(f"the network gives scores that are no numbers for {strange} pictures")
    ranked = log_p.argsort(dim=1, descending=True, stable=True)[:, :5]
    right = ranked == labels[:, None]
    confidence = log_p.amax(1).exp()
    confusion = confusion_matrix(
        labels.numpy(), ranked[:, 0].numpy(), labels=np.arange(len(classes))
    )
    bins = reliability(confidence, right[:, 0])
    wrong = (~right[:, 0]).nonzero()[:, 0]
    worst: list[int] = wrong[confidence[wrong].argsort(descending=True, stable=True)].tolist()[
        :MISTAKES
    ]
    return Evaluation(
        top1_error=_error(right[:, :1]),
        top5_error=_error(right),
        images=len(labels),
        protocol=protocol,
        passes=passes,
        seconds=seconds,
        classes=classes,
        confusion=tuple(map(tuple, confusion.tolist())),
        recall=_shares(confusion.diagonal(), confusion.sum(1)),
        precision=_shares(confusion.diagonal(), confusion.sum(0)),
        calibration_error=sum(
            b.images / len(labels) * abs(b.confidence - b.accuracy) for b in bins
        ),
        reliability=bins,
        mistakes=tuple(
            Mistake(
                picture=i if names is None else names[i],
                called=classes[int(ranked[i, 0])],
                truth=classes[int(labels[i])],
                probability=confidence[i].item(),
            )
            for i in worst
        ),
    )


def reliability(confidence: Float64[Tensor, " n"], right: Bool[Tensor, " n"]) -> tuple[Bin, ...]:
    """How often the network is right where it is how confident, in equal ranges from 0 to 1.

    A range is open below and closed above; one without pictures has zeros.

    >>> reliability(torch.tensor([0.95, 0.97]).double(), torch.tensor([True, False]))[-1].accuracy
    50.0
    """
    place = ((confidence * BINS).ceil().long() - 1).clamp(0, BINS - 1)
    counts = torch.bincount(place, minlength=BINS)
    means = [
        100 * torch.bincount(place, weights, BINS) / counts.clamp(min=1)
        for weights in (confidence, right.double())
    ]
    rows = zip(counts.tolist(), *(mean.tolist() for mean in means), strict=True)
    return tuple(Bin(*row) for row in rows)


def _shares(part: np.ndarray, whole: np.ndarray) -> tuple[float, ...]:
    return tuple((100 * part / np.maximum(whole, 1)).tolist())


def _error(right: Tensor) -> float:
    wrong = len(right) - int(right.any(1).sum())
    return 100 * wrong / len(right)
