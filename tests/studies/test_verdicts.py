"""The verdicts of studies on made-up data: where the effect is there, absent, or reversed."""

import random

import pytest
from scipy.stats import binom

from classicnets.studies.lab import conclude
from classicnets.studies.verdicts import (
    CANNOT_TELL,
    CONFIRMED,
    CORRECTED,
    HIGHER,
    LOWER,
    PARTLY,
    at_most,
    effects,
    equal,
    guarded,
    holding,
    learnt_nothing,
    near,
    no_higher,
    require_pairs,
    same,
    together,
)

rng = random.Random(0)
NOISE = [rng.gauss(0, 1) for _ in range(8)]
DOWN, UP = [x - 5 for x in NOISE], [x + 5 for x in NOISE]
ABSENT = [1.0, -1.1, 0.9, -0.8, 1.2, -1.3, 0.7, -0.6]
SMALL = [x / 100 for x in NOISE]


@pytest.mark.parametrize(
    ("expected", "differences", "verdict"),
    [
        (LOWER, DOWN, CONFIRMED),
        (LOWER, UP, CORRECTED),
        (LOWER, ABSENT, CANNOT_TELL),
        (HIGHER, UP, CONFIRMED),
        (HIGHER, DOWN, CORRECTED),
        (HIGHER, ABSENT, CANNOT_TELL),
        (same(0.5), SMALL, CONFIRMED),
        (same(0.5), UP, CORRECTED),
        (same(0.5), DOWN, CORRECTED),
        (same(0.5), ABSENT, CANNOT_TELL),  # no effect, but the interval is wider than the margin
        (no_higher(0.5), DOWN, CONFIRMED),
        (no_higher(0.5), SMALL, CONFIRMED),
        (no_higher(0.5), UP, CORRECTED),
        (no_higher(0.5), ABSENT, CANNOT_TELL),
        (same(0.5), [0.45 + x for x in SMALL], CONFIRMED),
    ],
)
def test_one_comparison(expected, differences, verdict):
    found, each, _ = effects({"b - a": differences}, {"b - a": expected})
    assert found == verdict
    assert each == {"b - a": verdict}


@pytest.mark.parametrize(
    ("expected", "differences", "rests_on"),  # the network, first or second, whose value is high
    [
        (LOWER, DOWN, "first"),
        (LOWER, UP, "second"),
        (HIGHER, UP, "second"),
        (HIGHER, DOWN, "first"),
        (same(0.5), SMALL, "both"),
        (same(0.5), UP, "second"),
        (same(0.5), DOWN, "first"),
        (no_higher(0.5), SMALL, "first"),
        (no_higher(0.5), UP, "second"),
    ],
)
def test_no_verdict_rests_on_a_network_whose_learning_rate_is_at_the_edge(
    expected, differences, rests_on
):
    decided = effects({"b - a": differences}, {"b - a": expected})[0]
    assert decided != CANNOT_TELL
    for first_is_tuned, second_is_tuned in ((False, True), (True, False), (False, False)):
        found, each, _ = effects(
            {"b - a": differences},
            {"b - a": expected},
            {"b - a": (first_is_tuned, second_is_tuned)},
        )
        tuned = {"first": first_is_tuned, "second": second_is_tuned}
        stands = all(tuned.values()) if rests_on == "both" else tuned[rests_on]
        assert found == each["b - a"] == (decided if stands else CANNOT_TELL)


def test_several_comparisons_are_decided_together_and_corrected_for_their_number():
    differences = {"b - a": DOWN, "c - a": ABSENT}
    verdict, each, found = effects(differences, dict.fromkeys(differences, LOWER))
    assert verdict == PARTLY
    assert each == {"b - a": CONFIRMED, "c - a": CANNOT_TELL}
    assert found[0].adjusted_p == pytest.approx(2 * 2 / 2**8)  # eight of one sign, Holm for two


def test_too_few_pairs_give_no_verdict_but_a_sentence():
    with pytest.raises(ValueError, match="verdict needs at least 6 seeds, not 5"):
        effects({"b - a": DOWN[:5]}, {"b - a": LOWER})
    with pytest.raises(ValueError, match=r"x makes 2 comparisons, .* at least 7 seeds, not 6"):
        require_pairs(6, 2, "x")
    require_pairs(6, 1)


def test_a_limit_is_kept_exceeded_or_within_the_spread():
    assert at_most(3, DOWN) == CONFIRMED
    assert at_most(3, UP) == CORRECTED
    assert at_most(0, ABSENT) == CANNOT_TELL


def test_exact_claims():
    assert equal([1, 2], [1, 2]) == CONFIRMED
    assert equal(5, 7) == CORRECTED
    assert near(100, 101.9, 2) == CONFIRMED
    assert near(100, 102.1, 2) == CORRECTED
    parts = ([True, True], [True, False], [False, False])
    assert [holding(x) for x in parts] == [CONFIRMED, PARTLY, CORRECTED]


@pytest.mark.parametrize(
    ("parts", "verdict"),
    [
        ([CONFIRMED, CONFIRMED], CONFIRMED),
        ([CONFIRMED, CORRECTED], PARTLY),
        ([CONFIRMED, CANNOT_TELL], PARTLY),
        ([CORRECTED, CANNOT_TELL], CORRECTED),
        ([CANNOT_TELL, CANNOT_TELL], CANNOT_TELL),
    ],
)
def test_the_parts_of_a_claim(parts, verdict):
    assert together(parts) == together(parts[::-1]) == verdict


