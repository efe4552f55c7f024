"""What a search of the recipe chooses from, and Optuna, which chooses."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

LOGARITHMIC = 10  # a range whose ends differ by this factor is searched on a logarithmic scale
DOTS = ".."


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, whole ones if both ends are."""

    low: int | float
    high: int | float

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def logarithmic(self) -> bool:
        return self.low > 0 and self.high / self.low >= LOGARITHMIC

    def __str__(self) -> str:
        scale = " on a logarithmic scale" if self.logarithmic else ""
        return f"from {self.low:g} to {self.high:g}{scale}"


Space = Mapping[str, Range | tuple[str, ...]]


def as_space(settings: Mapping[str, Sequence[str]]) -> Space:
    """The fields with a range, as `0.003..0.3`, or several values.

    Raises a ValueError for a range that is not one of numbers, or ends before it begins.

    >>> print(as_space({"lr": ["0.003..0.3"], "batch": ["16"]})["lr"])
    from 0.003 to 0.3 on a logarithmic scale
    """
    found: dict[str, Range | tuple[str, ...]] = {}
    for name, values in settings.items():
        if ranges := [value for value in values if is_range(value)]:
            if len(values) > 1:
                raise ValueError(f"{name} is {','.join(values)}; give one range or several values")
            found[name] = _parsed(name, ranges[0])
        elif len(values) > 1:
            found[name] = tuple(values)
    return found


def is_range(value: str) -> bool:
    """Whether a value as one types it is a range."""
    return DOTS in value and not any(letter in value for letter in "('\"/")


def _parsed(name: str, text: str) -> Range:
    low, _, high = text.partition(DOTS)
    try:
        ends = [_number(end.strip()) for end in (low, high)]
    except ValueError:
        ends = []
    if not ends or not all(map(math.isfinite, ends)) or ends[0] >= ends[1]:
        raise ValueError(f"{name}={text} is not a range of numbers, such as 0.003..0.3")
    return Range(*ends)


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def require_optuna() -> None:
    """Raises a ValueError where Optuna is not installed."""
    if find_spec("optuna") is None:
        raise ValueError(
            "trials are chosen by a package that is not installed: pip install 'classicnets[sweep]'"
        )


class Study:
    """Optuna's choice of values: its TPE sampler with a fixed seed for each round of trials, and
    its median pruner, which looks at the trials of earlier rounds.

    What it chooses depends on nothing else, so that a search that was stopped chooses the same.
    """

    def __init__(self, space: Space):
        optuna = import_module("optuna")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.space, self.optuna = space, optuna
        self.study = optuna.create_study(pruner=optuna.pruners.MedianPruner())

    def ask(self, first: int, count: int) -> list["Trial"]:
        """The trials with the numbers from `first` on."""
        self.study.sampler = self.optuna.samplers.TPESampler(seed=first)
        choices = {name: self._distribution(one) for name, one in self.space.items()}
        return [Trial(n, self.study.ask(choices)) for n in range(first, first + count)]

    def tell(self, trial: "Trial", error: float) -> None:
        """The validation error that a trial came to."""
        pruned = self.optuna.trial.TrialState.PRUNED
        if trial.pruned:
            self.study.tell(trial.of, state=pruned)
        else:
            self.study.tell(trial.of, error)

    def _distribution(self, one: Range | tuple[str, ...]) -> Any:
        kinds = self.optuna.distributions
        if isinstance(one, tuple):
            return kinds.CategoricalDistribution(one)
        kind = kinds.IntDistribution if one.whole else kinds.FloatDistribution
        return kind(one.low, one.high, log=one.logarithmic)


class Trial:
    """Values that were chosen, as one types them, and the errors after each epoch as they come."""

    def __init__(self, number: int, of: Any):
        self.number, self.of = number, of
        self.seen, self.pruned = 0, False

    @property
    def values(self) -> dict[str, str]:
        chosen = self.of.params.items()
        return {name: f"{v:.4g}" if isinstance(v, float) else str(v) for name, v in chosen}

    def see(self, errors: Sequence[float], last: int) -> bool:
        """Reports the validation errors of the epochs so far; whether it is to stop before the
        `last`, being worse than the median of the others at one of them."""
        while not self.pruned and self.seen < min(len(errors), last - 1):
            self.seen += 1
            self.of.report(errors[self.seen - 1], self.seen)
            self.pruned = bool(self.of.should_prune())
        return self.pruned
