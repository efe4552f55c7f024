"""The verb recipe, recipes in your own files, and how the verb train changes a recipe."""

import json
import os
from dataclasses import fields, replace
from pathlib import Path

import pytest

from classicnets import catalog
from classicnets.api.recipes import load_recipe
from classicnets.cli.report import print_introduction
from classicnets.recipes.alexnet import IMAGENET
from classicnets.recipes.lenet import DIGITS
from classicnets.training.recipe.overrides import override
from classicnets.training.recipe.recipe import ABOUT_PAPER, Recipe


@pytest.fixture
def file(tmp_path):
    """Writes a Python file and returns its path."""

    def write(text: str) -> Path:
        (tmp_path / "mine.py").write_text(text)
        return tmp_path / "mine.py"

    return write


OWN = """
from dataclasses import replace
from classicnets.recipes.resnet import CIFAR
MINE = replace(CIFAR, batch=77)
"""


def test_each_value_is_printed_with_its_source(run_cli):
    status, out, _ = run_cli("recipe", "alexnet")
    assert status == 0
    assert out.startswith(f"alexnet, recipe source: {IMAGENET.cite}\n")
    rows = {line.split(maxsplit=1)[0]: line for line in out.splitlines() if line.strip()}
    assert rows["batch"].split() == ["batch", "128", *IMAGENET.cited["batch"].split()]
    assert "assumed: the paper prints 224" in " ".join(out.split())
    given = {f.name for f in fields(Recipe) if getattr(IMAGENET, f.name)}
    assert rows.keys() >= given - {*ABOUT_PAPER}


def test_the_values_of_the_json_rebuild_the_recipe(run_cli):
    printed = json.loads(run_cli("recipe", "alexnet", "--json")[1])
    assert (printed["network"], printed["cite"]) == ("alexnet", IMAGENET.cite)
    assert override(IMAGENET, {row["field"]: row["set"] for row in printed["fields"]}) == IMAGENET
    cited = {row["field"]: row["cited"] for row in printed["fields"] if row["cited"]}
    assert cited == {k: v for k, v in IMAGENET.cited.items() if k not in ABOUT_PAPER}
    sources = {row["field"]: row["assumed"] for row in printed["fields"] if row["assumed"]}
    assert sources == dict(IMAGENET.assumed)


def test_a_data_set_with_its_own_recipe_is_shown_with_it(run_cli):
    printed = json.loads(run_cli("recipe", "lenet5", "--data", "digits", "--json")[1])
    values = {row["field"]: row["value"] for row in printed["fields"]}
    assert values["batch"] == DIGITS.batch


@pytest.mark.parametrize("name", list(catalog.CATALOG))
def test_every_recipe_can_be_printed(run_cli, name):
    assert run_cli("recipe", name)[::2] == (0, "")


def test_the_only_recipe_that_a_file_defines_is_its_recipe(file, run_cli):
    mine = file(OWN)
    assert load_recipe(str(mine)).batch == 77
    assert load_recipe(f"{mine}:CIFAR").batch == 128
    assert " 77 " in run_cli("recipe", "resnet20", "--recipe", mine)[1]


def test_a_recipe_that_a_file_only_imports_is_accepted(file):
    assert load_recipe(str(file("from classicnets.recipes.resnet import CIFAR"))).batch == 128


