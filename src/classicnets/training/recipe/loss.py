"""Losses: scores and labels to the mean over the batch.

In training a network may return several heads as a named tuple, the main one first. With `weights`,
one for each class, an image counts as often as its label's says. The mean stays that over the
images: torch's divides by the sum of their weights, so that a batch of one would not be weighted,
and parts of a batch would not add up.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import signature

from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from classicnets.support.errors import check_range

Scores = Tensor | Sequence[Tensor]  # (n, classes), or one such for each head
Weights = Float[Tensor, " classes"] | None


@dataclass(frozen=True)
class CrossEntropy:
    """-log softmax at the label. With smoothing s, a fraction s of the target is spread evenly."""

    smoothing: float = 0.0

    def __post_init__(self):
        check_range(self, smoothing=(0, 1))

    def __call__(
        self, scores: Scores, labels: Int64[Tensor, " n"], weights: Weights = None
    ) -> Float[Tensor, ""]:
        return _cross_entropy(main_head(scores), labels, weights, self.smoothing)


@dataclass(frozen=True)
class WithAuxiliaries:
    """Cross-entropy of the main head, and `weight` times that of each other head.

    Szegedy et al., arXiv:1409.4842, section 5. In evaluation only the main head is there.
    """

    weight: float

    def __post_init__(self):
        check_range(self, weight=(0, math.inf))

    def __call__(
        self, scores: Scores, labels: Int64[Tensor, " n"], weights: Weights = None
    ) -> Float[Tensor, ""]:
        if isinstance(scores, Tensor):
            return _cross_entropy(scores, labels, weights)
        main, *others = (_cross_entropy(head, labels, weights) for head in scores)
        return main + self.weight * sum(others)


@dataclass(frozen=True)
class MapLoss:
    """LeCun et al. 1998, equation 9: y_D + log(exp(-j) + sum_i exp(-y_i)), y the penalties.

    The scores are the negated penalties, so this is the cross-entropy with one more class whose
    penalty is always j: wrong classes beyond j are not pushed further away.
    """

    j: float

    def __call__(
        self, scores: Scores, labels: Int64[Tensor, " n"], weights: Weights = None
    ) -> Float[Tensor, ""]:
        rubbish_included = F.pad(main_head(scores), (0, 1), value=-self.j)
        return _cross_entropy(rubbish_included, labels, weights)


@dataclass(frozen=True)
class PenaltyLoss:
    """LeCun et al. 1998, equation 8: y_D alone, the penalty of the right class.

    The other classes do not count, so that nothing pushes them away.
    """

    def __call__(
        self, scores: Scores, labels: Int64[Tensor, " n"], weights: Weights = None
    ) -> Float[Tensor, ""]:
        each = F.nll_loss(main_head(scores), labels, reduction="none")
        return (each if weights is None else weights[labels] * each).mean()


Loss = CrossEntropy | WithAuxiliaries | MapLoss | PenaltyLoss


def takes_weights(loss: Callable[..., Tensor]) -> bool:
    """Whether a loss, possibly your own, takes `weights`."""
    try:
        return "weights" in signature(loss).parameters
    except (TypeError, ValueError):  # some callables have no signature
        return False


def main_head(scores: Scores) -> Tensor:
    """The scores that count: the first head where there are several."""
    return scores if isinstance(scores, Tensor) else scores[0]


def _cross_entropy(
    scores: Tensor, labels: Tensor, weights: Weights, smoothing: float = 0.0
) -> Tensor:
    if weights is None:
        return F.cross_entropy(scores, labels, label_smoothing=smoothing)
    each = F.cross_entropy(scores, labels, reduction="none", label_smoothing=smoothing)
    return (weights[labels] * each).mean()
