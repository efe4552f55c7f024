"""Commands that are printed can be typed: quoted for the shell, and they do what they say."""

import ast
import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

import classicnets as cn
from classicnets.cli.commands import command, next_commands, resume_command
from classicnets.data.synthetic import shapes

SOURCE = Path(cn.__file__).parent
NAME = "my photos & $HOME; 'all'"
# where the value of a placeholder would be a word of a command
BEFORE_WORD = re.compile(
    r"(--[a-z-]+[ =]|(`|classicnets )(train|evaluate|predict|see|compare|show|speed) )$"
)
# names of ours and numbers
SAFE = {
    "--track {name} needs",
    "--set {name} is given",
    "--set {name} exclude",
    "--channels {channels}",
    "--seeds {least} can",
    "--epochs {math.floor(share * self._epochs())} all would",
    "--epochs {epochs}",
    "--epochs {recipe.epochs}",
    "--max-pixels {config.max_pixels}",
    "--max-pixels {pixels}",
}


def _words_of_commands(file: Path) -> list[str]:
    """The f-strings in which a placeholder stands where a word of a command does."""
    return [
        "".join(
            str(part.value) if isinstance(part, ast.Constant) else f"{{{ast.unparse(part.value)}}}"
            for part in node.values
            if isinstance(part, ast.Constant | ast.FormattedValue)
        )
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.JoinedStr)
        for before, value in zip(node.values, node.values[1:], strict=False)
        if isinstance(before, ast.Constant) and isinstance(value, ast.FormattedValue)
        if BEFORE_WORD.search(str(before.value))
    ]


def test_commands_are_only_made_by_the_function_that_quotes():
    assert BEFORE_WORD.search("resume with: classicnets train --resume ")
    found = [text for file in SOURCE.rglob("*.py") for text in _words_of_commands(file)]
    assert [text for text in found if not any(safe in text for safe in SAFE)] == []


def test_only_one_module_quotes():
    using = [f for f in SOURCE.rglob("*.py") if "import shlex" in f.read_text(encoding="utf-8")]
    assert [file.name for file in using] == ["errors.py"]


def test_the_program_is_quoted_too(monkeypatch, tmp_path):
    program = tmp_path / "my bin" / "classicnets-here"
    monkeypatch.setattr(sys, "argv", [str(program)])
    assert shlex.split(command("see", NAME)) == [str(program), "see", NAME]
    monkeypatch.setattr(sys, "argv", ["/x/classicnets/__main__.py"])
    assert command("see", "a b") == "python -m classicnets see 'a b'"


@pytest.fixture
def training(tmp_path):
    """Of a network of your own, with a space in its name as in that of the run."""
    (tmp_path / "own net.py").write_text(
        "from torch import nn\ndef net(classes, channels):\n"
        "    return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(),"
        " nn.Linear(16 * channels, classes))\n"
    )
    network = f"{tmp_path / 'own net.py'}:net"
    return cn.train(network, shapes(), epochs=1, out=tmp_path / NAME)


def test_what_to_do_next_names_run_network_and_image(run_cli, training, tmp_path):
    training.finish()
    image = tmp_path / "my image.png"
    Image.new("RGB", (32, 32)).save(image)
    lines = list(map(shlex.split, next_commands(training, image)))
    verbs = ["evaluate", "predict", "see"]
    words = [line[line.index(verb) :] for line, verb in zip(lines, verbs, strict=True)]
    own = ["--network", training.config.network]
    assert words == [
        ["evaluate", str(tmp_path / NAME), *own],
        ["predict", str(tmp_path / NAME), str(image), *own],
        ["see", str(tmp_path / NAME), *own],
    ]
    assert run_cli(*words[1]).status == 0  # the others read data that were made in Python
    resume = shlex.split(resume_command(training))
    assert resume[resume.index("train") :] == ["train", "--resume", str(tmp_path / NAME), *own]


def test_the_largest_image_that_was_read_is_named_where_it_is_not_the_usual_one(training):
    training.config = replace(training.config, max_pixels=4 * 10**8)
    for line in (resume_command(training), *next_commands(training)[:3]):
        assert line.endswith(" --max-pixels 400000000")


def test_compare_is_given_the_newest_other_run_on_the_same_data(training, tmp_path):
    training.finish()
    cn.train("lenet5", epochs=1, out=tmp_path / "digits").finish()
    assert not any("compare" in shlex.split(line) for line in next_commands(training))
    cn.train("lenet5", shapes(), epochs=1, out=tmp_path / "other").finish()
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for name in ("metrics.csv", "run.json"):
        (damaged / name).write_text("{")
    both = [str(tmp_path / NAME), str(tmp_path / "other")]
    assert shlex.split(next_commands(training)[-1])[-2:] == both


def test_train_ends_with_the_next_commands(run_cli, tmp_path, write_folder):
    data = write_folder(tmp_path / "data")
    done = run_cli("train", "lenet5", "--data", data, "--epochs", 1, "--out", tmp_path / NAME)
    lines = done.out.split("what to try next:\n")[1].splitlines()
    found = [[word for word in shlex.split(line) if word in cn.__all__] for line in lines]
    assert found == [["evaluate"], ["predict"], ["see"]]
    assert all(shlex.quote(str(tmp_path / NAME)) in line for line in lines)


def test_errors_that_name_an_option_quote_its_value(run_cli, training, tmp_path):
    training.finish()
    done = run_cli("evaluate", tmp_path / NAME)
    option = shlex.join(["--network", training.config.network])
    assert f"whose code runs only when you name it: add {option}\n" in done.err
    done = run_cli("train", "--network", "my net.py:net")
    assert done.err.rstrip().endswith("train 'my net.py:net'`")


def test_a_run_directory_made_by_default_needs_no_quotes(tmp_path, monkeypatch, write_folder):
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / NAME)
    training = cn.train("lenet5", f"./{NAME}", epochs=1)
    assert re.fullmatch(r"runs/lenet5-my-photos-HOME-all-\d{8}-\d{6}", str(training.directory))
