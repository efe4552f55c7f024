"""What reaches the terminal: names shown and not obeyed, in every locale; and how commands end."""

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

import classicnets as cn
from classicnets.cli import VERBS, main
from classicnets.cli.terminal import Visible, sentence
from classicnets.support.names import CONTROLS, as_path, as_text, encoded, visible
from classicnets.support.tables import align, html_text

COMMAND = [sys.executable, "-m", "classicnets"]
# a colour, a title, a carriage return, C1's CSI, right-to-left, a tag, a line
EVIL = "\x1b[31m\x1b]0;t\x07\r\x9b2J\u202e\U000e0041\ny"
SHOWN = r"\x1b[31m\x1b]0;t\x07\r\x9b2J\u202e\U000e0041\ny"
SENT = re.compile(f"{CONTROLS.pattern}")


@pytest.fixture(scope="module")
def evil(tmp_path_factory, write_folder) -> Path:
    """A run on classes, and beside it images, with such names."""
    root = tmp_path_factory.mktemp("evil")
    data = write_folder(root / f"data{EVIL}", 5)
    (data / "dark").rename(data / f"dark{EVIL}")
    (data / "light" / f"bad{EVIL}.png").write_bytes(b"no")
    cn.train("lenet5", str(data), "fast", epochs=1, out=root / f"run{EVIL}").finish()
    images = root / "images"
    images.mkdir()
    for name in ("a", "b"):
        Image.new("L", (28, 28), 40).save(images / f"{name}{EVIL}.png")
    (images / f"bad{EVIL}.png").write_bytes(b"no")
    return root


def words_of(root: Path) -> dict[str, list[object]]:
    run, data = root / f"run{EVIL}", root / f"data{EVIL}"
    return {
        "list": ["list", EVIL],
        "show": ["show", EVIL],
        "weights": ["weights", EVIL],
        "design": ["design", EVIL],
        "diff": ["diff", EVIL, "lenet5"],
        "suggest": ["suggest", EVIL],
        "plan": ["plan", EVIL],
        "speed": ["speed", f"{EVIL}.py:net"],
        "recipe": ["recipe", "lenet5", "--recipe", EVIL],
        "train": ["train", "lenet5", "--data", data, "--epochs", 1, "--out", root / f"new{EVIL}"],
        "evaluate": ["evaluate", run],
        "predict": ["predict", run, root / "images"],
        "compare": ["compare", run],
        "experiment": ["experiment", EVIL, "lenet5"],
        "study": ["study", EVIL],
        "see": ["see", run, root / "images", "--what", "filters,probes"],
        "export": ["export", run, "--out", root / f"{EVIL}.safetensors", "--exist-ok"],
        "push": ["push", run, f"ada/{EVIL}"],
        "serve": ["serve", root / EVIL],
        "web": ["web", root / EVIL, "--port", 0],
        "pack": ["pack", data, root / f"{EVIL}.pack", "--side", 16],
        "demo": ["demo", EVIL],
        "an option": ["train", f"--{EVIL}"],
        "a field": ["train", "lenet5", "--set", f"{EVIL}=3"],
        "a value": ["train", "lenet5", "--set", f"batch={EVIL}"],
        "a missing run": ["evaluate", root / EVIL],
        "a missing file": ["predict", run, root / EVIL],
    }


def test_every_verb_is_walked_over():
    assert {*VERBS} <= words_of(Path()).keys()


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("name", words_of(Path()))
def test_a_name_is_shown_and_sends_nothing_to_the_terminal(
    run_cli, evil, monkeypatch, name, colour
):
    if colour:
        monkeypatch.setenv("FORCE_COLOR", "1")
    shutil.rmtree(evil / f"new{EVIL}", ignore_errors=True)
    _, out, err = run_cli(*words_of(evil)[name])
    own = re.compile(r"\x1b\[[\d;]*[mKA]|\x1b\[\?25[lh]") if colour else re.compile("(?!)")
    printed = own.sub("", out + err).replace("\r", "" if colour else "\r")
    assert SENT.findall(printed) == []
    if name not in ("demo", "see", "speed"):
        assert r"\x1b[31m" in printed.replace("\n", "")


@pytest.mark.parametrize("verb", ["evaluate", "predict", "compare"])
def test_json_and_csv_keep_a_name_as_it_is(run_cli, evil, verb):
    out = run_cli(*words_of(evil)[verb], "--json").out
    assert out.isascii()
    assert EVIL in " ".join(_strings(json.loads(out)))
    if verb == "predict":
        rows = list(csv.DictReader(io.StringIO(run_cli(*words_of(evil)[verb], "--csv").out)))
        assert Path(rows[0]["path"]).name == f"a{EVIL}.png"


