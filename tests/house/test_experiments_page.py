"""docs/experiments.md is true: its designs build, and its commands run, made short."""

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

PAGE = Path(__file__).parents[2] / "docs/experiments.md"
TEXT = PAGE.read_text(encoding="utf-8")
(NARROW,) = re.findall(r"^```net narrow\.net\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
COMMANDS = "".join(re.findall(r"^```sh\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))
SHORT = ("--epochs", "1", "--seeds", "2", "--no-lr-search")


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Path:
    """A directory with the designs and photos that the page speaks of."""
    here = tmp_path_factory.mktemp("experiments")
    wide = NARROW.replace("x4] ", "x16] ").replace("conv1: 4 ", "conv1: 16 ")
    average = NARROW.replace("max pool", "average pool")
    for name, text in (("narrow", NARROW), ("wide", wide), ("average", average)):
        (here / f"{name}.net").write_text(text)
    for colour in ("red", "green"):
        folder = here / "path/to/folder" / colour
        folder.mkdir(parents=True)
        for i in range(8):
            Image.new("RGB", (40 + i, 36), colour).save(folder / f"{i}.png")
    return here


@pytest.mark.parametrize("command", COMMANDS.splitlines())
@pytest.mark.slow
def test_a_command_of_the_page_compares_the_variants_that_it_names(command, run_in, desk):
    done = run_in(desk, [*shlex.split(command), *SHORT], 110)
    assert done.status == 0, done.err
    assert "too few to tell" in done.out
    assert "report.html" in done.out


def test_the_example_has_the_parameters_that_it_shows(parameters, desk):
    import classicnets as cn

    shown = dict(re.findall(r"^(\w+\.net) +([\d,]+) +0\.02", TEXT, re.MULTILINE))
    assert len(shown) == 3
    for name, count in shown.items():
        assert f"{parameters(cn.find(str(desk / name)).build()):,}" == count
