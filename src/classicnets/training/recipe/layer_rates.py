"""Learning rates of the stages of a network that starts from learnt weights."""

import math
from dataclasses import dataclass

from classicnets.support.errors import check_range


@dataclass(frozen=True)
class HeadFirst:
    """The head alone learns for `until` of the epochs, a fraction, rounded; then all stages do.

    From then on the rate of the stage below the head is `last` times that of the head, that of the
    first stage `first` times, and those between are in geometric steps. A stage that does not learn
    is in evaluation mode, so that its batch normalisation keeps its statistics.
    """

    until: float = 0.2
    first: float = 0.1
    last: float = 1.0

    def __post_init__(self):
        check_range(self, until=(0, 1), first=(1e-6, math.inf), last=(1e-6, math.inf))

    def head_epochs(self, epochs: int) -> int:
        """In how many of so many epochs the head learns alone."""
        return math.floor(self.until * epochs + 0.5)

    def __call__(self, epoch: int, epochs: int, stages: int) -> tuple[float, ...]:
        """The factors of the learning rate in an epoch, counted from 0, of so many: one for each of
        `stages`, from the first on, and one for the head.

        >>> HeadFirst(0.25, first=0.01)(0, 4, 3), HeadFirst(0.25, first=0.01)(1, 4, 3)
        ((0.0, 0.0, 0.0, 1.0), (0.01, 0.1, 1.0, 1.0))
        """
        if epoch < self.head_epochs(epochs):
            return (*[0.0] * stages, 1.0)
        ratio, steps = self.first / self.last, max(1, stages - 1)
        return (*(self.last * ratio ** ((stages - 1 - k) / steps) for k in range(stages)), 1.0)