def _strings(value: object) -> list[str]:
    if isinstance(value, dict):
        return [s for pair in value.items() for one in pair for s in _strings(one)]
    if isinstance(value, list):
        return [s for one in value for s in _strings(one)]
    return [value] if isinstance(value, str) else []


def test_what_is_shown_is_printed_once_and_leaves_text_alone():
    assert visible(EVIL, "\n") == SHOWN
    assert visible(SHOWN) == SHOWN
    text = "naïve 狗 👩‍🔬 \u3000 שלום\tx\n"
    assert visible(text) == text
    assert visible("\udcff") == r"\udcff"
    assert encoded("é\udcff\ud800", "surrogateescape") == b"\xc3\xa9\xff\\ud800"


def test_the_bytes_of_a_path_are_shown_and_written_as_characters():
    name = "狐狸.net".encode().decode("ascii", "surrogateescape")  # as an ASCII locale has it
    assert visible(name) == "狐狸.net"
    assert encoded(f"{name}\udcff") == "狐狸.net\\udcff".encode()
    assert html_text(name) == "狐狸.net"
    assert sentence(f"no such file: {name!r}") == "no such file: '狐狸.net'"
    assert as_text(as_path("狐狸.net")) == "狐狸.net"


def test_a_stream_that_shows_is_otherwise_the_stream():
    stream = io.StringIO()
    print("\x1b", file=Visible(stream))
    assert stream.getvalue() == "\\x1b\n"
    assert Visible(stream).getvalue() == "\\x1b\n"


def test_no_verb_makes_a_console_of_its_own():
    sources = Path(cn.__file__).parent.rglob("cli/*.py")
    own = [p.name for p in sources if re.search(r"\bConsole\(", p.read_text())]
    assert own == []


ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}
TEXT = (".json", ".csv", ".html")


def command(*words: object, **more: object) -> subprocess.CompletedProcess[bytes]:
    env = {**os.environ, "OMP_NUM_THREADS": "1"} | dict(more.pop("env", {}))  # type: ignore[arg-type]
    return subprocess.run(
        [*COMMAND, *map(os.fsencode, map(str, words))], capture_output=True, check=False,
        env=env, **more,
    )  # type: ignore[call-overload] # fmt: skip


@pytest.mark.slow
def test_names_survive_an_ascii_locale(run, tmp_path):
    names = [b"caf\xc3\xa9.png", b"\xe7\x8b\x97.png", b"x\xff.png"]  # the last is no UTF-8
    for name in names:
        with open(os.fsencode(tmp_path) + b"/" + name, "wb") as file:  # noqa: PTH123
            Image.new("L", (28, 28), 40).save(file, "PNG")
    paths = [f"{tmp_path}/{os.fsdecode(name)}" for name in names]
    for env in ({}, ASCII):
        done = command("predict", run, *paths, "--json", "--top", 1, env=env)
        assert [Path(one["path"]).name for one in json.loads(done.stdout)] == [
            "café.png", "狗.png", "x\udcff.png"]  # fmt: skip
        done = command("predict", run, "-", "--csv", "--top", 1, env=env,
                       input="\n".join(paths).encode(errors="surrogateescape"))  # fmt: skip
        found = [line.split(b",")[0].rpartition(b"/")[2] for line in done.stdout.splitlines()[1:]]
        assert found == names
    done = command("predict", run, *paths, "--top", 1, env=ASCII)
    assert done.returncode == 0
    assert done.stdout.isascii()
    assert b"?" not in done.stdout
    assert b"x\\udcff.png: " in done.stdout


