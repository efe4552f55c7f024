"""The verb predict as one types it: files, folders, lists, output formats."""

import csv
import importlib
import io
import json
import os
from pathlib import Path

import pytest
from PIL import Image

import classicnets as cn


@pytest.fixture
def images(tmp_path) -> Path:
    """A folder with two images, one of them deeper, a damaged one, and a text file."""
    root = tmp_path / "images"
    (root / "deeper").mkdir(parents=True)
    (root / ".hidden").mkdir()
    for place in ("a.png", "deeper/b.jpg", ".hidden/c.png"):
        Image.new("L", (28, 30), 40).save(root / place)
    (root / "bad.png").write_bytes(b"no")
    (root / "notes.txt").write_text("not an image")
    return root


def test_predict_takes_folders_and_skips_damaged_images_in_them(run_cli, run, images):
    done = run_cli("predict", run, images, "--json")
    assert done.status == 0
    paths = [Path(image["path"]).relative_to(images) for image in json.loads(done.out)]
    assert paths == [Path("a.png"), Path("deeper/b.jpg")]
    assert done.err.startswith("warning: skipped: ")
    assert "bad.png cannot be read" in done.err
    assert f"left out: hidden (1): {images / '.hidden'}\n" in done.err
    assert f"left out: not an image or of an unknown format (1): {images / 'notes.txt'}" in done.err


def test_predict_refuses_a_damaged_image_that_is_named(run_cli, run, images):
    done = run_cli("predict", run, images / "a.png", images / "bad.png")
    assert (done.status, done.out) == (2, "")
    assert "bad.png cannot be read" in done.err


def test_predict_reads_a_list_of_paths_from_standard_input(run_cli, run, images):
    paths = [str(images / "a.png"), str(images / "deeper" / "b.jpg")]
    done = run_cli("predict", run, "-", "--csv", "--top", 2, stdin="\n".join(paths))
    assert done.status == 0, done.err
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert [(row["path"], row["rank"]) for row in rows] == [(p, r) for p in paths for r in "12"]
    assert all(0 <= float(row["probability"]) <= 1 for row in rows)


@pytest.mark.parametrize("words", [("-",), ("--json", "--csv", "x.png")])
def test_predict_without_an_image_or_with_two_formats_is_a_mistake(run_cli, run, words):
    done = run_cli("predict", run, *words)
    assert (done.status, done.out) == (2, "")
    assert len(done.err.strip().splitlines()) == 1


def test_predict_from_a_closed_standard_input_is_a_mistake(run_cli, run):
    _, out, err = result = run_cli("predict", run, "-", stdin=None)
    assert result.status == 2
    assert out == ""
    assert err == "classicnets: - takes a list of paths on standard input, which is closed\n"


@pytest.mark.skipif(os.name != "posix", reason="needs named pipes")
def test_predict_opens_no_pipe(run_cli, run, tmp_path):
    os.mkfifo(tmp_path / "x.png")
    _, out, err = result = run_cli("predict", run, tmp_path / "x.png")
    assert result.status == 2
    assert out == ""
    assert err.endswith(
        "x.png cannot be read as an image: it is a named pipe, not a regular file\n"
    )


def test_a_folder_without_images_is_a_mistake(run, tmp_path):
    with pytest.raises(ValueError, match="holds no images"):
        cn.predict(run, [tmp_path])


def test_images_are_read_a_few_at_a_time(run, tmp_path, monkeypatch):
    module = importlib.import_module("classicnets.api.predict")
    read, most = module.read_images, []
    monkeypatch.setattr(
        module,
        "read_images",
        lambda paths, *rest: (most.append(len(paths)), read(paths, *rest))[1],
    )
    for k in range(70):
        Image.new("L", (4, 4), k).save(tmp_path / f"{k}.png")
    assert len(cn.predict(run, [tmp_path])) == 70
    assert max(most) <= 64


def test_a_terminal_gets_a_table(run_cli, run, images, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    done = run_cli("predict", run, images / "a.png", "--top", 1)
    assert "predicted" in done.out.splitlines()[0]
    assert "a.png" in done.out.splitlines()[1]
