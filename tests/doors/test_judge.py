"""The verbs evaluate and predict as one types them: protocols, ensembles, files, folders, lists."""

import csv
import io
import json
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image
from torch import nn

import classicnets as cn
from classicnets.cli import main
from classicnets.data.synthetic import shapes


class Said(NamedTuple):
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str


@pytest.fixture
def classicnets(capsys, monkeypatch):
    def command(*words: object, stdin: str = "") -> Said:
        monkeypatch.setattr(sys, "argv", ["classicnets", *map(str, words)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        status = 0
        try:
            main()
        except SystemExit as end:
            status = int(end.code or 0)
        return Said(status, *capsys.readouterr())

    return command


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> list[Path]:
    """LeNet-5 after a pass over the digits, twice."""
    root = tmp_path_factory.mktemp("runs")
    for seed in (0, 1):
        cn.train("lenet5", epochs=1, seed=seed, out=root / str(seed)).finish()
    return [root / "0", root / "1"]


@pytest.fixture
def pictures(tmp_path) -> Path:
    """A folder of two pictures, one of them deeper, a damaged one, and what is none."""
    root = tmp_path / "pictures"
    (root / "deeper").mkdir(parents=True)
    (root / ".hidden").mkdir()
    for place in ("a.png", "deeper/b.jpg", ".hidden/c.png"):
        Image.new("L", (28, 30), 40).save(root / place)
    (root / "bad.png").write_bytes(b"no")
    (root / "notes.txt").write_text("no picture")
    return root


def test_each_protocol_says_what_it_costs(classicnets, runs):
    told = {}
    for name in ("single", "ten-crop", "dense"):
        done = classicnets("evaluate", runs[0], "--protocol", name, "--json")
        assert done.status == 0, done.err
        told[name] = json.loads(done.out)
    assert {name: t["views"] for name, t in told.items()} == {
        "single": 1,
        "ten-crop": 10,
        "dense": 2,
    }
    assert {t["protocol"] for t in told.values()} == set(told)
    assert all(t["images"] == 359 and t["seconds"] > 0 for t in told.values())
    assert told["ten-crop"]["top1_error"] == told["dense"]["top1_error"]  # crops as large as all


def test_a_run_is_judged_by_its_papers_protocol_unless_told_otherwise(tmp_path):
    from dataclasses import replace

    from classicnets.recipes.fast import fast

    splits = shapes(40, side=16)
    recipe = replace(fast(16), epochs=1, batch=16, protocol="ten-crop")
    net = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(48, 4))
    training = cn.train(net, splits, recipe, out=tmp_path / "run")
    assert training.finish().protocol == "single"
    assert cn.evaluate(tmp_path / "run", splits.test, network=net).protocol == "ten-crop"
    told = cn.evaluate(tmp_path / "run", splits.test, "single", network=net)
    assert told.protocol == "single"


def test_an_unknown_protocol_is_answered_with_all_there_are(classicnets, runs):
    done = classicnets("evaluate", runs[0], "--protocol", "11-crop")
    assert done.status == 2
    for name in ("single", "ten-crop", "dense", "multi-scale", "144-crop", "fully-convolutional"):
        assert name in done.err


def test_several_runs_are_averaged(classicnets, runs):
    both = json.loads(classicnets("evaluate", *runs, "--json").out)
    assert (both["views"], both["images"]) == (2, 359)
    twice = cn.evaluate([runs[0], runs[0]])
    assert twice.confusion == cn.evaluate(runs[0]).confusion
    assert twice.calibration_error == pytest.approx(cn.evaluate(runs[0]).calibration_error)


def test_runs_of_other_classes_or_data_are_not_averaged(runs, tmp_path, write_folder):
    folder = str(write_folder(tmp_path / "data"))
    cn.train("lenet5", folder, epochs=1, out=tmp_path / "run").finish()
    with pytest.raises(ValueError, match="only runs of the same classes can be averaged"):
        cn.evaluate([runs[0], tmp_path / "run"])
    other = str(write_folder(tmp_path / "other"))
    cn.train("lenet5", other, epochs=1, out=tmp_path / "third").finish()
    for data in (None, folder, other):
        with pytest.raises(ValueError, match="must name pictures that are new to both"):
            cn.evaluate([tmp_path / "run", tmp_path / "third"], data)
    new = str(write_folder(tmp_path / "new", 3))
    assert cn.evaluate([tmp_path / "run", tmp_path / "third"], new).images == 6


def test_mistakes_in_a_folder_are_named_by_file(tmp_path, write_folder):
    folder = write_folder(tmp_path / "data")
    cn.train("lenet5", str(folder), epochs=1, out=tmp_path / "run").finish()
    for name in ("dark", "light"):  # all that is called one of the two is now wrong
        (tmp_path / "swapped" / name).mkdir(parents=True)
    for k in range(3):
        (folder / "dark" / f"{k}.png").rename(tmp_path / "swapped" / "light" / f"{k}.png")
        (folder / "light" / f"{k}.png").rename(tmp_path / "swapped" / "dark" / f"{k}.png")
    found = cn.evaluate(tmp_path / "run", str(tmp_path / "swapped"), "dense")
    assert found.mistakes
    assert all(Path(str(m.image)).is_file() for m in found.mistakes)
    p = [m.probability for m in found.mistakes]
    assert p == sorted(p, reverse=True)


def test_evaluate_writes_a_table_and_a_picture(classicnets, runs, tmp_path):
    table, picture = tmp_path / "classes.csv", tmp_path / "confusion.png"
    done = classicnets("evaluate", runs[0], "--csv", table, "--png", picture)
    assert done.status == 0, done.err
    assert "calibration error" in done.out
    assert f"written: {table}" in done.out
    rows = list(csv.DictReader(io.StringIO(table.read_text())))
    assert [row["class"] for row in rows] == list("0123456789")
    assert sum(int(row["images"]) for row in rows) == 359
    for row in rows:
        assert sum(int(row[f"predicted {name}"]) for name in "0123456789") == int(row["images"])
    with Image.open(picture) as image:
        assert image.format == "PNG"


def test_predict_takes_folders_and_leaves_out_what_is_damaged_in_them(classicnets, runs, pictures):
    done = classicnets("predict", runs[0], pictures, "--json")
    assert done.status == 0
    told = [Path(picture["path"]).relative_to(pictures) for picture in json.loads(done.out)]
    assert told == [Path("a.png"), Path("deeper/b.jpg")]
    assert done.err.startswith("warning: left out: ")
    assert "bad.png cannot be read" in done.err


def test_predict_refuses_a_damaged_picture_that_is_named(classicnets, runs, pictures):
    done = classicnets("predict", runs[0], pictures / "a.png", pictures / "bad.png")
    assert (done.status, done.out) == (2, "")
    assert "bad.png cannot be read" in done.err


def test_predict_reads_a_list_of_paths_from_standard_input(classicnets, runs, pictures):
    paths = [str(pictures / "a.png"), str(pictures / "deeper" / "b.jpg")]
    done = classicnets("predict", runs[0], "-", "--csv", "--top", 2, stdin="\n".join(paths))
    assert done.status == 0, done.err
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert [(row["path"], row["rank"]) for row in rows] == [(p, r) for p in paths for r in "12"]
    assert all(0 <= float(row["probability"]) <= 1 for row in rows)


@pytest.mark.parametrize("words", [("-",), ("--json", "--csv", "x.png")])
def test_predict_without_a_picture_or_with_two_forms_is_a_mistake(classicnets, runs, words):
    done = classicnets("predict", runs[0], *words)
    assert (done.status, done.out) == (2, "")
    assert len(done.err.strip().splitlines()) == 1


def test_a_folder_without_pictures_is_a_mistake(runs, tmp_path):
    with pytest.raises(ValueError, match="holds no pictures"):
        cn.predict(runs[0], [tmp_path])


def test_pictures_are_read_a_few_at_a_time(runs, tmp_path, monkeypatch):
    from classicnets.api import judge

    read, most = judge.read_images, []
    monkeypatch.setattr(
        judge,
        "read_images",
        lambda paths, *rest: (most.append(len(paths)), read(paths, *rest))[1],
    )
    for k in range(70):
        Image.new("L", (4, 4), k).save(tmp_path / f"{k}.png")
    assert len(cn.predict(runs[0], [tmp_path])) == 70
    assert max(most) <= 64


def test_a_terminal_gets_a_table(classicnets, runs, pictures, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    done = classicnets("predict", runs[0], pictures / "a.png", "--top", 1)
    assert "likeliest" in done.out.splitlines()[0]
    assert "a.png" in done.out.splitlines()[1]
