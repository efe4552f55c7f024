"""The verb evaluate as one types it: protocols, ensembles, files, tables."""

import csv
import hashlib
import io
import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

import classicnets as cn
from classicnets.data.synthetic import shapes


@pytest.fixture(scope="module")
def runs(run, tmp_path_factory) -> list[Path]:
    """LeNet-5 after an epoch on the digits, twice."""
    other = tmp_path_factory.mktemp("runs") / "1"
    cn.train("lenet5", epochs=1, seed=1, out=other).finish()
    return [run, other]


def test_each_protocol_reports_its_views(run_cli, runs):
    printed = {}
    for name in ("single", "ten-crop", "dense"):
        done = run_cli("evaluate", runs[0], "--protocol", name, "--json")
        assert done.status == 0, done.err
        printed[name] = json.loads(done.out)
    assert {name: t["views"] for name, t in printed.items()} == {
        "single": 1,
        "ten-crop": 10,
        "dense": 2,
    }
    assert {t["protocol"] for t in printed.values()} == set(printed)
    assert all(t["images"] == 359 and t["seconds"] > 0 for t in printed.values())
    assert (  # the crops are as large as the images
        printed["ten-crop"]["top1_error"] == printed["dense"]["top1_error"]
    )


def test_a_run_is_evaluated_by_its_papers_protocol_unless_another_is_given(tmp_path):
    from dataclasses import replace

    from classicnets.recipes.fast import fast

    splits = shapes(40, side=16)
    recipe = replace(fast(16), epochs=1, batch=16, protocol="ten-crop")
    net = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(48, 4))
    training = cn.train(net, splits, recipe, out=tmp_path / "run")
    assert training.finish().protocol == "single"
    assert cn.evaluate(tmp_path / "run", splits.test, network=net).protocol == "ten-crop"
    single = cn.evaluate(tmp_path / "run", splits.test, "single", network=net)
    assert single.protocol == "single"


def test_an_unknown_protocol_is_refused_with_a_list_of_all(run_cli, runs):
    done = run_cli("evaluate", runs[0], "--protocol", "11-crop")
    assert done.status == 2
    for name in ("single", "ten-crop", "dense", "multi-scale", "144-crop", "fully-convolutional"):
        assert name in done.err


def test_several_runs_are_averaged(run_cli, runs):
    both = json.loads(run_cli("evaluate", *runs, "--json").out)
    assert (both["views"], both["images"]) == (2, 359)
    twice = cn.evaluate([runs[0], runs[0]])
    assert twice.confusion == cn.evaluate(runs[0]).confusion
    assert twice.calibration_error == pytest.approx(cn.evaluate(runs[0]).calibration_error)


def test_it_says_from_which_weights_the_figures_are(run_cli, runs):
    printed = json.loads(run_cli("evaluate", *runs, "--json").out)["weights"]
    for said, run in zip(printed, runs, strict=True):
        content = (run / "weights.safetensors").read_bytes()
        assert said == {
            "file": str(run / "weights.safetensors"),
            "sha256": hashlib.sha256(content).hexdigest(),
            "epoch": 1,
        }
    lines = run_cli("evaluate", runs[0]).out.splitlines()
    assert f"weights: {runs[0]}/weights.safetensors, of epoch 1" in lines


def test_runs_of_other_classes_or_data_are_not_averaged(runs, tmp_path, write_folder):
    folder = str(write_folder(tmp_path / "data"))
    cn.train("lenet5", folder, epochs=1, out=tmp_path / "run").finish()
    with pytest.raises(ValueError, match="only runs of the same classes can be averaged"):
        cn.evaluate([runs[0], tmp_path / "run"])
    other = str(write_folder(tmp_path / "other"))
    cn.train("lenet5", other, epochs=1, out=tmp_path / "third").finish()
    for data in (None, folder, other):
        with pytest.raises(ValueError, match="must name images that are new to both"):
            cn.evaluate([tmp_path / "run", tmp_path / "third"], data)
    new = str(write_folder(tmp_path / "new", 3))
    assert cn.evaluate([tmp_path / "run", tmp_path / "third"], new).images == 6


def test_mistakes_in_a_folder_are_named_by_file(tmp_path, write_folder):
    folder = write_folder(tmp_path / "data")
    cn.train("lenet5", str(folder), epochs=1, out=tmp_path / "run").finish()
    for name in ("dark", "light"):  # every image of the two classes now has the other's label
        (tmp_path / "swapped" / name).mkdir(parents=True)
    for k in range(3):
        (folder / "dark" / f"{k}.png").rename(tmp_path / "swapped" / "light" / f"{k}.png")
        (folder / "light" / f"{k}.png").rename(tmp_path / "swapped" / "dark" / f"{k}.png")
    found = cn.evaluate(tmp_path / "run", str(tmp_path / "swapped"), "dense")
    assert found.mistakes
    assert all(Path(str(m.image)).is_file() for m in found.mistakes)
    p = [m.probability for m in found.mistakes]
    assert p == sorted(p, reverse=True)


def test_of_many_classes_those_with_the_lowest_recall_are_listed(capsys):
    from classicnets.cli.report import print_evaluation
    from classicnets.evaluation.metrics import evaluate_scores

    truth = torch.arange(30) % 29  # class 29 has no images, class 7 is never right
    scores = nn.functional.one_hot(torch.where(truth == 7, 0, truth), 30).float()
    names = tuple(f"class {k}" for k in range(30))
    print_evaluation(evaluate_scores(scores, truth, names, "single", 1.0))
    printed = capsys.readouterr().out.splitlines()
    at = printed.index("classes with the lowest recall:")
    assert printed[at + 2].split() == ["7", "1", "0.0", "0.0", "0.0", "class", "7"]
    assert printed[at + 3].split() == ["0", "2", "100.0", "66.7", "80.0", "class", "0"]
    assert len(printed[at + 2 :]) == 10
    assert "class 29" not in "".join(printed)


