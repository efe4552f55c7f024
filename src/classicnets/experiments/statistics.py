"""Paired differences: interval, test, correction for several comparisons, and how many pairs.

Bouthillier et al., arXiv:2103.03098, on why comparisons are paired over seeds.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev

import numpy as np

LEVEL = 0.05  # of the test; the interval covers 1 - LEVEL
POWER = 0.8  # with which `pairs_needed` finds a difference that is there
RESAMPLES = 9999  # of the bootstrap
EXACT = 2**16  # sign patterns up to which the test goes through all of them
MOST_PAIRS = 1000  # a number beyond is not worth printing


def interval(differences: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the mean, by the BCa bootstrap (Efron 1987).

    Differences that are all equal, but for rounding, have no spread to resample: both ends are
    their value. Needs two.
    """
    from scipy.stats import bootstrap

    data = np.asarray(differences, dtype=float)
    if np.ptp(data) < 1e-9:
        return float(data[0]), float(data[0])
    found = bootstrap(
        (data,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=1 - LEVEL,
        method="BCa",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)


def sign_flip_p(differences: Sequence[float]) -> float:
    """The two-sided p of the mean under all changes of sign: a permutation test of pairs.

    Exact for up to 16 pairs; for more from as many random changes. The least p of n pairs is 2/2^n.

    >>> sign_flip_p([1.0, 2.0, 3.0]), sign_flip_p([0.0, 0.0, 0.0])
    (0.25, 1.0)
    """
    from scipy.stats import permutation_test

    data = np.asarray(differences, dtype=float)
    found = permutation_test(
        (data,),
        lambda x, axis: np.mean(x, axis=axis),
        permutation_type="samples",
        n_resamples=EXACT,
        batch=2**14,
        rng=np.random.default_rng(0),
        vectorized=True,
    )
    return float(found.pvalue)


def holm(ps: Sequence[float]) -> list[float]:
    """The p of several comparisons, adjusted by Holm (1979) in the order given.

    >>> [round(p, 6) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    adjusted, largest = [0.0] * len(ps), 0.0
    for rank, k in enumerate(sorted(range(len(ps)), key=lambda k: ps[k])):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[k]))
        adjusted[k] = largest
    return adjusted


def least_pairs(comparisons: int = 1) -> int:
    """The fewest pairs whose least p, 2/2^n, is below 5 % after Holm's correction.

    >>> [least_pairs(n) for n in (1, 2, 3, 4)]
    [6, 7, 7, 8]
    """
    return 1 + math.ceil(math.log2(max(1, comparisons) / LEVEL))


def pairs_needed(differences: Sequence[float], comparisons: int = 1) -> int | None:
    """About how many pairs would find this difference with a power of 80 %, if it is the true one.

    The number for a paired t test of normal differences (Guenther 1981), which the sign-flip test
    comes close to. None for more than a thousand. Needs two differences.
    """
    effect, spread = fmean(differences), stdev(differences)
    if effect == 0:
        return None
    normal = NormalDist()
    z = normal.inv_cdf(1 - LEVEL / (2 * max(1, comparisons)))
    count = ((z + normal.inv_cdf(POWER)) * spread / effect) ** 2 + z * z / 2
    if not count <= MOST_PAIRS:
        return None
    return max(math.ceil(count), least_pairs(comparisons), len(differences) + 1)
