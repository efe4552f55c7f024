"""Learning rates as functions of progress, which runs from 0 to 1 over the whole training.

So a schedule keeps its proportions when a run is made shorter.
"""

import math
from bisect import bisect_right
from dataclasses import dataclass


@dataclass(frozen=True)
class Constant:
    """The same rate throughout."""

    rate: float

    def __call__(self, progress: float) -> float:
        return self.rate


@dataclass(frozen=True)
class Drops:
    """Starts at `start`; at each point of `at` it is multiplied by `by`.

    >>> Drops(1.0, at=(0.5, 0.75), by=0.5)(0.6)
    0.5
    """

    start: float
    at: tuple[float, ...]
    by: float

    def __call__(self, progress: float) -> float:
        return self.start * self.by ** bisect_right(self.at, progress)


@dataclass(frozen=True)
class Table:
    """Rows of (passes done when the row ends, rate), as LeCun et al. print their rates.

    >>> Table(((2, 5e-4), (20, 1e-5)))(0.05), Table(((2, 5e-4), (20, 1e-5)))(0.1)
    (0.0005, 1e-05)
    """

    rows: tuple[tuple[int, float], ...]

    def __call__(self, progress: float) -> float:
        done = progress * self.rows[-1][0]
        return next((rate for until, rate in self.rows if done < until), self.rows[-1][1])


@dataclass(frozen=True)
class OneCycle:
    """Up in a straight line to `peak` at `warm`, then down to nothing along a cosine.

    Smith and Topin, arXiv:1708.07120; the cosine is later practice.
    """

    peak: float
    warm: float = 0.2

    def __call__(self, progress: float) -> float:
        if progress < self.warm:
            return self.peak * (0.04 + 0.96 * progress / self.warm)
        down = (progress - self.warm) / (1 - self.warm)
        return self.peak * (1 + math.cos(math.pi * down)) / 2


Rate = Constant | Drops | Table | OneCycle
