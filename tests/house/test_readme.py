"""What README.md says one can type does run, in its order, in one directory.

A block that is not to be run has `<!-- not run -->` on the line above it.
"""

import os
import re
import shlex
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import pytest
from PIL import Image

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

FEW = 3  # epochs: that it runs is shown by these, what it learns by the demo and its test
QUICK = ("list", "show", "design", "diff", "suggest")  # verbs that neither train nor evaluate


def _blocks() -> list[tuple[int, str, str, str]]:
    """Line, language and content of every block that is to be run, and the quotation after it."""
    text = README.read_text(encoding="utf-8")
    return [
        (
            text.count("\n", 0, block.start()) + 1,
            block[1],
            block[2],
            _quotation(text[block.end() :]),
        )
        for block in BLOCK.finditer(text)
        if not text[: block.start()].rstrip().endswith("<!-- not run -->")
    ]


def _quotation(text: str) -> str:
    """What stands behind `>` at the beginning of a text, on one line."""
    lines = takewhile(lambda line: line.startswith(">"), text.strip().splitlines())
    return " ".join(line.removeprefix("> ") for line in lines)


def _commands(content: str) -> list[tuple[list[str], str]]:
    """The lines of a shell block that call this package; what it shows after a `$` line."""
    lines = content.splitlines()
    shown = "\n".join(lines[1:]) if lines[0].startswith("$ ") else ""
    lines = lines[:1] if shown else lines
    calls = [line.removeprefix("$ ") for line in lines]
    return [(shlex.split(c, comments=True), shown) for c in calls if c.startswith("classicnets ")]


def _shortened(command: list[str]) -> list[str]:
    """A training for a few epochs, one more where it makes another longer; others as they are."""
    if "--epochs" in command:
        k = command.index("--epochs") + 1
        epochs = min(int(command[k]), FEW + ("--resume" in command))
        return [*command[:k], str(epochs), *command[k + 1 :]]
    trains = command[1] == "train" and "--resume" not in command
    return [*command, "--epochs", str(FEW)] if trains else command


def _steps() -> list:
    """What to run and what it should print, in order; what trains or judges is marked slow."""
    steps = []
    for line, language, content, quotation in _blocks():
        if language == "python":
            slow = re.search(r"\b(train|evaluate|predict|load)\(", content)
            mark = [pytest.mark.slow] if slow else []
            script = re.sub(r"epochs=\d+", f"epochs={FEW}", content)
            steps.append(pytest.param(script, quotation, marks=mark, id=f"line {line}"))
        elif language in ("", "sh", "bash", "console"):
            for command, shown in _commands(content):
                quick = command[1] in QUICK or "--help" in command
                mark = [] if quick else [pytest.mark.slow]
                words = _shortened(command)
                steps.append(pytest.param(words, shown, marks=mark, id=" ".join(command[1:])))
    return steps


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Path:
    """A directory with the pictures that the README speaks of."""
    here = tmp_path_factory.mktemp("readme")
    for name in ("one.png", "another.jpg"):
        Image.effect_noise((32, 32), 60).save(here / name)
    for colour in ("red", "green", "blue"):
        folder = here / "path/to/folder" / colour
        folder.mkdir(parents=True)
        for i in range(6):
            Image.new("RGB", (40 + i, 36), colour).save(folder / f"{i}.png")
    return here


@pytest.mark.parametrize(("command", "shown"), _steps())
def test_what_the_readme_says_runs(command, shown, run_in, desk):
    status, out, err = (
        _python(desk, command) if isinstance(command, str) else run_in(desk, command, 100)
    )
    assert status == 0, err
    assert out
    # lines may be broken elsewhere, and a part may be shown for the whole
    assert " ".join(shown.split()) in " ".join(out.split())


def _python(desk: Path, script: str) -> tuple[int, str, str]:
    """What a script does in a process of its own: exit status, what it prints, its errors."""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=desk, env={**os.environ, "COLUMNS": "100"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_there_is_something_to_run():
    assert len(_steps()) >= 5