@pytest.mark.slow
def test_what_an_ascii_locale_writes_has_names_in_utf8(tmp_path, write_folder):
    (tmp_path / "狐狸.net").write_text("[16x16x1] input\n[10] fc: 10 neurons\n")
    write_folder(tmp_path / "照片", 5)
    words = ["experiment", "狐狸.net", "lenet5", "--data", "照片", "--epochs", 1, "--seeds", 2,
             "--no-lr-search", "--processes", 1, "--out", "实验"]  # fmt: skip
    done = command(*words, env=ASCII, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    written = [path for path in (tmp_path / "实验").rglob("*.*") if path.suffix in TEXT]
    named = [path for path in written if "狐狸" in path.read_text("utf-8")]
    assert {path.name for path in named} >= {
        "plan.json", "report.json", "report.html", "results.csv", "run.json"}  # fmt: skip
    assert [path for path in written if "udce7" in path.read_text("utf-8")] == []
    done = command("show", "狐狸.net", "--json", env=ASCII, cwd=tmp_path)
    assert json.loads(done.stdout)["name"] == "狐狸.net"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("redirect", "status", "sentence"),
    [
        ("| head -n 1; exit ${PIPESTATUS[0]}", (0, 1), b""),
        ("> /dev/full", (2,), b"classicnets: No space left on device"),
        (">&-", (0,), b""),
        ("<&-", (0,), b""),
        ("2>&-", (0,), b""),
    ],
)
def test_output_that_nobody_reads_ends_a_command_quietly(redirect, status, sentence):
    shell = f"{sys.executable} -m classicnets list {redirect}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, check=False)
    assert done.returncode in status
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == bool(sentence)


def test_a_list_of_paths_from_a_closed_input_is_refused(run, monkeypatch):
    from classicnets.cli.predict import _read_list

    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ValueError, match="- takes a list of paths on standard input, which is clo"):
        _read_list()


# Before our first line runs, nobody but Python answers Ctrl-C, with its own traceback: for 31 ms,
# of which the interpreter takes 13, the script that pip installs 10 (it imports re), and ours 8.
@pytest.mark.slow
@pytest.mark.parametrize("imports", [1, 50, 150, 300, 600, 900])
def test_ctrl_c_at_the_start_ends_in_one_line(imports):
    words = [sys.executable, "-X", "importtime", "-m", "classicnets", "show", "lenet5"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stderr is not None
        left = None  # modules to import until it comes
        for line in process.stderr:
            if line.rstrip().endswith(b"classicnets.support.interrupts"):
                left = imports
            elif left is not None and (left := left - 1) == 0:
                break
        process.send_signal(signal.SIGINT)
        said = [line for line in process.stderr if not line.startswith(b"import time:")]
    assert process.returncode == 130
    assert said == [b"classicnets: interrupted; unfinished work is not saved\n"]


@pytest.mark.slow
@pytest.mark.parametrize("terminal", ["open", "gone"])
def test_a_hangup_saves_like_a_termination(tmp_path, terminal):
    out = tmp_path / "run"
    words = [*COMMAND, "train", "lenet5", "--epochs", "30", "--out", str(out)]
    # a hangup that this process ignores, as under nohup, would be ignored by its children too
    hangs_up = partial(signal.signal, signal.SIGHUP, signal.SIG_DFL)
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, preexec_fn=hangs_up,
                          env={**os.environ, "PYTHONUNBUFFERED": "1"}) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("epoch 1/30"):
                break
        if terminal == "gone":
            process.stdout.close()
        process.send_signal(signal.SIGHUP)
        assert process.wait(timeout=60) in ((129,) if terminal == "open" else (129, 1))
    saved = cn.resume(out).state.step
    assert saved >= 79  # the steps of the first epoch


@pytest.mark.slow
def test_a_hangup_that_is_ignored_stays_so(tmp_path):
    words = [*COMMAND, "train", "lenet5", "--epochs", "3", "--out", str(tmp_path / "run")]
    process = subprocess.Popen(["nohup", *words], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch 1/3"):
            break
    process.send_signal(signal.SIGHUP)
    rest, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "epoch 3/3" in rest


class Utf8(io.StringIO):
    encoding = "utf-8"


@pytest.mark.parametrize("words", ["show 狐狸.net", "suggest 狐狸.net", "plan 狐狸.net"])
def test_json_shows_letters_as_letters(tmp_path, monkeypatch, words):
    (tmp_path / "狐狸.net").write_text("[16x16x1] input\n[10] fc: 10 neurons\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["classicnets", *words.split(), "--json"])
    monkeypatch.setattr(sys, "stdout", out := Utf8())
    with pytest.raises(SystemExit):
        main()
    assert "狐狸" in out.getvalue()
    assert r"\u" not in out.getvalue()


def test_columns_stand_below_each_other_where_a_character_takes_two_columns():
    lines = align([["run", "images"], ["我的", "1,000"], ["mine", "猫"]], ("run",))
    # in columns: run padded to 4 and a gap of 2, images to 6
    assert lines == ["run   images", "我的   1,000", "mine      猫"]
