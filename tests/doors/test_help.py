"""The help of every verb: options in sections, no wider than the terminal."""

import re

import pytest

from classicnets.cli import VERBS


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_is_plain_text_that_fits_the_terminal(run_cli, monkeypatch, verb, width):
    monkeypatch.setenv("COLUMNS", str(width))
    status, out, err = run_cli(*filter(None, [verb]), "--help")
    assert (status, err) == (0, "")
    assert max(map(len, out.splitlines())) <= width
    assert "\x1b" not in out


def test_the_options_of_train_are_in_sections_with_defaults_and_examples(run_cli):
    out = run_cli("train", "--help").out
    sections = re.findall(r"^(\w+):$", out, re.MULTILINE)
    assert sections == ["Arguments", "Data", "Recipe", "Execution", "Output", "Options"]
    words = " ".join(out.split())
    assert '--set "lr=Constant(0.01)"' in words
    assert "[default: digits]" in words


def test_the_list_of_verbs_has_a_line_for_each(run_cli):
    lines = run_cli("--help").out.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in lines] == [*VERBS]
