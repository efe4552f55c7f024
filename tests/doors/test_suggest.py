"""The verb suggest: ranked moves within a budget, one applied, and what is refused."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import classicnets as cn
from classicnets.api.recipe_moves import RECIPE_MOVES
from classicnets.api.recipes import resolve_network
from classicnets.designs.moves import MOVES
from classicnets.training.recipe.overrides import override

# 5x5 of 8 maps, 1,608 parameters; two of 3x3 have 1,168. The fully connected layer has 5,130
MINE = """\
# mine
every conv: relu

[16x16x3] input
conv1: 8 3x3 filters, pad 1  # first
conv2: 8 5x5 filters, pad 2
pool2: 2x2 max pool at stride 2
fc3: 10 neurons
"""
TOTAL = (3 * 8 * 9 + 8) + (25 * 64 + 8) + (64 * 8 * 10 + 10)


@pytest.fixture
def mine(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.net"
    path.write_text(MINE)
    return path


def test_moves_are_ranked_and_those_beyond_the_budget_stand_apart(run_cli, mine):
    done = run_cli("suggest", "mine.net", "--json", "--max-params", "6.6K")
    assert done.status == 0, done.err
    found = json.loads(done.out)
    assert found["before"]["params"] == TOTAL
    params = [move["params"] for move in found["moves"]]
    assert params == sorted(params)
    assert max(params) <= 6600 < min(move["params"] for move in found["beyond_budget"])
    names = [move["move"] for key in ("moves", "beyond_budget") for move in found[key]]
    others = [move["move"] for key in ("recipe", "not_applicable") for move in found[key]]
    assert sorted(names + others) == sorted(m.name for m in (*MOVES, *RECIPE_MOVES))
    two = next(move for move in found["moves"] if move["move"] == "two-3x3")
    assert (two["params"], two["places"], two["from"]) == (
        TOTAL - 440,
        ["conv2"],
        "VGG, section 2.3",
    )
    lines = [(change["sign"], change["line"]) for change in two["changes"]]
    assert lines == [
        ("-", "[16x16x8] conv2: 8 5x5 filters, pad 2"),
        ("+", "[16x16x8] conv2_1: 8 3x3 filters, pad 1"),
        ("+", "[16x16x8] conv2_2: 8 3x3 filters, pad 1"),
    ]


@pytest.mark.parametrize(
    ("by", "figure", "sign"),
    [("macs", "macs", 1), ("memory", "memory", 1), ("receptive-field", "receptive_field", -1)],
)
def test_each_figure_ranks(mine, by, figure, sign):
    found = cn.suggest("mine.net", by=by, max_macs=10**9, max_memory="1GB", batch=4)
    values = [sign * getattr(each.after, figure) for each in found.moves]
    assert values == sorted(values)
    assert not found.beyond


def test_multiply_adds_are_for_one_image_and_memory_for_the_batch(mine):
    one, four = (cn.suggest("mine.net", at="conv2", batch=n).before for n in (1, 4))
    assert one.macs == four.macs == 256 * (27 * 8 + 25 * 64) + 64 * 8 * 10
    assert four.memory > one.memory
    weights = 4 * TOTAL * 3  # with gradients and momentum
    assert four.memory - weights == 4 * (one.memory - weights)


def test_a_move_is_written_to_a_new_file_and_the_old_one_stays(run_cli, mine):
    done = run_cli("suggest", "mine.net", "--apply", "two-3x3", "--at", "conv2", "--out", "new.net")
    assert done.status == 0, done.err
    assert done.out.startswith("two-3x3 at conv2: VGG, section 2.3\n")
    assert "+  [16x16x8] conv2_2: 8 3x3 filters, pad 1" in done.out
    assert done.out.splitlines()[-1].startswith("new.net: written; next: ")
    assert cn.show("new.net").totals.params == TOTAL - 440
    assert Path("new.net").read_text().startswith("# mine\n# two-3x3 at conv2: VGG, section 2.3\n")
    assert mine.read_text() == MINE
    before = Path("new.net").read_bytes()
    again = run_cli("suggest", "mine.net", "--apply", "relu", "--out", "new.net")
    assert (again.status, Path("new.net").read_bytes()) == (2, before)
    Path("new.net").write_text("older")
    words = ("--apply", "two-3x3", "--at", "conv2", "--out", "new.net", "--exist-ok")
    assert run_cli("suggest", "mine.net", *words).status == 0
    assert Path("new.net").read_bytes() == before


def test_a_long_search_says_how_far_it_is(run_cli, mine, monkeypatch):
    monkeypatch.setattr("classicnets.cli.progress.EVERY", 0)
    done = run_cli("suggest", "mine.net", "--json")
    assert f"moves of mine.net: 3 of {len(MOVES)}\n" in done.err
    assert json.loads(done.out)["moves"]


def test_all_says_what_the_others_look_for(run_cli, mine):
    said = "three-3x3 does not apply here: it looks for a convolution of 7x7"
    few, every = (run_cli("suggest", "mine.net", *more).out for more in ((), ("--all",)))
    assert said not in few
    assert "moves do not apply here; --all says what each looks for" in few
    assert said in every
    assert said in repr(cn.suggest("mine.net"))


def test_a_warning_about_the_design_is_printed(run_cli, mine):
    err = run_cli("suggest", "mine.net", "--at", "conv2").err
    assert err == "classicnets: warning: fc3 holds 74 % of the parameters\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["mine.net", "--apply", "two3x3"], "no move 'two3x3'; did you mean two-3x3"),
        (
            ["mine.net", "--apply", "three-3x3"],
            "three-3x3 does not apply here: it looks for a conv",
        ),
        (
            ["mine.net", "--apply", "two-3x3", "--at", "conv1"],
            "two-3x3 does not apply at conv1: it looks for a convolution of 5x5; it would apply at "
            "conv2\n",
        ),
        (
            ["mine.net", "--apply", "two-3x3", "--at", "conv9"],
            "no layer 'conv9' in the network; did you mean conv2 or conv1?",
        ),
        (["mine.net", "--at", "conv9"], "no layer 'conv9' in the network; did you mean"),
        (
            ["mine.net", "--apply", "step-schedule"],
            "step-schedule changes the recipe, not the design; `suggest` prints its value for",
        ),
        (["mine.net", "--max-params", "many"], "max-params is a number, such as 800000, 800K,"),
        (["mine.net", "--max-macs", "-1"], "max-macs must be more than 0, such as 800000, 800K,"),
        (["mine.net", "--max-memory", "2 kg"], "memory is a number and a unit, such as 8GB"),
        (
            ["mine.net", "--by", "speed"],
            "cannot rank by 'speed'; choose from params, macs, memory,",
        ),
        (["mine.net", "--batch", "0"], "batch must be at least 1, not 0"),
        (["mine.net", "--input", "3x8x8"], "mine.net is for images of [16x16x3], not [8x8x3]; "),
        (
            ["mine.net", "--seeds", "3"],
            "--seeds is for the measurement of moves; it goes with --measure",
        ),
        (
            ["mine.net", "--moves", "relu"],
            "--moves is for the measurement of moves; it goes with --measure",
        ),
        (
            ["mine.net", "--measure", "--apply", "two-3x3"],
            "--apply and --measure exclude each other; give one",
        ),
        (
            ["mine.net", "--measure", "--moves", "three-3x3,batch-norm"],
            "three-3x3 does not apply here: it looks for a convolution of 7x7",
        ),
        (["mine.net", "--out", "b.net"], "--out goes with --apply MOVE, whose design it writes"),
        (
            ["mine.net", "--apply", "two-3x3", "--by", "macs"],
            "--by is for the list of moves; leave it out with --apply",
        ),
        (
            ["mine.net", "--apply", "two-3x3", "--out", "b.txt"],
            "a design's file ends in .net, not 'b.txt'",
        ),
        (
            ["mine.net", "--apply", "two-3x3", "--out", "mine.net"],
            "mine.net exists; name a new file, or add --exist-ok to replace it",
        ),
        (
            ["mine.net", "--apply", "two-3x3", "--out", "nowhere/b.net"],
            "no such folder: nowhere",
        ),
        (
            ["mine.net", "--apply", "two-3x3", "--exist-ok"],
            "--exist-ok goes with --apply MOVE --out FILE.net, whose file it replaces",
        ),
        (["nope"], "no network 'nope'"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(run_cli, mine, words, message):
    done = run_cli("suggest", *words)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"classicnets: {message}")
    assert done.err.count("\n") == 1
    assert [path.name for path in mine.parent.iterdir()] == ["mine.net"]
    assert mine.read_text() == MINE


def test_moves_are_measured_with_the_cost_first_and_the_report_last(run_cli, mine):
    mine.write_text(MINE.replace("16x16x3", "16x16x1"))
    words = ["--measure", "--moves", "two-3x3,weight-decay-0.0001", "--set", "size=16"]
    words += ["--epochs", 1, "--seeds", 2, "--no-lr-search", "--processes", 1, "--out", "exp"]
    done = run_cli("suggest", "mine.net", *words)
    assert done.status == 0, done.err
    first, *_, last = done.out.splitlines()
    assert first.endswith("the first is the baseline: mine.net, two-3x3, weight-decay-0.0001")
    assert last == "report: exp/report.html"
    content = json.loads(run_cli("suggest", "mine.net", *words, "--json").out)
    assert [one["variant"] for one in content["comparisons"]] == ["two-3x3", "weight-decay-0.0001"]


def test_a_module_that_no_design_can_hold_is_named(run_cli, mine):
    code = "from torch import nn\ndef net(classes=2, channels=3):\n"
    code += (
        "    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.Flatten(), nn.Linear(4, 2))\n"
    )
    mine.with_name("own.py").write_text(code)
    done = run_cli("suggest", "own.py:net", "--input", "3x3x3")
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "1 is GELU(approximate='none'), which a design cannot hold" in done.err


def test_a_module_of_ones_own_is_taken_with_its_size():
    layers = [nn.Conv2d(1, 4, 5), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 64, 3)]
    found = cn.apply_move(nn.Sequential(*layers), "global-average", size=(1, 12, 12))
    assert found.before.params - found.after.params == 63 * 4 * 3
    assert found.design.endswith("[3]        3: 3 neurons\n")
    with pytest.raises(ValueError, match="a module needs the size of one image"):
        cn.suggest(nn.Sequential(*layers))


@pytest.mark.parametrize("name", ["alexnet", "resnet20", "lenet5"])
def test_a_recipe_takes_what_its_moves_set(name):
    recipe = resolve_network(name, "").recipe
    found = cn.suggest(name, max_params=1).recipe
    assert found
    for move, values in found:
        changed = override(recipe, values)
        assert all(getattr(changed, n.partition(".")[0]) for n in values)
        assert changed != recipe, move.name


def test_a_head_aside_brings_the_move_of_its_loss(mine):
    mine.write_text(MINE.replace("2x2 max", "3x3 max"))
    with_head = cn.apply_move("mine.net", "auxiliary-head")
    with_head.save("head.net")
    found = {move.name: values for move, values in cn.suggest("head.net").recipe}
    assert found["auxiliary-loss"] == {"loss": "WithAuxiliaries(weight=0.3)"}
    assert "auxiliary-loss" not in {move.name for move, _ in cn.suggest("mine.net").recipe}
    scores = cn.build("head.net", classes=4).train()(torch.rand(2, 3, 16, 16))
    assert [tuple(each.shape) for each in scores] == [(2, 4), (2, 4)]
