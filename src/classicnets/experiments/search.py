"""The search of a learning rate: three factors at first, and more while the best is at an edge."""

from collections.abc import Mapping

FIRST = (0.5, 1.0, 2.0)  # of the recipe's learning rate, tried for every variant
FACTORS = (0.0625, 0.125, 0.25, *FIRST, 4.0, 8.0, 16.0)  # that may come to be tried
EDGES = (FACTORS[0], FACTORS[-1])  # where a search ends though a rate beyond may be better

Rank = tuple[float, float]  # validation error and loss: smaller is better


def factors_to_try(ranks: Mapping[float, Rank]) -> tuple[float, ...]:
    """The factors that a search tries, as far as the ranks of those tried so far tell.

    Half and twice as much beyond the edge at which the best is, until it is inside or in `EDGES`.

    >>> factors_to_try({}), factors_to_try({0.5: (9.0, 1.0), 1.0: (7.0, 1.0), 2.0: (5.0, 1.0)})
    ((0.5, 1.0, 2.0), (0.5, 1.0, 2.0, 4.0))
    """
    tried = FIRST
    while all(factor in ranks for factor in tried):
        best = best_factor({factor: ranks[factor] for factor in tried})
        if best in EDGES or best not in (tried[0], tried[-1]):
            break
        tried = (best / 2, *tried) if best == tried[0] else (*tried, 2 * best)
    return tried


def best_factor(ranks: Mapping[float, Rank]) -> float:
    """The factor with the best rank, the smallest of several; 1 where none was tried."""
    return min(sorted(ranks), key=lambda factor: ranks[factor]) if ranks else 1.0
