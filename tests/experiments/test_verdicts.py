"""The verdicts of an experiment, against enumeration, hand arithmetic and simulated differences."""

from itertools import product
from statistics import NormalDist

import numpy as np
import pytest

from classicnets.experiments import statistics as stats
from classicnets.experiments.verdicts import decide

DIFFERENCES = [-1.5, 0.5, -2.0, -0.25, -3.0, 1.0, -0.75]
TRIALS = 200
LIMIT = 16  # of them, at a rate of 5 %; more come about once in 40 times (binomial)


@pytest.mark.parametrize("n", [2, 3, 5, 6, 7])
def test_p_is_the_share_of_sign_patterns_whose_mean_is_as_far_from_zero(n):
    values = np.array(DIFFERENCES[:n])
    means = np.array([(values * signs).mean() for signs in product((1, -1), repeat=n)])
    expected = (np.abs(means) >= abs(values.mean()) - 1e-12).mean()
    assert stats.sign_flip_p(values.tolist()) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("n", [3, 5, 6, 10])
def test_the_least_p_of_n_pairs_is_two_of_all_patterns(n):
    assert stats.sign_flip_p([0.5 + k for k in range(n)]) == 2 / 2**n


def test_holm_is_the_arithmetic_by_hand():
    # ordered .001, .01, .02, .04 times 4, 3, 2, 1: .004, .03, .04, .04
    assert stats.holm([0.04, 0.001, 0.02, 0.01]) == pytest.approx([0.04, 0.004, 0.04, 0.03])
    # the second, .02 times 2, may not be below the first, .015 times 3
    assert stats.holm([0.02, 0.015, 0.9]) == pytest.approx([0.045, 0.045, 0.9])
    assert stats.holm([0.6, 0.7]) == [1.0, 1.0]
    assert stats.holm([0.03]) == [0.03]


def bca(values: np.ndarray, resamples: int) -> tuple[float, float]:
    """Efron's equations 6.8 to 6.15, written out."""
    rng, normal, n = np.random.default_rng(7), NormalDist(), len(values)
    means = np.sort(values[rng.integers(0, n, (resamples, n))].mean(1))
    below = (means < values.mean()).mean() + (means == values.mean()).mean() / 2
    z0 = normal.inv_cdf(float(below))
    left_out = np.array([np.delete(values, k).mean() for k in range(n)])
    apart = left_out.mean() - left_out
    a = (apart**3).sum() / (6 * (apart**2).sum() ** 1.5)
    ends = []
    for level in (0.025, 0.975):
        z = z0 + normal.inv_cdf(level)
        ends.append(np.quantile(means, normal.cdf(z0 + z / (1 - a * z))))
    return ends[0], ends[1]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_interval_is_that_of_bca_written_out(seed):
    values = np.random.default_rng(seed).gamma(2.0, 1.0, 12)
    assert stats.interval(values.tolist()) == pytest.approx(bca(values, 200_000), abs=0.05)


def test_equal_differences_are_their_own_interval():
    assert stats.interval([2.5] * 6) == (2.5, 2.5)
    rounded = [10 + error - error for error in (0.1, 0.7, 3.3, 12.9, 90.1, 4.4)]
    assert len(set(rounded)) > 1
    assert stats.interval(rounded) == pytest.approx((10, 10))
    (compared,) = decide({"b": [2.5] * 6})
    assert (compared.verdict, compared.p) == ("worse", 2 / 64)
    (compared,) = decide({"b": [0.0] * 6})
    assert (compared.verdict, compared.p) == ("cannot tell", 1.0)
    assert compared.sentence == "cannot tell (more than 1,000 pairs would)"


@pytest.mark.parametrize(
    "values", [[0.0] * 5 + [1.0], [-1.0, 0.0, 0.0, 0.0, 0.0, 1.0], [0.0] * 3 + [-1.0] * 3]
)
def test_ties_of_small_test_sets_have_a_finite_interval(values):
    low, high = stats.interval(values)
    assert min(values) <= low <= np.mean(values) <= high <= max(values)


