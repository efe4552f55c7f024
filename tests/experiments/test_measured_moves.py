"""The papers' moves, measured: a network against itself after each of them."""

import json
import re

import pytest

import classicnets as cn

# 5x5 of 8 maps, 1,608 parameters; two of 3x3 have 584 each
NET = """every conv: relu

[16x16x1] input
[8x8x8]   conv1: 8 3x3 filters at stride 2, pad 1
[8x8x8]   conv2: 8 5x5 filters, pad 2
[10]      fc3: 10 neurons
"""
BEFORE = (9 * 8 + 8) + (25 * 64 + 8) + (64 * 8 * 10 + 10)
AFTER = BEFORE - 1608 + 2 * 584
MACS = 64 * (9 * 8 + 25 * 64) + 64 * 8 * 10
SHORT = {"epochs": 1, "seeds": 2, "search_lr": False, "processes": 1}
MOVES = ["two-3x3", "weight-decay-0.0001"]


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    path = tmp_path_factory.mktemp("moves") / "mine.net"
    path.write_text(NET)
    return path


@pytest.fixture(scope="module")
def measured(network, tmp_path_factory):
    """The directory and the report of two moves, one of them of the recipe."""
    out = tmp_path_factory.mktemp("measured") / "exp"
    return out, cn.suggest(str(network)).measure("digits", MOVES, {"size": 16}, out=out, **SHORT)


def test_the_designs_and_the_recipes_with_a_move_are_compared_with_the_network(measured, network):
    out, found = measured
    report = found.finish()
    assert [row.variant for row in report.rows] == [str(network), *MOVES]
    assert sorted(path.name for path in (out / "designs").iterdir()) == ["mine.net", "two-3x3.net"]
    assert cn.show(str(out / "designs/two-3x3.net")).totals.params == AFTER
    assert [row.parameters for row in report.rows] == [BEFORE, AFTER, BEFORE]
    decays = [v.recipe["optimizer"]["weight_decay"] for v in found.plan.variants]
    assert decays[0] == decays[1] != decays[2] == 1e-4
    assert [c.verdict for c in report.comparisons] == ["too few to tell"] * 2
    assert {c.pairs_needed for c in report.comparisons} == {7}  # of two, by Holm's correction


def test_what_a_move_costs_stands_beside_what_it_brings(measured):
    _, found = measured
    report = found.finish()
    fewer = f"{AFTER / BEFORE - 1:+.1%}".replace("%", " %")
    macs = f"{(MACS - 64 * (1600 - 2 * 576)) / MACS - 1:+.1%}".replace("%", " %")
    lines = [re.split("  +", line) for line in report.text().splitlines()]
    (changed,) = [line for line in lines if line[0] == "two-3x3" and fewer in line]
    assert macs in changed
    (same,) = [
        line for line in lines if line[0] == MOVES[1] and "same" in [w.strip() for w in line]
    ]
    assert [word.strip() for word in same].count("same") == 2
    costs = [one["costs"] for one in json.loads(report.json())["comparisons"]]
    assert costs[0]["parameters"] == AFTER / BEFORE
    assert costs[0]["macs"] == pytest.approx(1 - 64 * 448 / MACS)
    assert costs[1] == {"parameters": 1, "macs": 1}


def test_the_same_call_goes_on_and_trains_nothing_again(measured, network):
    out, found = measured
    found.finish()
    (out / "designs/two-3x3.net").write_text("spoilt")  # what is read is the plan
    again = cn.suggest(str(network)).measure("digits", MOVES, {"size": 16}, out=out, **SHORT)
    assert list(again) == []
    assert cn.show(str(out / "designs/two-3x3.net")).totals.params == AFTER
    network.with_name("copy").mkdir()
    other = network.with_name("copy") / "mine.net"
    other.write_text(
        NET.replace("conv2: 8 5x5", "conv2: 6 5x5").replace("8x8x8]   conv2", "8x8x6]   conv2")
    )
    with pytest.raises(ValueError, match=r"holds another experiment: of .*mine\.net"):
        cn.suggest(str(other)).measure("digits", MOVES, {"size": 16}, out=out, **SHORT)


def test_all_moves_within_the_budget_are_measured_unless_some_are_named(network, tmp_path):
    within = cn.suggest(str(network), max_params=BEFORE)
    found = within.measure(overrides={"size": 16}, out=tmp_path / "exp", **SHORT)
    names = found.plan.names[1:]
    designs = [one.move.name for one in within.moves]
    assert names[: len(designs)] == designs
    assert {"step-schedule", "scale-jitter"} <= set(names[len(designs) :])
    beyond = within.beyond[0].move.name
    assert beyond not in names
    named = within.measure(moves=[beyond], overrides={"size": 16}, out=tmp_path / "named", **SHORT)
    assert named.plan.names[1:] == [beyond]


@pytest.mark.parametrize(
    ("moves", "overrides", "message"),
    [
        (["two3x3"], {}, "no move 'two3x3'; did you mean two-3x3 or three-3x3"),
        (["three-3x3"], {}, "three-3x3 does not apply here: it looks for a convolution of 7x7"),
        (["colour-noise"], {}, "colour-noise does not apply here: it looks for images of three"),
        (MOVES, {"batch": "16,32"}, "batch has 2 values; moves are measured with one, and"),
    ],
)
def test_what_cannot_be_measured_is_refused_and_nothing_is_written(
    network, tmp_path, moves, overrides, message
):
    with pytest.raises(ValueError, match=message):
        cn.suggest(str(network)).measure("digits", moves, overrides, out=tmp_path / "e", **SHORT)
    assert not (tmp_path / "e").exists()


def test_at_a_layer_where_a_move_does_not_stand_the_message_says_where_it_would(network, tmp_path):
    with pytest.raises(ValueError, match=r"not apply at conv1: .* 5x5; it would apply at conv2"):
        cn.suggest(str(network), at="conv1").measure(moves=["two-3x3"], out=tmp_path / "e")


def test_no_move_within_the_budget_is_one_sentence(network, tmp_path):
    with pytest.raises(ValueError, match=r"a budget of 1 ms allows no comparison: 2 seeds take"):
        cn.suggest(str(network)).measure(moves=MOVES, budget=0.001, out=tmp_path / "e", epochs=1)
    assert not (tmp_path / "e").exists()


def test_a_move_that_changes_nothing_on_these_data_is_left_out_unless_it_is_named(
    network, tmp_path
):
    colour = tmp_path / "colour.net"  # grey images get no colour noise
    colour.write_text(NET.replace("16x16x1", "16x16x3"))
    found = cn.suggest(str(colour), max_params=1)
    assert "colour-noise" in [move.name for move, _ in found.recipe]
    planned = found.measure(overrides={"size": 16}, out=tmp_path / "exp", **SHORT).plan.names
    assert "weight-decay-0.0001" in planned
    assert "colour-noise" not in planned
    with pytest.raises(ValueError, match=r"colour\.net and colour-noise are the same variant"):
        found.measure(moves=["colour-noise"], overrides={"size": 16}, out=tmp_path / "e", **SHORT)
