"""The search of a learning rate, on made-up ranks whose best factor is known."""

import math

import pytest

from classicnets.experiments.outcomes import DIVERGED
from classicnets.experiments.search import EDGES, FACTORS, FIRST, best_factor, factors_to_try

WORST = DIVERGED, math.inf


def tried(errors):
    """The factors in the order in which waves of runs try them, and the best of all."""
    ranks, waves = {}, []
    while missing := [factor for factor in factors_to_try(ranks) if factor not in ranks]:
        ranks |= {factor: errors(factor) for factor in missing}
        waves.append(missing)
    return waves, best_factor(ranks)


def around(best):
    """Ranks that grow with the distance from the best factor."""
    return lambda factor: (abs(math.log2(factor / best)), 1.0)


def test_a_best_inside_needs_the_first_three_only():
    assert tried(around(1.0)) == ([[0.5, 1.0, 2.0]], 1.0)


def test_a_search_walks_up_until_the_best_is_inside():
    assert tried(around(8.0)) == ([[0.5, 1.0, 2.0], [4.0], [8.0], [16.0]], 8.0)


def test_a_search_walks_down_until_the_best_is_inside():
    assert tried(around(0.25)) == ([[0.5, 1.0, 2.0], [0.25], [0.125]], 0.25)


@pytest.mark.parametrize("best", [1 / 64, 1 / 16, 16.0, 64.0])
def test_a_search_stops_at_a_limit_and_the_best_is_then_at_an_edge(best):
    waves, found = tried(around(best))
    assert found in EDGES
    assert (found > 1) == (best > 1)
    assert len(waves) == 4
    assert EDGES == (1 / 16, 16)


def test_runs_that_diverge_are_worse_than_any_other():
    waves, found = tried(lambda factor: WORST if factor > 0.25 else (90.0, 3.0))
    assert waves[:2] == [[0.5, 1.0, 2.0], [0.25]]
    assert found <= 0.25
    assert tried(lambda factor: WORST if factor > 2 else (9 - factor, 1.0))[1] == 2.0


def test_the_loss_decides_between_equal_errors():
    assert tried(lambda factor: (90.0, abs(factor - 1)))[1] == 1.0


def test_what_is_tried_follows_from_the_ranks_in_whatever_order_they_came():
    ranks = {factor: around(4.0)(factor) for factor in FACTORS}
    assert factors_to_try(dict(reversed(ranks.items()))) == (*FIRST, 4.0, 8.0)
    assert best_factor({}) == 1.0
