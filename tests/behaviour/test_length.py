"""How long a run lasts: it stops when it no longer gets better, and is extended when asked."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import classicnets as cn
from classicnets.api.train import Training
from classicnets.data.synthetic import shapes
from classicnets.recipes.fast import fast
from classicnets.training.recipe import Constant, OneCycle, Polyak, Recipe
from classicnets.training.recipe.overrides import override
from classicnets.training.run.directory import open_run

DATA = shapes(60, side=16)  # 42 images for training: three steps an epoch
PLAIN = replace(fast(16), epochs=2, batch=16, lr=Constant(0.02))
STILL = replace(PLAIN, epochs=9, lr=Constant(0.0), patience=2, average=None)  # it never gets better


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(196, 4)
    )


def begin(out: Path, recipe: Recipe = PLAIN, steps: int | None = None) -> Training:
    """A run, finished, or stopped and saved after so many steps."""
    training = cn.train(net(), DATA, recipe, out=out)
    for record in training:
        if record.step == steps:
            training.save()
            break
    return training


def extend(out: Path, epochs: int | None = None) -> Training:
    training = cn.resume(out, net(), DATA, epochs=epochs)
    training.finish()
    return training


def notes(out: Path) -> dict:
    return json.loads((out / "run.json").read_text())


def rows(out: Path) -> list[list[str]]:
    """The metrics, but for what depends on the clock."""
    return [line.split(",")[:8] for line in (out / "metrics.csv").read_text().splitlines()]


def same_state(a: Path, b: Path) -> bool:
    states = [torch.load(path / "last.pt", weights_only=True) for path in (a, b)]
    return str(states[0]) == str(states[1]) and all(
        torch.equal(value, states[1]["network"][name])
        for name, value in states[0]["network"].items()
    )


# --- patience


def test_training_ends_after_so_many_epochs_without_a_better_validation(tmp_path):
    training = begin(tmp_path / "run", STILL)
    assert [row[:2] for row in rows(tmp_path / "run")[1:]] == [["1", "3"], ["2", "6"], ["3", "9"]]
    sentence = (
        "no better validation in 2 epochs, the patience of the recipe: stopped after epoch 3 of 9, "
        "the best was 1"
    )
    assert training.stopped_early == sentence
    assert notes(tmp_path / "run")["stopped_early"] == sentence
    assert training.test is not None


def test_a_run_that_gets_better_or_ends_in_time_is_not_stopped(tmp_path):
    training = begin(tmp_path / "run", replace(PLAIN, patience=2))
    assert len(rows(tmp_path / "run")) == 1 + 2
    assert training.stopped_early == ""
    assert "stopped_early" not in notes(tmp_path / "run")


def test_patience_leaves_the_schedule_as_it_is(tmp_path):
    cycle = replace(STILL, lr=OneCycle(1e-30))  # too little to change a weight
    begin(tmp_path / "patient", cycle)
    begin(tmp_path / "whole", replace(cycle, patience=None, epochs=9))
    assert rows(tmp_path / "patient") == rows(tmp_path / "whole")[:4]


@pytest.mark.parametrize("steps", [4, 6, 8])
def test_epochs_without_a_better_validation_are_counted_over_a_stop(tmp_path, steps):
    begin(tmp_path / "whole", STILL)
    begin(tmp_path / "run", STILL, steps)
    extend(tmp_path / "run")
    assert rows(tmp_path / "run") == rows(tmp_path / "whole")
    assert same_state(tmp_path / "run", tmp_path / "whole")
    assert notes(tmp_path / "run")["stopped_early"] == notes(tmp_path / "whole")["stopped_early"]


def test_a_run_that_was_stopped_has_nothing_left_and_is_extended_with_new_patience(tmp_path):
    begin(tmp_path / "run", STILL)
    assert extend(tmp_path / "run").state.step == 9  # nothing was left
    again = cn.resume(tmp_path / "run", net(), DATA, epochs=9)
    assert again.adapted is not None
    assert again.adapted["epochs"].startswith("9 in all, after it stopped early; the schedule")
    assert "stopped_early" not in notes(tmp_path / "run")
    del again  # killed before its first step: what was asked for stays
    assert extend(tmp_path / "run").state.step == 15
    assert notes(tmp_path / "run")["stopped_early"].endswith("after epoch 5 of 9, the best was 1")


@pytest.mark.parametrize("patience", [0, -1, 1.5, "x"])
def test_an_impossible_patience_is_refused(patience):
    with pytest.raises(ValueError, match=r"patience (must be|cannot be)"):
        override(PLAIN, {"patience": str(patience)})


# --- extending


@pytest.mark.parametrize("steps", [None, 6, 4, 1])  # finished, or stopped
def test_a_run_of_constant_lr_that_is_extended_equals_one_of_that_length(tmp_path, steps):
    begin(tmp_path / "whole", replace(PLAIN, epochs=4))
    begin(tmp_path / "run", PLAIN, steps)
    extend(tmp_path / "run", 4)
    weights = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("run", "whole")]
    assert weights[0] == weights[1]
    assert rows(tmp_path / "run") == rows(tmp_path / "whole")
    assert same_state(tmp_path / "run", tmp_path / "whole")
    run, whole = notes(tmp_path / "run"), notes(tmp_path / "whole")
    assert run["extended"] == [{"step": steps or 6, "from_steps": 6, "to_steps": 12}]
    assert run["recipe"] == whole["recipe"]
    assert run["test"]["confusion"] == whole["test"]["confusion"]
    assert sorted(run["differences"]) == sorted(whole["differences"])


def test_an_average_that_would_not_have_begun_yet_begins_anew(tmp_path):
    recipe = replace(PLAIN, average=Polyak(since=0.5))
    whole = begin(tmp_path / "whole", replace(recipe, epochs=4))
    begin(tmp_path / "run", recipe)
    longer = extend(tmp_path / "run", 4)
    assert whole.state.average is not None
    assert longer.state.average is not None
    ours, theirs = (t.state.average.state_dict() for t in (longer, whole))
    for name, value in theirs.items():
        assert torch.equal(ours[name], value), name


def test_the_schedule_spans_the_new_length_and_is_reported(tmp_path):
    recipe = replace(PLAIN, lr=OneCycle(0.02))
    begin(tmp_path / "run", recipe)
    training = cn.resume(tmp_path / "run", net(), DATA, epochs=5)
    first, last = OneCycle(0.02)(6 / 15), OneCycle(0.02)(5 / 6)
    assert training.adapted == {
        "epochs": "5 in all, 2 before; the schedule spans all of them, and the learning rate goes "
        f"on with {first:.4g} after {last:.4g}"
    }
    for record in training:
        assert record.lr == OneCycle(0.02)((record.step - 1) / 15)
        assert (record.epochs, record.steps) == (5, 15)


@pytest.mark.parametrize(("steps", "least"), [(None, 2), (4, 2), (3, 1)])
def test_fewer_epochs_than_are_done_are_refused_and_nothing_changes(tmp_path, steps, least):
    out = tmp_path / "run"
    begin(out, PLAIN, steps)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    for epochs in range(least):
        words = f"epochs must be .*at least {max(least, 1) if epochs else 1}.*, not {epochs}"
        with pytest.raises(ValueError, match=words):
            cn.resume(out, net(), DATA, epochs=epochs)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    if steps:  # it may end where it stands
        assert extend(out, least).state.step == 3 * least


def test_a_length_in_steps_that_ends_within_an_epoch_is_extended_without_a_gap(tmp_path):
    recipe = replace(PLAIN, epochs=None, steps=4)
    begin(tmp_path / "run", recipe)
    begin(tmp_path / "whole", replace(PLAIN, epochs=3))
    extend(tmp_path / "run", 3)
    assert [row[:2] for row in rows(tmp_path / "run")[1:]] == [["1", "3"], ["2", "6"], ["3", "9"]]
    assert rows(tmp_path / "run") == rows(tmp_path / "whole")
    assert open_run(tmp_path / "run").config.recipe.steps is None


def test_a_run_can_be_extended_again_and_stays_readable(tmp_path):
    begin(tmp_path / "run")
    for epochs in (3, 4):
        extend(tmp_path / "run", epochs)
    assert [one["to_steps"] for one in notes(tmp_path / "run")["extended"]] == [9, 12]
    assert extend(tmp_path / "run", 4).state.step == 12
    assert len(notes(tmp_path / "run")["extended"]) == 2


def test_a_recipe_of_your_own_is_extended_too(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from dataclasses import replace\n"
        "from classicnets.recipes.fast import fast\n"
        "from classicnets.training.recipe import Constant\n"
        "class Mine(Constant):\n"
        "    pass\n"
        "MINE = replace(fast(16), epochs=2, batch=16, lr=Mine(0.01))\n"
    )
    cn.train(net(), DATA, str(file), out=tmp_path / "run", overrides={"epochs": "1"}).finish()
    longer = cn.resume(tmp_path / "run", net(), DATA, recipe=str(file), epochs=2)
    longer.finish()
    assert longer.state.step == 6
    assert cn.resume(tmp_path / "run", net(), DATA, recipe=str(file)).state.step == 6


def test_a_checkpoint_of_an_older_version_can_be_resumed(tmp_path):
    """It knows nothing of patience, class weights or samplers, and it fixed the length."""
    begin(tmp_path / "run", PLAIN, 4)
    path = tmp_path / "run" / "last.pt"
    content = torch.load(path, weights_only=True)
    del content["waited"]
    fixed = json.loads(content["fixed"])
    new = ("recipe.patience", "recipe.class_weights", "recipe.sampler", "class_weights")
    fixed = {name: value for name, value in fixed.items() if name not in new} | {"recipe.epochs": 2}
    torch.save(content | {"fixed": json.dumps(fixed)}, path)
    assert extend(tmp_path / "run").state.step == 6