@pytest.fixture(scope="module")
def overlapping(tmp_path_factory, write_folder):
    """A run, and a folder of six images of which two are among its training images."""
    root = tmp_path_factory.mktemp("overlap")
    folder = write_folder(root / "data" / "train").parent
    for split, grey in (("val", 7), ("test", 9)):
        for name, light in (("dark", grey), ("light", 190 + grey)):
            (folder / split / name).mkdir(parents=True)
            Image.new("L", (40, 36), light).save(folder / split / name / "0.png")
    cn.train("lenet5", str(folder), epochs=1, out=root / "run").finish()
    for name, light in (("dark", 3), ("light", 199)):
        (root / "new" / name).mkdir(parents=True)
        (root / "new" / name / "a.png").write_bytes(
            (folder / "train" / name / "4.png").read_bytes()
        )
        (root / "new" / name / "b.png").write_bytes((folder / "val" / name / "0.png").read_bytes())
        Image.new("L", (40, 36), light).save(root / "new" / name / "c.png")
    return root


@pytest.mark.parametrize("protocol", ["single", "144-crop"])  # in memory, and read from files
def test_training_images_in_another_folder_are_reported(run_cli, overlapping, protocol):
    words = ("evaluate", overlapping / "run", "--data", overlapping / "new")
    done = run_cli(*words, "--protocol", protocol, "--json")
    both = [str(overlapping / "new" / name / "a.png") for name in ("dark", "light")]
    assert json.loads(done.out)["overlap"] == both
    assert done.err == (
        "warning: 2 of 6 images are also among the training images (the same bytes), so the error "
        f"is too low for new ones: {both[0]}, {both[1]}\n"
    )


def test_what_is_not_known_of_the_training_images_is_not_reported(overlapping, runs, tmp_path):
    import shutil

    run, new = overlapping / "run", str(overlapping / "new")
    assert cn.evaluate(run).overlap is None  # its own test images
    assert cn.evaluate(run, str(overlapping / "data" / "test")).overlap == ()
    older = shutil.copytree(run, tmp_path / "run")
    (older / "train.sha256").unlink()
    assert cn.evaluate(older, new).overlap is None
    assert len(cn.evaluate([run, older], new).overlap or ()) == 2
    assert cn.evaluate([run, older], str(overlapping / "data" / "test")).overlap is None
    digits = cn.data.sets.open_data("digits", 32, 1).test
    assert cn.evaluate(runs[0], digits).overlap is None  # images without files
    (older / "train.sha256").write_text("no digest\n")
    with pytest.raises(ValueError, match=r"train.sha256 is damaged: not every line is a SHA-256"):
        cn.evaluate(older, new)


def test_the_digests_are_those_of_the_training_files(overlapping):
    from hashlib import sha256

    files = (overlapping / "data" / "train").rglob("*.png")
    expected = sorted(sha256(file.read_bytes()).hexdigest() for file in files)
    assert sorted((overlapping / "run" / "train.sha256").read_text().split()) == expected


def test_evaluate_writes_a_table_and_a_chart(run_cli, runs, tmp_path):
    table, chart = tmp_path / "classes.csv", tmp_path / "confusion.png"
    done = run_cli("evaluate", runs[0], "--per-class", table, "--png", chart)
    assert done.status == 0, done.err
    assert "calibration error" in done.out
    assert f"wrote {table}" in done.out
    rows = list(csv.DictReader(io.StringIO(table.read_text())))
    assert [row["class"] for row in rows] == list("0123456789")
    assert sum(int(row["images"]) for row in rows) == 359
    printed = json.loads(run_cli("evaluate", runs[0], "--json").out)
    for k, row in enumerate(rows):
        for name in ("recall", "precision", "f1"):
            assert float(row[name]) == pytest.approx(printed[name][k], abs=5e-4)
        assert int(row["images"]) == printed["support"][k]
    assert f"balanced accuracy {printed['balanced_accuracy']:.2f} %" in done.out
    assert "  recall %  precision %  F1 %  class\n" in done.out
    for row in rows:
        assert sum(int(row[f"predicted {name}"]) for name in "0123456789") == int(row["images"])
    with Image.open(chart) as image:
        assert image.format == "PNG"


def test_a_run_whose_data_have_moved_still_predicts_and_says_how_to_evaluate(
    run_cli, tmp_path, write_folder
):
    data = write_folder(tmp_path / "data")
    cn.train("lenet5", str(data), epochs=1, out=tmp_path / "run").finish()
    moved = data.rename(tmp_path / "moved")
    assert run_cli("predict", tmp_path / "run", moved / "dark" / "0.png").status == 0
    done = run_cli("evaluate", tmp_path / "run")
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("classicnets: the data of the run are no longer at ")
    assert done.err.endswith("; if they have moved, name their new place with --data PLACE\n")
    assert run_cli("evaluate", tmp_path / "run", "--data", moved).status == 0
    shutil.rmtree(moved / "dark")  # one class, as no run is trained on
    done = run_cli("evaluate", tmp_path / "run", "--data", moved)
    assert done.status == 0, done.err
    absent, present = (
        line.split() for line in done.out.splitlines() if line.startswith(("0 ", "1 "))
    )
    assert absent == ["0", "0", "-", "-", "-", "dark"]
    images = len(list((moved / "light").iterdir()))
    assert (present[0], present[1], present[-1]) == ("1", str(images), "light")
