"""A command imports what it uses and no more."""

import json
import subprocess
import sys

import pytest
from PIL import Image

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
# runs each command in turn and prints which modules it was the first to import
SCRIPT = """
import contextlib, json, os, sys
from classicnets.cli import main
def begin(*args):
    sys.exit()
sys.modules["classicnets.cli.train"].run_to_end = begin
for words in json.loads(sys.argv[1]):
    before = set(sys.modules)
    sys.argv = ["classicnets", *words]
    with contextlib.redirect_stdout(open(os.devnull, "w")), contextlib.suppress(SystemExit):
        main()
    print(json.dumps(sorted(set(sys.modules) - before)))
"""


@pytest.fixture(scope="module")
def imported(run, tmp_path_factory) -> dict[str, set[str]]:
    """Verb -> the modules that it was the first to import."""
    folder = tmp_path_factory.mktemp("start")
    Image.new("L", (32, 32), 200).save(folder / "digit.png")
    words = [[str(run) if w == "RUN" else w for w in verb.split()] for verb in VERBS.values()]
    command = [sys.executable, "-c", SCRIPT, json.dumps(words)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    return {verb: set(json.loads(line)) for verb, line in zip(VERBS, lines, strict=True)}


def test_list_waits_for_neither_torch_nor_numpy(imported):
    assert imported["list"] & {"torch", "numpy", "PIL", "classicnets.catalog"} == set()
    assert "torch" in imported["recipe"]


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_does_not_wait_for_what_draws_fits_or_compiles(imported, verb):
    assert imported[verb] & set(HEAVY) == set()


def test_the_table_that_list_reads_has_every_network_of_the_catalogue(run_cli, monkeypatch):
    """That its figures are those of the catalogue is checked with the other generated files."""
    from classicnets.catalog import ALIASES, CATALOG

    out = run_cli("list").out
    monkeypatch.setenv("COLUMNS", "80")
    assert len(run_cli("list").out.splitlines()) == len(out.splitlines())
    assert [line.split()[0] for line in out.splitlines()[1 : len(CATALOG) + 1]] == list(CATALOG)
    assert all(f"{alias} = {name}" in " ".join(out.split()) for alias, name in ALIASES.items())
