"""Learning rates as functions of progress, which runs from 0 to 1 over the whole training.

So a schedule keeps its proportions when a run is made shorter. A rate that answers to how training
goes reads that from its history; it keeps nothing itself.
"""

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import NamedTuple

from classicnets.layers.bounds import bounded


class History(NamedTuple):
    """How training has gone so far.

    `epochs` is the length of the whole, `validation` the top-1 error in % after each pass, `lowest`
    the lowest training error in % that has been looked at.
    """

    epochs: float = 1
    validation: tuple[float, ...] = ()
    lowest: float = math.inf


UNKNOWN = History()


@dataclass(frozen=True)
class Constant:
    """The same rate throughout."""

    rate: float

    def __post_init__(self):
        bounded(self, rate=(0, math.inf))

    def __call__(self, progress: float, history: History = UNKNOWN) -> float:
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

    def __post_init__(self):
        bounded(self, start=(0, math.inf), by=(0, math.inf))

    def __call__(self, progress: float, history: History = UNKNOWN) -> float:
        return self.start * self.by ** bisect_right(self.at, progress)


@dataclass(frozen=True)
class Table:
    """Rows of (passes done when the row ends, rate), as LeCun et al. print their rates.

    >>> Table(((2, 5e-4), (20, 1e-5)))(0.05), Table(((2, 5e-4), (20, 1e-5)))(0.1)
    (0.0005, 1e-05)
    """

    rows: tuple[tuple[int, float], ...]

    def __post_init__(self):
        ends = [end for end, _ in self.rows]
        if not ends or ends[0] < 1 or ends != sorted(set(ends)):
            raise ValueError(f"a Table has rows of passes, ever more, and rates, not {self.rows}")

    def __call__(self, progress: float, history: History = UNKNOWN) -> float:
        done = progress * self.rows[-1][0]
        return next((rate for until, rate in self.rows if done < until), self.rows[-1][1])


@dataclass(frozen=True)
class OneCycle:
    """Up in a straight line to `peak` at `warm`, then down to nothing along a cosine.

    Smith and Topin, arXiv:1708.07120; the cosine is later practice.
    """

    peak: float
    warm: float = 0.2

    def __post_init__(self):
        bounded(self, peak=(0, math.inf), warm=(0.001, 0.999))

    def __call__(self, progress: float, history: History = UNKNOWN) -> float:
        if progress < self.warm:
            return self.peak * (0.04 + 0.96 * progress / self.warm)
        down = (progress - self.warm) / (1 - self.warm)
        return self.peak * (1 + math.cos(math.pi * down)) / 2


@dataclass(frozen=True)
class Plateau:
    """Starts at `start`; multiplied by `by` when the validation error stalls, up to `times` times.

    It stalls when no pass of the last `patience`, a share of the whole training, was the best yet.

    >>> Plateau(1.0, patience=0.2)(0.5, History(epochs=10, validation=(50, 40, 40, 41)))
    0.1
    """

    start: float
    by: float = 0.1
    times: int = 3
    patience: float = 0.06

    def __post_init__(self):
        bounded(self, start=(0, math.inf), by=(0, 1), times=(0, math.inf), patience=(0, 1))

    def __call__(self, progress: float, history: History = UNKNOWN) -> float:
        wait = max(1, round(self.patience * history.epochs))
        drops, waited, best = 0, 0, math.inf
        for error in history.validation:
            waited = 0 if error < best else waited + 1
            best = min(best, error)
            if waited == wait:
                drops, waited = drops + 1, 0
        return self.start * self.by ** min(drops, self.times)


@dataclass(frozen=True)
class WarmUntil:
    """`rate` until the training error has been below `error` %, then what `then` says."""

    rate: float
    error: float
    then: Constant | Drops | Table | OneCycle | Plateau

    def __post_init__(self):
        bounded(self, rate=(0, math.inf), error=(0, 100))

    def __call__(self, progress: float, history: History = UNKNOWN) -> float:
        warm = history.lowest >= self.error
        return self.rate if warm else self.then(progress, history)


Rate = Constant | Drops | Table | OneCycle | Plateau | WarmUntil
