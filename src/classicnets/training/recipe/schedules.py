"""Learning-rate schedules: functions of progress, which runs from 0 to 1 over the whole training.

So a schedule keeps its proportions when a run is made shorter. One that reacts to how training
goes reads that from the history; it keeps no state.
"""

import math
from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import NamedTuple

from classicnets.support.errors import check_range


class History(NamedTuple):
    """How training has gone so far.

    `epochs` is the length of the whole training, `validation` the top-1 error in % after each
    epoch, `lowest` the lowest training error in % seen.
    """

    epochs: float = 1
    validation: tuple[float, ...] = ()
    lowest: float = math.inf


UNKNOWN = History()


@dataclass(frozen=True)
class Constant:
    """The same learning rate throughout."""

    lr: float

    def __post_init__(self):
        check_range(self, lr=(0, math.inf))

    def __call__(self, progress: float, history: History = UNKNOWN) -> float:
        return self.lr


@dataclass(frozen=True)
class MultiStep:
    """Starts at `start` and is multiplied by `factor` at each of `milestones`, points of progress.

    >>> MultiStep(1.0, milestones=(0.5, 0.75), factor=0.5)(0.6)
    0.5
    """

    start: float
    milestones: tuple[float, ...]
    factor: float

    def __post_init__(self):
        check_range(self, start=(0, math.inf), factor=(0, math.inf))

    def __call__(self, progress: float, history: History = UNKNOWN) -> float:
        return self.start * self.factor ** bisect_right(self.milestones, progress)


@dataclass(frozen=True)
class EpochTable:
    """Rows of (epoch at whose end the row ends, learning rate), as LeCun et al. print theirs.

    >>> table = EpochTable(((2, 5e-4), (20, 1e-5)))
    >>> table(0.05), table(0.1)
    (0.0005, 1e-05)
    """

    rows: tuple[tuple[int, float], ...]

    def __post_init__(self):
        ends = [end for end, _ in self.rows]
        if not ends or ends[0] < 1 or ends != sorted(set(ends)):
            raise ValueError(
                "an EpochTable has rows (last epoch, learning rate) in ascending order, "
                f"not {self.rows}"
            )

    def __call__(self, progress: float, history: History = UNKNOWN) -> float:
        done = progress * self.rows[-1][0]
        return next((lr for until, lr in self.rows if done < until), self.rows[-1][1])


@dataclass(frozen=True)
class OneCycle:
    """Rises linearly to `peak` at `warmup`, then falls to zero along a cosine.

    Smith and Topin, arXiv:1708.07120; the cosine is later practice.
    """

    peak: float
    warmup: float = 0.2

    def __post_init__(self):
        check_range(self, peak=(0, math.inf), warmup=(0.001, 0.999))

    def __call__(self, progress: float, history: History = UNKNOWN) -> float:
        if progress < self.warmup:
            return self.peak * (0.04 + 0.96 * progress / self.warmup)
        down = (progress - self.warmup) / (1 - self.warmup)
        return self.peak * (1 + math.cos(math.pi * down)) / 2


@dataclass(frozen=True)
class ReduceOnPlateau:
    """Starts at `start`; multiplied by `factor` when the validation error stalls, `times` at most.

    It stalls when none of the last epochs, `patience` as a fraction of the training, was the best.

    >>> schedule = ReduceOnPlateau(1.0, patience=0.2)
    >>> schedule(0.5, History(epochs=10, validation=(50, 40, 40, 41)))
    0.1
    """

    start: float
    factor: float = 0.1
    times: int = 3
    patience: float = 0.06

    def __post_init__(self):
        check_range(self, start=(0, math.inf), factor=(0, 1), times=(0, math.inf), patience=(0, 1))

    def __call__(self, progress: float, history: History = UNKNOWN) -> float:
        patience = max(1, round(self.patience * history.epochs))
        reductions, waited, best = 0, 0, math.inf
        for error in history.validation:
            waited = 0 if error < best else waited + 1
            best = min(best, error)
            if waited == patience:
                reductions, waited = reductions + 1, 0
        return self.start * self.factor ** min(reductions, self.times)


Unconditional = Constant | MultiStep | EpochTable | OneCycle | ReduceOnPlateau


@dataclass(frozen=True)
class WarmupUntil:
    """`lr` until the training error has been below `error` %, then the schedule `then`."""

    lr: float
    error: float
    then: Unconditional

    def __post_init__(self):
        check_range(self, lr=(0, math.inf), error=(0, 100))

    def __call__(self, progress: float, history: History = UNKNOWN) -> float:
        return self.lr if history.lowest >= self.error else self.then(progress, history)


Schedule = Unconditional | WarmupUntil


def with_rate(schedule: Schedule, rate: float) -> Schedule:
    """The schedule with this learning rate where it starts, or at its peak; others in proportion.

    Raises a ValueError where it starts from 0.

    >>> with_rate(MultiStep(0.1, milestones=(0.5,), factor=0.1), 0.02)
    MultiStep(start=0.02, milestones=(0.5,), factor=0.1)
    """
    match schedule:
        case Constant():
            return replace(schedule, lr=rate)
        case OneCycle():
            return replace(schedule, peak=rate)
        case EpochTable(rows):
            factor = _ratio(rate, rows[0][1])
            return EpochTable(tuple((end, lr * factor) for end, lr in rows))
        case WarmupUntil(lr, _, then):
            factor = _ratio(rate, rate_of(then))
            return replace(schedule, lr=lr * factor, then=with_rate(then, rate))
    return replace(schedule, start=rate)


def scaled(schedule: Schedule, factor: float) -> Schedule:
    """The schedule with each of its learning rates times `factor`.

    >>> scaled(OneCycle(0.5), 0.25)
    OneCycle(peak=0.125, warmup=0.2)
    """
    return with_rate(schedule, factor * rate_of(schedule))


def rate_of(schedule: Schedule) -> float:
    """The learning rate where a schedule starts, or at its peak."""
    match schedule:
        case WarmupUntil(_, _, then):
            return rate_of(then)
        case Constant(lr):
            return lr
        case OneCycle(peak):
            return peak
        case EpochTable(rows):
            return rows[0][1]
    return schedule.start


def _ratio(rate: float, before: float) -> float:
    if not before:
        raise ValueError(f"a schedule that starts from 0 cannot be scaled to {rate:g}")
    return rate / before
