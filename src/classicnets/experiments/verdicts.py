"""Verdicts: what the paired differences of several variants from one baseline allow to say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from . import statistics as stats

BETTER, WORSE, CANNOT_TELL, TOO_FEW = "better", "worse", "cannot tell", "too few to tell"


@dataclass(frozen=True)
class Comparison:
    """A variant against the baseline. Differences are variant minus baseline, of errors in %.

    `p` is of the sign-flip test, `adjusted_p` after Holm's correction for all comparisons.
    `pairs_needed` is about how many pairs would tell, for "cannot tell"; None is more than 1,000.
    For "too few to tell" it is the least number that can.
    """

    variant: str
    differences: tuple[float, ...]
    mean: float
    low: float
    high: float
    p: float
    adjusted_p: float
    verdict: str
    pairs_needed: int | None = None

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        if self.verdict == CANNOT_TELL:
            count = f"about {self.pairs_needed}" if self.pairs_needed else "more than 1,000"
            return f"{CANNOT_TELL} ({count} pairs would)"
        if self.verdict == TOO_FEW:
            return f"{TOO_FEW} ({self.pairs_needed} pairs are the least)"
        return self.verdict


def decide(differences: Mapping[str, Sequence[float]]) -> tuple[Comparison, ...]:
    """A verdict on each variant, from its differences in error: below 0 the variant is better.

    "better" and "worse" only where the interval lies on one side of 0 and the adjusted p is at most
    5 %. Raises a ValueError for fewer than two pairs, of which there is no interval.
    """
    for name, values in differences.items():
        if len(values) < 2:
            raise ValueError(f"{name} has {len(values)} pairs; an interval needs at least 2")
    ps = [stats.sign_flip_p(values) for values in differences.values()]
    rows = zip(differences.items(), ps, stats.holm(ps), strict=True)
    return tuple(_decided(name, values, p, q, len(ps)) for (name, values), p, q in rows)


def _decided(
    name: str, values: Sequence[float], p: float, adjusted: float, comparisons: int
) -> Comparison:
    low, high = stats.interval(values)
    verdict, needed = CANNOT_TELL, None
    if len(values) < (least := stats.least_pairs(comparisons)):
        verdict, needed = TOO_FEW, least
    elif adjusted <= stats.LEVEL and high < 0:
        verdict = BETTER
    elif adjusted <= stats.LEVEL and low > 0:
        verdict = WORSE
    else:
        needed = stats.pairs_needed(values, comparisons)
    return Comparison(name, tuple(values), fmean(values), low, high, p, adjusted, verdict, needed)