def test_a_finding_says_each_difference_with_its_interval():
    values = {"a": [10.0 + x for x in SMALL], "b": [5.0 + x / 2 for x in SMALL]}
    found = conclude(values, {("a", "b"): LOWER}, "test error, points", {"b": 6.0})
    assert found.verdict == CONFIRMED
    assert found.answer.startswith("b - a: -5.00 (-5.0")
    assert "b: 5.00, at most 6 confirmed" in found.answer
    assert conclude(values, {("a", "b"): LOWER}, "x", {"b": 4.0}).verdict == PARTLY


def test_a_difference_is_called_lower_by_the_test_and_not_by_its_own_interval():
    # of 64 patterns of signs, four have a sum as large as 24: p is 0.0625
    values = {"a": [10.0] * 6, "b": [5.0] * 5 + [11.0]}
    (_, _, (found,)) = effects({"b - a": [-5.0] * 5 + [1.0]}, {"b - a": LOWER})
    assert found.high < 0
    assert found.p == pytest.approx(4 / 64)
    answer = conclude(values, {("a", "b"): LOWER}, "test error, points").answer
    assert answer.endswith("), not distinguishable")


def test_a_finding_names_the_networks_whose_learning_rate_is_at_the_edge():
    values = {"a": [10.0 + x for x in SMALL], "b": [5.0 + x / 2 for x in SMALL]}
    found = conclude(values, {("a", "b"): LOWER}, "test error, points", edge={"a"})
    assert found.verdict == CANNOT_TELL
    assert (
        "lower, not distinguishable (learning rate at the edge of those tried: a)" in found.answer
    )
    found = conclude(values, {("a", "b"): LOWER}, "test error, points", edge={"b"})
    assert found.verdict == CONFIRMED


@pytest.mark.parametrize("images", [100, 359, 10_000])
@pytest.mark.parametrize("chance", [50.0, 75.0, 89.7])
def test_as_few_errors_as_one_guess_in_a_thousand_makes_are_the_least_of_guessing(chance, images):
    seldom, hardly_ever = (
        100 * float(binom.ppf(p, images, chance / 100)) / images for p in (0.005, 1e-5)
    )
    assert learnt_nothing([seldom] * 6, chance, images)
    assert not learnt_nothing([hardly_ever] * 6, chance, images)


@pytest.mark.parametrize(
    ("errors", "nothing"),
    [
        ([90.0] * 6, True),
        ([100.0, 88.0, 91.5, 3.0, 2.0, 4.0], True),  # half of the runs, one diverged
        ([90.0, 90.0, 3.0, 2.0, 4.0, 5.0], False),
        ([75.5, 65.5, 58.2, 55.7, 51.0, 50.4], False),  # bad, but something was learnt
    ],
)
def test_a_network_has_learnt_nothing_where_half_of_its_runs_guess(errors, nothing):
    assert learnt_nothing(errors, 90, 359) is nothing


GUESSES = [90.0 + x for x in SMALL]


@pytest.mark.parametrize(
    ("expected", "good", "decided"),
    [
        (LOWER, "b", CONFIRMED),
        (LOWER, "a", CORRECTED),
        (HIGHER, "a", CONFIRMED),
        (HIGHER, "b", CORRECTED),
        (same(0.5), "a", CORRECTED),
        (no_higher(0.5), "b", CONFIRMED),
        (same(0.5), "", CONFIRMED),  # both guess, equally well
    ],
)
def test_nothing_is_decided_by_a_network_that_has_learnt_nothing(expected, good, decided):
    values = {name: [5.0 + x for x in SMALL] if name == good else GUESSES for name in "ab"}
    found = conclude(values, {("a", "b"): expected}, "test error, points")
    assert found.verdict == decided
    failed = [name for name, errors in values.items() if learnt_nothing(errors, 90, 359)]
    assert failed == [name for name in "ab" if name != good]
    found = conclude(values, {("a", "b"): expected}, "test error, points", failed=failed)
    assert found.verdict == CANNOT_TELL
    assert f"{', '.join(failed)}: learnt nothing" in found.answer
    assert "confirmed" not in found.answer
    assert "corrected" not in found.answer


def test_what_other_networks_have_shown_holds_in_part_and_no_limit_counts_of_one_that_guesses():
    good = {name: [level + x for x in SMALL] for name, level in (("a", 20.0), ("b", 10.0))}
    values, expected = {**good, "c": GUESSES}, {("a", "b"): LOWER, ("a", "c"): LOWER}
    assert conclude(values, expected, "x").verdict == PARTLY
    found = conclude(values, expected, "x", {"c": 50.0}, failed={"c"})
    assert found.verdict == PARTLY
    assert "c: 90.00, at most 50 not distinguishable" in found.answer
    expected = {("a", "b"): HIGHER, ("a", "c"): LOWER}
    assert conclude(values, expected, "x").verdict == CORRECTED
    assert conclude(values, expected, "x", failed={"c"}).verdict == CANNOT_TELL
    assert guarded(PARTLY, {"c"}) == PARTLY
    assert guarded(CONFIRMED, ()) == CONFIRMED