@pytest.mark.parametrize(
    ("text", "name", "sentence"),
    [
        (OWN + "OTHER = replace(MINE, batch=78)", "", "has MINE, OTHER; name one, as in "),
        (OWN, ":YOURS", "has no recipe 'YOURS'; choose from CIFAR, MINE"),
        (OWN, ":replace", "has no recipe 'replace'"),
        ("x = 1", "", "defines no recipe, no classicnets.Recipe"),
        (OWN.replace("77", "0"), "", "does not run: ValueError: batch must be a whole number"),
        (OWN.replace("batch", "bach"), "", "does not run: TypeError: "),
        ("x = (", "", "does not run: SyntaxError: "),
        ("raise SystemExit(3)", "", "does not run: SystemExit: 3"),
    ],
)
def test_a_file_without_a_usable_recipe_is_one_sentence(file, run_cli, text, name, sentence):
    status, out, err = run_cli("train", "resnet20", "--recipe", f"{file(text)}{name}")
    assert (status, out) == (2, "")
    assert sentence in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--set", "batch"), "--set takes FIELD=VALUE, such as batch=64, not 'batch'"),
        (("--set", "batch=2", "--set", "batch=3"), "--set batch is given twice"),
        (("--set", "bacht=2"), "did you mean batch?"),
        (("--set", "batch=x"), "batch cannot be 'x'; it takes a whole number"),
        (("--precision", "fp16"), "precision must be auto, fp32, bf16, not 'fp16'"),
        (("--layout", "last"), "layout must be auto, channels_first, channels_last, not 'last'"),
        (("--unreadable", "maybe"), "maybe"),
        (("--track", "paper"), "unknown tracker 'paper'; choose from tensorboard, "),
        (("--recipe", "nowhere.py"), "no such file: nowhere.py"),
        (("--recipe", "papre"), "no recipe 'papre'; did you mean paper?"),
        (("--resume", "run", "--set", "batch=2"), "remove network, --set, --out"),
        (("--patience", "2", "--set", "patience=3"), "--patience and --set patience exclude each"),
        (("--patience", "0"), "patience must be a whole number of at least 1, not 0"),
        (("--sampler", "even"), "sampler must be balanced or None, not 'even'"),
        (
            ("--class-weights", "balanced", "--sampler", "balanced"),
            "class_weights and sampler are both balanced, which would count the small classes",
        ),
    ],
)
def test_a_mistake_is_one_sentence_and_writes_nothing(run_cli, tmp_path, words, sentence):
    status, out, err = run_cli("train", "lenet5", "--out", tmp_path / "run", *words)
    assert (status, out) == (2, "")
    assert sentence in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_overrides_are_trained_with_stored_and_printed(run_cli, tmp_path):
    words = ("--set", "batch=200", "--set", "steps=3", "--set", "augment=()")
    status, out, err = run_cli("train", "lenet5", *words, "--out", tmp_path / "run")
    assert (status, len(err.splitlines())) == (0, 1)
    assert err.startswith("warning: 3 steps will hardly train a network")
    assert out.splitlines()[1].startswith("3 steps, batch 200, ")
    assert "  differs from the paper: batch 200 (paper: 1)" in out
    stored = json.loads((tmp_path / "run" / "run.json").read_text())["recipe"]
    assert (stored["batch"], stored["steps"], stored["epochs"]) == (200, 3, None)


def test_options_that_stand_for_a_field_are_trained_with_stored_and_printed(run_cli, tmp_path):
    words = ("--set", "batch=200", "--epochs", 1, "--patience", 3, "--out", tmp_path / "run")
    status, out, err = run_cli("train", "lenet5", *words, "--class-weights", "balanced")
    assert (status, len(err.splitlines())) == (0, 1)
    assert err.startswith("warning: 7 steps will hardly train a network")
    assert "  differs from the paper: class_weights balanced (paper: none)" in out
    stored = json.loads((tmp_path / "run" / "run.json").read_text())["recipe"]
    assert (stored["patience"], stored["class_weights"], stored["sampler"]) == (3, "balanced", None)


def test_what_a_recipe_does_not_set_is_named(run_cli):
    _, out, _ = run_cli("recipe", "resnet20")
    unset = "epochs, patience, layer_rates, freeze, class_weights, sampler, constraint, average"
    assert f"\nnot set: {unset}, progressive_resizing\n" in out


def test_only_the_first_process_prints(run_cli, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    words = ("--set", "steps=1", "--set", "batch=200", "--out", tmp_path / "run")
    assert run_cli("train", "lenet5", *words) == (0, "", "")
    assert run_cli("train", "lenet7")[0] == 2


def test_adaptations_and_the_chosen_execution_are_printed(capsys, tmp_path):
    import classicnets as cn

    training = cn.train("lenet5", recipe=replace(DIGITS, epochs=None, steps=1), out=tmp_path / "r")
    training.adapted, training.chosen = {"side": "small images"}, "fp32 (as published)"
    print_introduction(training)
    lines = capsys.readouterr().out.splitlines()
    assert "  adapted side: small images" in lines
    assert lines[-1] == "execution: fp32 (as published)"
    assert os.environ.get("RANK") is None