def _verdicts(shift: float, seed: int, pairs: int, draw) -> list[str]:
    rng = np.random.default_rng(seed)
    return [decide({"b": (shift + draw(rng, pairs)).tolist()})[0].verdict for _ in range(TRIALS)]


NORMAL = lambda rng, n: rng.normal(0, 1, n)  # noqa: E731
# test errors of 360 images differ in steps of 0.28 %, and seeds now and then fail
COARSE = lambda rng, n: np.round(rng.standard_t(3, n) / 0.28) * 0.28  # noqa: E731


@pytest.mark.parametrize("pairs", [6, 8, 10])
@pytest.mark.parametrize("draw", [NORMAL, COARSE], ids=["normal", "coarse"])
def test_no_effect_is_called_one_in_at_most_5_of_100_trials(pairs, draw):
    # at a rate of exactly 5 % of 200 trials 10 are expected, and LIMIT allows for their spread; the
    # rate itself is bounded by the next test
    told = [v for v in _verdicts(0.0, 1, pairs, draw) if v in ("better", "worse")]
    assert len(told) <= LIMIT


@pytest.mark.parametrize("pairs", [6, 7, 9])
def test_the_rate_of_wrong_verdicts_is_at_most_5_percent_whatever_the_sizes(pairs):
    # under the null every sign pattern of the same sizes is as likely: go through all of them
    sizes = np.random.default_rng(pairs).gamma(1.0, 1.0, pairs)
    ps = [stats.sign_flip_p((sizes * s).tolist()) for s in product((1, -1), repeat=pairs)]
    assert np.mean(np.array(ps) <= 0.05) <= 0.05


def test_a_planted_effect_is_found_and_a_reversed_one_called_worse():
    found, reversed_ = (_verdicts(shift, 3, 8, NORMAL) for shift in (-2.0, 2.0))
    assert found.count("better") >= 0.9 * TRIALS
    assert "worse" not in found
    assert reversed_.count("worse") >= 0.9 * TRIALS
    assert "better" not in reversed_


def test_several_null_comparisons_together_are_called_an_effect_in_at_most_5_of_100_trials():
    rng = np.random.default_rng(5)
    wrong = 0
    for _ in range(TRIALS):
        compared = decide({name: rng.normal(0, 1, 9).tolist() for name in "bcd"})
        wrong += any(one.verdict in ("better", "worse") for one in compared)
    assert wrong <= LIMIT


def test_the_pairs_that_would_tell_find_the_effect_four_times_in_five():
    spread = 1.5 * np.sqrt(5 / 6)  # so that the standard deviation of a sample is 1.5
    count = stats.pairs_needed([1 - spread, 1 + spread] * 3)
    assert count is not None
    assert 18 <= count <= 22  # ((1.96 + 0.84) * 1.5)^2 + 1.92 = 19.6
    rng = np.random.default_rng(2)
    draws = rng.normal(1, 1.5, (TRIALS, count))
    power = np.mean([stats.sign_flip_p(draw) <= 0.05 for draw in draws.tolist()])
    assert 0.74 <= power <= 0.86  # 0.8, give or take two standard errors of 200 trials


def test_fewer_pairs_than_can_tell_are_too_few():
    (compared,) = decide({"b": [-5.0, -5.1, -5.2, -5.0, -4.9]})
    assert compared.sentence == "too few to tell (6 pairs are the least)"
    six = [-5.0, -5.1, -5.2, -5.0, -4.9, -5.3]
    assert decide({"b": six})[0].verdict == "better"
    # of two comparisons the least p of six pairs is 2 * 2/64
    two = decide({"b": six, "c": six})
    assert {one.sentence for one in two} == {"too few to tell (7 pairs are the least)"}
    with pytest.raises(ValueError, match="b has 1 pairs; an interval needs at least 2"):
        decide({"b": [1.0]})


def test_better_needs_the_interval_and_the_test():
    # one far outlier: nearly all differences are on one side, and the mean is not
    (compared,) = decide({"b": [-1.0] * 7 + [6.9]})
    assert compared.verdict == "cannot tell"
    assert compared.low < 0 < compared.high
