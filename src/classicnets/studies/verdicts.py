"""Verdicts: pure functions of numbers, fixed before the results.

A claim about numbers that are known exactly is confirmed, corrected or holds partly. A claim about
trained networks is decided by the statistics of `experiments`, on paired differences, and may not
be distinguishable at this scale.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from classicnets.experiments.statistics import interval, least_pairs
from classicnets.experiments.verdicts import BETTER, WORSE, Comparison, decide

CONFIRMED, CORRECTED, PARTLY = "confirmed", "corrected", "partly"
CANNOT_TELL = "not distinguishable at this scale"
VERDICTS = (CONFIRMED, CORRECTED, PARTLY, CANNOT_TELL)


def equal(claimed: object, found: object) -> str:
    """Whether a claimed value is the right one.

    >>> equal(22, 22), equal(5, 7)
    ('confirmed', 'corrected')
    """
    return CONFIRMED if claimed == found else CORRECTED


def near(claimed: float | int, found: float | int, percent: float | int) -> str:
    """Whether a rounded value is that close to the exact one.

    >>> near(140, 138.4, 2), near(5, 6.998, 2)
    ('confirmed', 'corrected')
    """
    return CONFIRMED if abs(claimed - found) <= percent / 100 * abs(found) else CORRECTED


def holding(parts: Iterable[bool]) -> str:
    """A claim of several parts, by which of them hold.

    >>> holding([True, True]), holding([True, False]), holding([False, False])
    ('confirmed', 'partly', 'corrected')
    """
    found = set(parts)
    return CONFIRMED if found == {True} else CORRECTED if found == {False} else PARTLY


@dataclass(frozen=True)
class Expected:
    """What a claim says of a difference: its sign, -1 or 1, or 0 where it is at most `margin`.

    With `either` it is at most that in either direction.
    """

    sign: int
    margin: float | int = 0
    either: bool = True

    def verdict(self, found: Comparison, tuned: tuple[bool, bool] = (True, True)) -> str:
        """The verdict on the claim that the difference, second minus first, is as expected.

        Each is `tuned` unless its learning rate is at the edge of those that were tried: a rate
        beyond may lower its value, so that a verdict which rests on its being high is not given.
        """
        verdict = self._verdict(found)
        first, second = tuned
        if self.sign:
            stands = first if found.verdict == BETTER else second
        elif verdict == CONFIRMED:
            stands = first and (second or not self.either)
        else:
            stands = second if found.low > self.margin else first
        return verdict if stands else CANNOT_TELL

    def _verdict(self, found: Comparison) -> str:
        if self.sign:
            as_claimed = BETTER if self.sign < 0 else WORSE
            if found.verdict not in (BETTER, WORSE):
                return CANNOT_TELL
            return CONFIRMED if found.verdict == as_claimed else CORRECTED
        if (not self.either or -self.margin <= found.low) and found.high <= self.margin:
            return CONFIRMED
        beyond = found.low > self.margin or found.high < -self.margin
        return CORRECTED if beyond and found.verdict in (BETTER, WORSE) else CANNOT_TELL


LOWER, HIGHER = Expected(-1), Expected(1)


def same(margin: float | int) -> Expected:
    """Differences of at most `margin`, with the whole interval: equal for all that matters."""
    return Expected(0, margin)


def no_higher(margin: float | int) -> Expected:
    """Differences of at most `margin` upwards, with the whole interval: as good, or better."""
    return Expected(0, margin, either=False)


def at_most(limit: float | int, values: Sequence[float | int]) -> str:
    """Whether the mean of the runs is at most a limit, with the whole interval."""
    low, high = interval(values)
    return CONFIRMED if high <= limit else CORRECTED if low > limit else CANNOT_TELL


def learnt_nothing(errors: Sequence[float | int], chance: float | int, images: int) -> bool:
    """Whether at least half of the runs do no better than guessing, by their test errors in %.

    `chance` is the error of the commonest class as the only answer, on so many `images`.

    >>> learnt_nothing([89.0, 90.2, 12.0], 90, 1000), learnt_nothing([89.0, 35.1, 12.0], 90, 1000)
    (True, False)
    """
    rare = chance - 3.09 * sqrt(chance * (100 - chance) / images)  # of a thousand guesses one
    return 2 * sum(error >= rare for error in errors) >= len(errors)


def guarded(verdict: str, failed: Collection[str]) -> str:
    """Where networks have learnt nothing, a claim is neither confirmed nor corrected."""
    return CANNOT_TELL if failed and verdict in (CONFIRMED, CORRECTED) else verdict


def effects(
    differences: Mapping[str, Sequence[float | int]],
    expected: Mapping[str, Expected],
    tuned: Mapping[str, tuple[bool, bool]] | None = None,
) -> tuple[str, dict[str, str], tuple[Comparison, ...]]:
    """The verdict on a claim about several paired differences, that on each, and the comparisons.

    The p of all comparisons are corrected together; `tuned` is as in `Expected.verdict`. Raises a
    ValueError for too few pairs.
    """
    require_pairs(min(map(len, differences.values())), len(differences))
    found, tuned = decide(differences), tuned or {}
    each = {
        one.variant: expected[one.variant].verdict(one, tuned.get(one.variant, (True, True)))
        for one in found
    }
    return together(each.values()), each, found


def together(verdicts: Collection[str]) -> str:
    """The verdict on a claim, from those on its parts: partly where some are confirmed only.

    >>> together([CONFIRMED, CANNOT_TELL]), together([CORRECTED, CANNOT_TELL])
    ('partly', 'corrected')
    """
    found = set(verdicts)
    if len(found) == 1:
        return found.pop()
    return PARTLY if found & {CONFIRMED, PARTLY} else CORRECTED


def require_pairs(pairs: int, comparisons: int, what: str = "this claim") -> None:
    """Raises a ValueError for fewer pairs than a verdict needs."""
    if pairs < (least := least_pairs(comparisons)):
        several = "a comparison" if comparisons == 1 else f"{comparisons} comparisons"
        raise ValueError(
            f"{what} makes {several}, and a verdict needs at least {least} seeds, not {pairs}"
        )
