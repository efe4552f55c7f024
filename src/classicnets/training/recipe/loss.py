"""Losses: scores and labels to the mean over the batch.

In training a network may return several heads as a named tuple, the main one first.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from classicnets.support.errors import check_range

Scores = Tensor | Sequence[Tensor]  # (n, classes), or one such for each head


@dataclass(frozen=True)
class CrossEntropy:
    """-log softmax at the label. With smoothing s, a fraction s of the target is spread evenly."""

    smoothing: float = 0.0

    def __post_init__(self):
        check_range(self, smoothing=(0, 1))

    def __call__(self, scores: Scores, labels: Int64[Tensor, " n"]) -> Float[Tensor, ""]:
        return F.cross_entropy(main_head(scores), labels, label_smoothing=self.smoothing)


@dataclass(frozen=True)
class WithAuxiliaries:
    """Cross-entropy of the main head, and `weight` times that of each other head.

    Szegedy et al., arXiv:1409.4842, section 5. In evaluation only the main head is there.
    """

    weight: float

    def __post_init__(self):
        check_range(self, weight=(0, math.inf))

    def __call__(self, scores: Scores, labels: Int64[Tensor, " n"]) -> Float[Tensor, ""]:
        if isinstance(scores, Tensor):
            return F.cross_entropy(scores, labels)
        main, *others = (F.cross_entropy(head, labels) for head in scores)
        return main + self.weight * sum(others)


@dataclass(frozen=True)
class MapLoss:
    """LeCun et al. 1998, equation 9: y_D + log(exp(-j) + sum_i exp(-y_i)), y the penalties.

    The scores are the negated penalties, so this is the cross-entropy with one more class whose
    penalty is always j: wrong classes beyond j are not pushed further away.
    """

    j: float

    def __call__(self, scores: Scores, labels: Int64[Tensor, " n"]) -> Float[Tensor, ""]:
        rubbish_included = F.pad(main_head(scores), (0, 1), value=-self.j)
        return F.cross_entropy(rubbish_included, labels)


Loss = CrossEntropy | WithAuxiliaries | MapLoss


def main_head(scores: Scores) -> Tensor:
    """The scores that count: the first head where there are several."""
    return scores if isinstance(scores, Tensor) else scores[0]
