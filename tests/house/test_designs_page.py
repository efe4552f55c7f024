"""docs/designs.md and docs/moves.md are true: designs build, commands print what is shown, no kind
of layer is missing.

A block ```net FILE``` is that file, written where it is new, and compared where it is not.
"""

import math
import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from classicnets.cli import main
from classicnets.designs.kinds import KINDS, OPTIONS

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "designs.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(net|console|sh)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)

SHORT = {"train": " --epochs 2", "experiment": " --epochs 1 --seeds 2 --no-lr-search"}


def _run(capsys, monkeypatch, command: str) -> tuple[object, str]:
    """The status of a command, and what it prints."""
    monkeypatch.setattr("sys.argv", shlex.split(command))
    with pytest.raises(SystemExit) as end:
        main()
    done = capsys.readouterr()
    return end.value.code or 0, done.out + done.err


def _printed(capsys, monkeypatch, command: str) -> str:
    return _run(capsys, monkeypatch, command)[1]


@pytest.mark.parametrize("page", ["designs.md", "moves.md"])
@pytest.mark.parametrize("training", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_page_shows_what_its_commands_print(page, training, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "110")
    monkeypatch.setattr("classicnets.cli.progress.EVERY", math.inf)  # a machine may be busy
    Image.effect_noise((16, 16), 60).save("one.png")
    for language, name, content in BLOCK.findall((DOCS / page).read_text(encoding="utf-8")):
        if language == "console":
            command, _, shown = content.removeprefix("$ ").partition("\n")
            if training and not re.search(" --(out|fill)", command):
                continue  # its output is compared without training, and no command needs it
            assert _printed(capsys, monkeypatch, command).strip() == shown.strip()
        elif language == "sh":
            for command in content.splitlines() if training else ():
                short = SHORT.get(command.split()[1], "")  # that it runs, not what it learns
                status, printed = _run(capsys, monkeypatch, command + short)
                assert status == 0, (command, printed)
        elif Path(name).exists():
            assert Path(name).read_text() == content
        else:
            Path(name).write_text(content)
            if not name.startswith("wrong") and not training:
                assert "params" in _printed(capsys, monkeypatch, f"classicnets show {name}")


def test_ten_commands_lead_from_a_printed_listing_to_a_measured_better_network():
    blocks = [content for language, _, content in BLOCK.findall(TEXT) if language == "sh"]
    (commands,) = [c.splitlines() for c in blocks if "show listing.net" in c]
    assert len(commands) == 10
    assert commands[-1].startswith("classicnets experiment digits.net better.net")
    assert re.search(r"^better\.net .* better$", TEXT, re.MULTILINE)


def test_every_kind_of_layer_and_every_option_is_on_the_page():
    for kind in KINDS:
        written = re.sub(r"\{\w+\}", "N", kind.phrases[0].replace("{window}", "KxK"))
        assert f"| `{written}` |" in TEXT
    for words in OPTIONS:
        if words not in ("stride {}", "with bias"):  # other ways of writing `at stride` and nothing
            assert f"`{words.replace('{}', 'N')}`" in TEXT
