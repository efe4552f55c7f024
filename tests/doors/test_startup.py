"""A command imports what it uses and no more."""

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from classicnets import cli

# each takes a third of the time of torch or more
HEAVY = ("matplotlib", "sklearn", "scipy", "pandas", "pooch", "torch._dynamo")
VERBS = {
    "list": "list",
    "recipe": "recipe lenet5",
    "show": "show lenet5",
    "compare": "compare RUN",
    "predict": "predict RUN digit.png",
    "evaluate": "evaluate RUN",
    "train": "train lenet5 --out again",
}
# what else each has no use for: modules of the package, with all in them, and others
ELSEWHERE = ("api.pretrained", "exports", "hub", "visualize", "studies", "experiments", "web")
NO_TRAINING = (*ELSEWHERE, "api.train", "training.run.loop", "recipes.adapt", "designs.moves")
NO_DATA = ("data.sets", "data.download", "data.listing", "filelock", "PIL.TiffImagePlugin")
UNUSED = {
    "list": ("catalog", "data", "models", "training", "torch", "numpy", "PIL"),
    "recipe": (*ELSEWHERE, *NO_DATA, "evaluation", "api.train", "api.runs"),
    "show": (*NO_TRAINING, *NO_DATA, "weights", "evaluation", "api.runs", "training.run"),
    "compare": (*NO_TRAINING, *NO_DATA, "weights", "evaluation", "catalog", "models", "layers"),
    "predict": (
        *NO_TRAINING,
        *NO_DATA,
        "weights",
        "evaluation.metrics",
        "measure",
        "rich.progress",
    ),
    "evaluate": (*NO_TRAINING, "weights", "measure", "designs", "PIL.TiffImagePlugin"),
    "train": ("visualize", "studies", "experiments", "web", "designs.moves"),
}
# runs each command in a process of its own, and prints the modules that it has imported; torch is
# imported once, for all that follow the first
SCRIPT = """
import contextlib, json, os, sys, warnings
warnings.simplefilter("ignore")  # of processes that fork
def run(words):
    from classicnets.cli import main
    if words[0] == "train":
        from classicnets.cli import train
        train.run_to_end = lambda *args: sys.exit()
    sys.argv = ["classicnets", *words]
    with contextlib.redirect_stdout(open(os.devnull, "w")), contextlib.suppress(SystemExit):
        main()
    print(json.dumps(sorted(sys.modules)), flush=True)
for words in json.loads(sys.argv[1]):
    if words[0] != "list":
        import torch
    if (child := os.fork()) == 0:
        run(words)
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.fixture(scope="module")
def imported(run, tmp_path_factory) -> dict[str, set[str]]:
    """Verb -> the modules that it has imported."""
    folder = tmp_path_factory.mktemp("start")
    Image.new("L", (32, 32), 200).save(folder / "digit.png")
    words = [[str(run) if w == "RUN" else w for w in verb.split()] for verb in VERBS.values()]
    command = [sys.executable, "-c", SCRIPT, json.dumps(words)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    return {verb: set(json.loads(line)) for verb, line in zip(VERBS, lines, strict=True)}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_imports_nothing_that_it_has_no_use_for(imported, verb):
    assert f"classicnets.cli.{verb}" in imported[verb]
    others = {f"cli.{name}" for name in cli.VERBS if name not in (verb, cli.ELSEWHERE.get(verb))}
    names = {name.removeprefix("classicnets.") for name in imported[verb]}
    parts = {name[: at.start()] for name in names for at in re.finditer(r"\.|$", name)}
    assert parts & {*HEAVY, *UNUSED[verb], *others} == set()


FIRST = """
import contextlib, json, sys
from classicnets import cli
def end():
    print(words[0], "torch" in sys.modules)
    sys.exit()
cli.import_torch = end
for words in json.loads(sys.argv[1]):
    sys.argv = ["classicnets", *words]
    with contextlib.suppress(SystemExit):
        cli.main()
"""


def test_torch_is_imported_where_it_is_fast_and_not_while_options_are_read(tmp_path):
    verbs = [words.split() for verb, words in VERBS.items() if verb != "list"]
    command = [sys.executable, "-c", FIRST, json.dumps(verbs)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"{words[0]} False" for words in verbs]


def test_what_is_said_to_be_of_no_use_is_there():
    """Else a renamed module would be looked for in vain."""
    root = Path(cli.__file__).parents[1]
    for name in {name for names in UNUSED.values() for name in names}:
        place = root.joinpath(*name.split("."))
        assert place.is_dir() or place.with_suffix(".py").is_file() or find_spec(name), name


def test_the_table_that_list_reads_has_every_network_of_the_catalogue(run_cli, monkeypatch):
    """That its figures are those of the catalogue is checked with the other generated files."""
    from classicnets.catalog import ALIASES, CATALOG

    out = run_cli("list").out
    monkeypatch.setenv("COLUMNS", "80")
    assert len(run_cli("list").out.splitlines()) == len(out.splitlines())
    assert [line.split()[0] for line in out.splitlines()[1 : len(CATALOG) + 1]] == list(CATALOG)
    assert all(f"{alias} = {name}" in " ".join(out.split()) for alias, name in ALIASES.items())
