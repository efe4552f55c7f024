"""Options of train that spell fields of the recipe, and the directory that a run is written to."""

import json
import subprocess
import sys
from importlib import metadata

import pytest

from classicnets.cli import VERBS
from classicnets.cli.flags import FIELDS, recipe_changes
from classicnets.recipes.lenet import DIGITS
from classicnets.training.recipe.overrides import override

GIVEN = dict.fromkeys(FIELDS)


@pytest.mark.parametrize(
    ("option", "value", "change"),
    [
        ("lr", "0.1", {"lr": "0.1"}),
        ("batch_size", "32", {"batch": "32"}),
        ("img_size", "64", {"size": "64"}),
        ("weight_decay", "1e-4", {"optimizer.weight_decay": "1e-4"}),
        ("optimizer", "AdamW", {"optimizer": "adamw"}),
        ("optimizer", "AdamW(eps=1)", {"optimizer": "AdamW(eps=1)"}),
        ("augment", "Flip", {"augment": "flip"}),
        ("epochs", 3, {}),
    ],
)
def test_an_option_is_a_spelling_of_a_setting(option, value, change):
    assert recipe_changes({**GIVEN, option: value}, []) == change
    override(DIGITS, change)


@pytest.mark.parametrize(
    ("option", "setting"),
    [
        *((option, field) for option, fields in FIELDS.items() for field in fields),
        ("lr", "lr.start"),
        ("weight_decay", "optimizer"),
    ],
)
def test_a_field_that_is_given_twice_is_refused_by_both_names(option, setting):
    flag = f"--{option.replace('_', '-')}"
    message = f"^{flag} and --set {setting} exclude each other; give one$"
    with pytest.raises(ValueError, match=message):
        recipe_changes({**GIVEN, option: "1"}, [f"{setting}=1"])


def test_an_optimizer_and_a_field_of_it_go_together():
    changes = recipe_changes({**GIVEN, "optimizer": "adamw"}, ["optimizer.eps=1e-6"])
    assert changes == {"optimizer": "adamw", "optimizer.eps": "1e-6"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--batch-size", "x"), "batch cannot be 'x'; it takes a whole number"),
        (("-b", "0"), "batch must be a whole number of at least 1, not 0"),
        (("--lr", "-1"), "lr must be at least 0, not -1"),
        (("--weight-decay", "-1"), "weight_decay of SGD must be at least 0, not -1"),
        (("--recipe", "paper", "--weight-decay", "1"), "LevenbergMarquardt(mu=0.02, samples=500, "),
        (("--optimizer", "lamb"), "optimizer cannot be 'lamb'; it takes sgd, adam, adamw, or"),
        (("--augment", "mixup"), "augment cannot be 'mixup'; it takes none, crop, flip, "),
        (("--img-size", "64"), "the nearest legal size is 1x35x35 (any side from 32 to 35 fits)"),
        (("-b", "3", "--set", "batch=4"), "--batch-size and --set batch exclude each other"),
        (("--name", "a/b"), "--name is the name of a directory in runs, not 'a/b'; see --out"),
        (("--name", ".."), "--name is the name of a directory in runs, not '..'"),
        (("--name", "a", "--out", "b"), "--name and --out both name the run directory; give one"),
    ],
)
def test_what_an_option_does_not_take_is_refused_before_anything_is_written(
    run_cli, words, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    done = run_cli("train", "lenet5", *words)
    assert (done.status, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert message in done.err
    assert list(tmp_path.iterdir()) == []


def test_options_shape_a_run_that_replaces_another_and_leaves_other_files(
    run_cli, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    words = ("-b", 64, "--optimizer", "adamw", "--weight-decay", 0.05, "--augment", "none")
    command = ("train", "LeNet-5", "--name", "mine", "--epochs")
    done = run_cli(*command, 2, *words)
    assert done.status == 0, done.err
    run = tmp_path / "runs" / "mine"
    recipe = json.loads((run / "run.json").read_text())["recipe"]
    assert (recipe["batch"], recipe["augment"]) == (64, [])
    assert recipe["crop_sampler"] == {"kind": "CentreCrop"}
    assert (recipe["optimizer"]["kind"], recipe["optimizer"]["weight_decay"]) == ("AdamW", 0.05)
    assert recipe["lr"]["peak"] == 0.001

    (run / "notes.txt").write_text("mine")
    (run / "weights.safetensors.part").write_text("left behind")
    refused = run_cli(*command, 1)
    assert refused.status == 2
    assert "is not empty; a run needs a directory of its own, or --exist-ok" in refused.err
    before = (run / "weights.safetensors").read_bytes()
    failed = run_cli(*command, 1, "--exist-ok", "--batch-size", 0)
    assert failed.status == 2
    assert (run / "weights.safetensors").read_bytes() == before
    done = run_cli(*command, 1, "--exist-ok")
    assert done.status == 0, done.err
    assert done.out.startswith("replaced the run in runs/mine\n")
    assert (run / "notes.txt").read_text() == "mine"
    assert not (run / "weights.safetensors.part").exists()
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 1
    assert json.loads((run / "run.json").read_text())["recipe"]["batch"] == DIGITS.batch


@pytest.mark.parametrize("content", [None, "{}", '{"network": "lenet5"}', "text"])
def test_a_directory_that_is_not_a_run_is_never_replaced(run_cli, tmp_path, content):
    names = ["weights.safetensors", "last.pt", "curve.png", "photo.jpg"]
    for name in names:
        (tmp_path / name).write_text("mine")
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    done = run_cli("train", "lenet5", "--out", tmp_path, "--exist-ok")
    assert done.status == 2
    assert done.err.startswith("classicnets: only a run is replaced, and ")
    assert all((tmp_path / name).read_text() == "mine" for name in names)


def test_an_empty_or_new_directory_needs_no_run(run_cli, tmp_path):
    for out in (tmp_path, tmp_path / "new"):
        done = run_cli("train", "lenet5", "--epochs", 1, "--out", out, "--exist-ok", "-b", 256)
        assert done.status == 0, done.err
        assert "replaced" not in done.out
        if out == tmp_path:
            for file in out.iterdir():
                file.unlink()


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_h_is_help(run_cli, verb):
    words = [verb] if verb else []
    assert run_cli(*words, "-h") == run_cli(*words, "--help")


def test_the_version_is_printed_without_importing_torch(run_cli):
    message = f"classicnets {metadata.version('classicnets')}, torch {metadata.version('torch')}\n"
    assert run_cli("--version") == (0, message, "")
    code = (
        "import sys; sys.argv[1:] = ['--version']\n"
        "from classicnets.cli import main\n"
        "try: main()\n"
        "except SystemExit: sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, message)
