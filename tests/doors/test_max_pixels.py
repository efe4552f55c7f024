"""The option --max-pixels, which train, evaluate, predict, see and pack share."""

import json
from pathlib import Path

import pytest
from PIL import Image

from classicnets.data.image_file import max_pixels

LARGE = 20 * 60


@pytest.fixture(autouse=True)
def _limit_of_1000(monkeypatch):
    """What the option sets for its process ends with the test."""
    monkeypatch.setenv("CLASSICNETS_MAX_PIXELS", "1000")


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two classes of six images, one image of which has more than 1,000 pixels."""
    for k, name in enumerate(("dark", "light")):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(6):
            size = (60, 20) if (name, i) == ("dark", 0) else (16, 16)
            Image.new("L", size, 100 * k + i).save(tmp_path / "images" / name / f"{i}.png")
    return tmp_path / "images"


def test_the_option_holds_for_every_verb_and_a_run_remembers_it(
    run_cli, monkeypatch, folder, tmp_path
):
    run, large = tmp_path / "run", folder / "dark" / "0.png"
    begin = ("train", "lenet5", "--data", folder, "--recipe", "fast", "--epochs", 1, "--out", run)
    given = ("--max-pixels", LARGE)
    done = run_cli(*begin, *given)
    assert done.status == 0, done.err
    stored = json.loads((run / "run.json").read_text())
    assert (stored["max_pixels"], sum(stored["images"]), stored["skipped"]) == (LARGE, 12, [])
    words = {
        "evaluate": ("evaluate", run),
        "predict": ("predict", run, large),
        "see": ("see", run, large, "--what", "maps", "--out", tmp_path / "see"),
        "train": ("train", "--resume", run),
    }
    message = {
        "evaluate": f"has changed since the run: 12 images then, 11 now; the run read images of "
        f"another size: add --max-pixels {LARGE}",
        "predict": f"60 x 20 are 1,200 pixels; at most 1,000 are read (--max-pixels {LARGE}, or "
        "CLASSICNETS_MAX_PIXELS, to read it)",
    }
    message |= {"train": message["evaluate"], "see": message["predict"]}
    for verb, typed in words.items():
        monkeypatch.setenv("CLASSICNETS_MAX_PIXELS", "1000")
        done = run_cli(*typed)
        assert done.status == 2, verb
        assert message[verb] in done.err
        assert len(done.err.splitlines()) == 1
        done = run_cli(*typed, *given)
        assert done.status == 0, (verb, done.err)
    monkeypatch.setenv("CLASSICNETS_MAX_PIXELS", "1000")
    for option, images in (((), 11), (given, 12)):
        done = run_cli("pack", folder, tmp_path / f"{images}.pack", "--side", 16, *option)
        assert f"{images} images" in done.out
        assert ("0.png cannot be read" in done.out) == (images == 11)


@pytest.mark.parametrize("value", ["0", "-5", "x", "1e9", "9" * 16])
def test_an_illegal_limit_is_refused_in_one_line(run_cli, folder, tmp_path, value):
    done = run_cli("pack", folder, tmp_path / "x.pack", f"--max-pixels={value}")
    assert (done.status, done.out) == (2, "")
    assert done.err == (
        "classicnets: --max-pixels, or CLASSICNETS_MAX_PIXELS, must be a whole number of pixels, "
        f"such as 268435456, not {value!r}\n"
    )


def test_the_limit_without_an_option_is_that_of_the_environment(monkeypatch):
    assert max_pixels() == 1000
    monkeypatch.setenv("CLASSICNETS_MAX_PIXELS", "")
    assert max_pixels() == 2**28
