"""The verbs design and diff as one types them, and design files where other verbs take a name."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

import classicnets as cn

MINE = """\
# for the digits
every conv: relu

part small n: residual
    conv1: n 3x3 filters, pad 1 -> relu
    conv2: n 3x3 filters, pad 1

[8x8x1] input
conv1: 4 3x3 filters, pad 1  # as wide as the block
block1 to block2: small 4
average: global average
fc: 10 neurons
"""


@pytest.fixture
def mine(tmp_path) -> Path:
    path = tmp_path / "mine.net"
    path.write_text(MINE)
    return path


@pytest.fixture(scope="module")
def trained(run_cli, tmp_path_factory) -> Path:
    """A run of a design whose file is gone."""
    here = tmp_path_factory.mktemp("designs")
    (here / "mine.net").write_text(MINE)
    done = run_cli("train", here / "mine.net", "--epochs", 1, "--out", here / "run")
    assert done.status == 0, done.err
    (here / "mine.net").unlink()
    return here / "run"


def test_a_design_is_written_to_a_new_file_that_builds_the_network(run_cli, tmp_path):
    out = tmp_path / "my.net"
    done = run_cli("design", "alexnet", "--out", out)
    assert (done.status, done.err) == (0, "")
    assert f"classicnets show {out}" in done.out
    assert cn.show(str(out)).totals.params == 60_965_224
    assert run_cli("design", "alexnet").out == out.read_text()
    again = run_cli("design", "lenet5", "--out", out)
    assert (again.status, again.err) == (
        2,
        f"classicnets: {out} exists; name a new file, or add --exist-ok to replace it\n",
    )
    assert run_cli("design", "lenet5", "--out", out, "--exist-ok").status == 0
    assert out.read_text() == run_cli("design", "lenet5").out


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("lenet5", "1x28x28"),
        ("alexnet", "3x64x64"),
        ("zfnet", "3x64x64"),
        ("vgg_d", "3x32x32"),
        ("googlenet", "3x64x64"),
        ("resnet50", "3x64x64"),
    ],
)
def test_every_family_has_a_narrower_version_for_small_images(run_cli, tmp_path, name, size):
    out = tmp_path / "small.net"
    options = ("--width", "1/4", "--input", size, "--classes", 7, "--out", out)
    done = run_cli("design", name, *options)
    assert done.status == 0, done.err
    report = cn.show(str(out))
    assert report.layers[-1].output == (7,)
    assert report.totals.params < cn.find(name).params / 5
    assert "# 1/4 of the maps and neurons" in out.read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("design", "nope"), "no network 'nope'; "),
        (("design", "alexnet", "--width", "wide"), "width is a number such as 1/4 or 0.5, not"),
        (("design", "alexnet", "--width", "1/0"), "width is a number such as 1/4 or 0.5, not"),
        (("design", "alexnet", "--width", "-1"), "width must be above 0 and at most 16, not -1"),
        (
            ("design", "alexnet", "--input", "3x8x8"),
            "images of [8x8x3] do not fit: conv1, 96",
        ),
        (("design", "alexnet", "--classes", "0"), "classes must be at least 1, not 0"),
        (("design", "alexnet", "--out", "my.txt"), "a design's file ends in .net, not 'my.txt'"),
        (("show", "none.net"), "cannot read none.net: No such file or directory"),
        (("show", "none.net", "--watch"), "no such file: none.net"),
        (("show", "alexnet", "--fill"), "--fill is for a design file, not alexnet"),
        (("diff", "alexnet", "none.net"), "cannot read none.net: No such file or directory"),
        (("train", "none.net"), "cannot read none.net: No such file or directory"),
    ],
)
def test_a_mistake_is_one_line(run_cli, monkeypatch, tmp_path, words, message):
    monkeypatch.chdir(tmp_path)
    done = run_cli(*words)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"classicnets: {message}")
    assert done.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["show", "speed", "train", "diff", "recipe"])
def test_a_mistake_in_a_design_names_file_and_line(run_cli, monkeypatch, mine, verb):
    monkeypatch.chdir(mine.parent)
    mine.write_text(MINE.replace("3x3 filters, pad 1  #", "3x3 filtres #"))
    done = run_cli(verb, "mine.net", *["lenet5"] * (verb == "diff"))
    assert done.status == 2
    said = "'4 3x3 filtres' is not a layer; did you mean '4 3x3 filters'"
    assert done.err.startswith(f"classicnets: mine.net, line 9: {said}")
    assert [path.name for path in mine.parent.iterdir()] == ["mine.net"]


def test_show_of_a_design_with_its_warning(run_cli, mine):
    done = run_cli("show", mine, "--json")
    warning = "classicnets: warning: line 6: relu2 ends a branch that is added; ResNet has no "
    assert (done.status, done.err) == (0, f"{warning}non-linearity right before an addition\n")
    # 4 * (9 + 1), two blocks of two convolutions of 4 * (4 * 9 + 1), and 10 * (4 + 1)
    assert json.loads(done.out)["totals"]["params"] == 40 + 4 * 148 + 50


def test_fill_writes_the_shapes_and_leaves_the_rest(run_cli, mine):
    assert run_cli("show", mine, "--fill").status == 0
    lines = mine.read_text().splitlines()
    assert lines[:7] == MINE.splitlines()[:7]
    assert lines[7:] == [
        "[8x8x1] input",
        "[8x8x4] conv1: 4 3x3 filters, pad 1  # as wide as the block",
        "[8x8x4] block1 to block2: small 4",
        "[1x1x4] average: global average",
        "[10]    fc: 10 neurons",
    ]
    before = mine.read_bytes()
    assert "0 lines changed" in run_cli("show", mine, "--fill").out
    assert mine.read_bytes() == before


def test_fill_corrects_a_shape_and_leaves_a_file_with_a_mistake(run_cli, mine):
    mine.write_text(MINE.replace("conv1: 4", "[9x9x9] conv1: 4"))
    said = "line 9: conv1 gives [8x8x4], and [9x9x9] is written; (8 + 2 x 1 - 3) / 1 + 1 = 8"
    assert run_cli("show", mine).err == f"classicnets: {mine}, {said}\n"
    assert run_cli("show", mine, "--fill").status == 0
    assert "[8x8x4] conv1: 4" in mine.read_text()
    wrong = MINE.replace("small 4", "small 5")
    mine.write_text(wrong)
    done = run_cli("show", mine, "--fill")
    assert done.status == 2
    assert "they are added" in done.err
    assert mine.read_text() == wrong


def test_a_listing_without_rectifiers_is_shown_with_a_warning(run_cli, mine):
    mine.write_text("[8x8x1] input\nC1: 2 3x3 filters\nF2: 10 neurons\nF3: 10 neurons\n")
    done = run_cli("show", mine)
    assert done.status == 0
    assert done.err.splitlines() == [
        "classicnets: warning: no non-linearity between C1 and F2, F2 and F3",
        # 10 (2 6 6 + 1) + 10 (10 + 1) of 2 (9 + 1) more
        "classicnets: warning: F2 to F3 hold 98 % of the parameters",
    ]


def test_diff_puts_figures_beside_changed_lines(run_cli, mine):
    other = mine.with_name("other.net")
    other.write_text(MINE.replace("fc: 10 neurons", "fc: 20 neurons"))
    done = run_cli("diff", mine, other, "--json")
    assert (done.status, done.err) == (0, "")
    found = json.loads(done.out)
    assert found["after"]["params"] - found["before"]["params"] == 50
    changed = [(c["sign"], c["line"], c["params"]) for c in found["changes"] if c["sign"] != " "]
    assert changed == [("-", "[10] fc: 10 neurons", 50), ("+", "[20] fc: 20 neurons", 100)]
    assert "the same layers" in run_cli("diff", mine, mine).out


def test_a_run_of_a_design_needs_neither_file_nor_code(run_cli, trained, tmp_path):
    assert (trained / "design.net").read_text() == MINE
    done = run_cli("evaluate", trained, "--json")
    assert done.status == 0, done.err
    assert json.loads(done.out)["images"] == 359
    image = tmp_path / "one.png"
    Image.effect_noise((8, 8), 60).save(image)
    done = run_cli("predict", trained, image)
    assert done.status == 0, done.err
    page = tmp_path / "page.html"
    done = run_cli("see", trained, image, "--what", "maps,cam", "--out", page)
    assert done.status == 0, done.err
    assert page.exists()
    done = run_cli("show", trained / "design.net", "--csv")
    assert done.out.splitlines()[-1].startswith("fc,Linear,10,50,")


def test_a_run_of_a_design_is_resumed(run_cli, trained):
    done = run_cli("train", "--resume", trained, "--epochs", 2)
    assert done.status == 0, done.err
    assert (trained / "design.net").read_text() == MINE


def test_a_run_whose_design_was_damaged_is_refused(run_cli, trained, tmp_path):
    copy = tmp_path / "run"
    copy.mkdir()
    for path in trained.iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    (copy / "design.net").write_text(MINE.replace("small 4", "small 5"))
    done = run_cli("evaluate", copy)
    assert (done.status, done.out) == (2, "")
    assert f"{copy / 'design.net'}, line 10: block1 gives" in done.err
    (copy / "design.net").unlink()
    done = run_cli("evaluate", copy)
    assert done.status == 2
    assert "design.net" in done.err


def test_nothing_in_a_design_is_executed(run_cli, mine):
    for line in ("__import__('os').mkdir('made')", "!!python/object/apply:os.mkdir [made]"):
        mine.write_text(f"{MINE}{line}\n")
        assert run_cli("show", mine).status == 2
    assert [path.name for path in mine.parent.iterdir()] == ["mine.net"]


@pytest.mark.slow
def test_watch_draws_again_when_the_file_is_saved(mine):
    command = [sys.executable, "-m", "classicnets", "show", str(mine), "--watch"]
    out = mine.with_name("out.txt")
    with out.open("w") as file:
        watch = subprocess.Popen(
            command, stdout=file, stderr=file, env={**os.environ, "PYTHONUNBUFFERED": "1"}
        )
        try:
            for text, shown in ((MINE, "682"), (MINE.replace("fc: 10", "fc: ten"), "line 12")):
                mine.write_text(text)
                _wait_for(out, shown)
        finally:
            watch.send_signal(signal.SIGINT)
            watch.wait(20)


def _wait_for(path: Path, text: str) -> None:
    end = time.monotonic() + 60
    while text not in path.read_text():
        assert time.monotonic() < end, path.read_text()
        time.sleep(0.1)
