"""What people get wrong in their first hour, and the sentence that says what is right."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import classicnets as cn
from classicnets.data.synthetic import shapes
from classicnets.support import fonts
from classicnets.support.errors import TrainingAdvice, on_command_line, option

SCRIPT = """
import classicnets as cn
from classicnets.data.synthetic import shapes
training = cn.train(cn.resnet20(num_classes=4), shapes(60), epochs=1, out="run")
print(training)
try:
    cn.predict("run", "b.png", "c.png")
except ValueError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def warned(tmp_path_factory) -> subprocess.CompletedProcess:
    """A script of a user whose network of the catalogue is given as a module."""
    desk = tmp_path_factory.mktemp("desk")
    (desk / "mine.py").write_text(SCRIPT)
    words = [sys.executable, "mine.py"]
    return subprocess.run(words, cwd=desk, capture_output=True, text=True, check=True)


def test_python_warns_of_the_users_line_as_the_command_line_does(warned):
    line = 'training = cn.train(cn.resnet20(num_classes=4), shapes(60), epochs=1, out="run")'
    assert warned.stderr.count(line) == 2
    assert "mine.py:4: TrainingAdvice: this module is resnet20, and is trained" in warned.stderr
    assert "train('resnet20', ...) takes its paper's recipe" in warned.stderr
    assert "steps will hardly train a network" in warned.stderr
    assert "the same command with epochs=" in warned.stderr


def test_a_training_prints_what_the_command_line_says_before_it(warned):
    for words in (
        "  recipe fast: a network of your own has none of a paper\n",
        "initial values: as the builder left them\n",
        " images for training, ",
        "execution: ",  # fp32 or bf16, by what the processor has
        "top is a whole number, not 'c.png'; several images are a list\n",
    ):
        assert words in warned.stdout, words


def test_a_run_of_a_module_of_the_catalogue_is_opened_by_its_name(tmp_path, run_cli):
    out = tmp_path / "run"
    with pytest.warns(TrainingAdvice, match="this module is plain20"):
        cn.train(cn.plain20(classes=4), shapes(60), epochs=1, out=out).finish()
    done = run_cli("evaluate", out)
    assert (done.status, done.out) == (2, "")
    assert "of the same layers as plain20: add --network plain20, or name your" in done.err
    with pytest.raises(ValueError, match="add network='plain20', or name your own"):
        cn.load(out)
    assert cn.load(out, network="plain20")(shapes(60).train.pixels[:1].float()).shape == (1, 4)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: cn.train("lenet5", lr=0.1), "train takes no lr; write overrides={'lr': 0.1}"),
        (
            lambda: cn.train("lenet5", learning_rate=0.1, bs=8, n_epochs=2),
            "train takes no learning_rate, bs, n_epochs; write epochs=2, "
            "overrides={'lr': 0.1, 'batch': 8}",
        ),
        (
            lambda: cn.train("lenet5", num_classes=4),
            "train takes no num_classes: classes and channels are those of the data",
        ),
        (
            lambda: cn.train("lenet5", pretrained=True),
            "train takes no pretrained; published weights are loaded by the name of their network",
        ),
        (
            lambda: cn.train("lenet5", batch_size=3, patience=4, weight_decay=0.1),
            "overrides={'batch': 3, 'patience': 4, 'optimizer.weight_decay': 0.1}",
        ),
        (
            lambda: cn.train("lenet5", momentum=0.8, scheduler="cosine"),
            r"write overrides={'optimizer.momentum': 0.8, 'lr': 'OneCycle\(0.01\)'}",
        ),
        (
            lambda: cn.train("lenet5", random_state=3, dataset="mnist", max_iter=9, overwrite=True),
            "write seed=3, data='mnist', exist_ok=True, overrides={'steps': 9}",
        ),
        (lambda: cn.train("lenet5", num_workers=3), "no num_workers; write workers=3"),
        (lambda: cn.plan("lenet5", batch_size=3), "plan takes no batch_size; write batch=3"),
        (lambda: cn.compare("a", "b"), r"several are a list, as in compare\(\['a', 'b'\]\)"),
        (lambda: cn.train(), "missing a required argument: 'network'"),
    ],
)
def test_a_call_that_does_not_fit_is_answered_with_one_that_does(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_a_run_in_place_of_data_is_told_from_images(run):
    with pytest.raises(ValueError, match="is a run, and data are images; several runs are a list"):
        cn.evaluate(run, str(run))


def test_options_are_named_as_one_writes_them(run, run_cli):
    with pytest.raises(ValueError, match="or exist_ok=True to replace the run there"):
        cn.train("lenet5", out=run)
    assert "or --exist-ok to replace" in run_cli("train", "lenet5", "--out", run).err
    assert option("data", "a b") == "data='a b'"
    with on_command_line():
        assert option("data", "a b") == "--data 'a b'"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("predict", "one.png"), "predict needs RUN; write: classicnets predict RUN one.png"),
        (("predict",), "predict needs RUN; write: classicnets predict RUN IMAGE"),
        (("train", "--resume"), "--resume needs a value, such as --resume runs/digits"),
        (("train", "lenet5", "--epochs", "x"), "such as --epochs 30"),
        (("diff", "lenet5"), "diff needs B; write: classicnets diff lenet5 B"),
        (("list", "rsnet"), "no network matches 'rsnet'; did you mean resnet"),
        (("show", "lenet5", "--input", "0"), "--input is a side such as 224, or channels x"),
    ],
)
def test_a_command_that_lacks_something_is_answered_with_the_right_one(run_cli, words, said):
    done = run_cli(*words)
    assert (done.status, done.out) == (2, "")
    assert said in done.err
    assert len(done.err.splitlines()) == 1


def test_a_run_is_found_by_its_name_and_a_plate_by_its_list(run_cli, run, tmp_path, monkeypatch):
    missing = run_cli("predict", run, "--top", "1")
    assert missing.err == (
        f"classicnets: predict needs IMAGE; write: classicnets predict {run} IMAGE\n"
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/a").symlink_to(run)
    assert run_cli("evaluate", "a").err == "classicnets: no run at a; did you mean runs/a?\n"
    plates = run_cli("see", run, "--what", "mapz").err
    assert "no kind of plate 'mapz'; did you mean maps? there are all, filters, maps," in plates


@pytest.mark.parametrize("flag", ["--batch-size", "-b", "--batch"])
def test_the_batch_has_one_name_in_all_verbs(run_cli, flag):
    done = run_cli("show", "lenet5", flag, 4, "--json")
    assert json.loads(done.out)["batch"] == 4
    planned = run_cli("plan", "lenet5", flag, 4, "--device", "t4", "--json")
    assert json.loads(planned.out)["batch"] == 4
    for verb in ("train", "plan", "show", "speed"):
        shown = run_cli(verb, "--help").out
        assert "--batch-size" in shown.split("--batch ")[0], shown


def test_a_side_is_a_square_with_the_channels_of_the_network(run_cli):
    done = run_cli("show", "resnet20", "--input", 64, "--json")
    assert json.loads(done.out)["input"] == [3, 64, 64]
    planned = run_cli("plan", "resnet20", "--img-size", 64, "--device", "t4", "--json")
    assert json.loads(planned.out)["input"] == [3, 64, 64]


def test_the_networks_of_list_are_json_for_programs(run_cli):
    found = json.loads(run_cli("list", "resnet", "--json").out)
    (resnet20,) = (row for row in found if row["name"] == "resnet20")
    assert (resnet20["params"], resnet20["macs"]) == (269_722, 40_551_040)


def test_a_plan_says_where_its_largest_batch_exceeds_the_images(run_cli):
    out = " ".join(run_cli("plan", "lenet5", "--data", "digits", "--memory", "8GB").out.split())
    assert ", more than the 1,259 training images" in out


def test_an_explicit_learning_rate_is_no_assumption_and_is_printed_in_full(run_cli, tmp_path):
    words = ("train", "lenet5", "--recipe", "fast", "--epochs", 1, "-b", 64)
    given = run_cli(*words, "--set", "lr=Constant(0.0125)", "--out", tmp_path / "given").out
    assert "assumed lr" not in given
    assert "epoch 1/1: lr 0.0125, loss" in given
    assert "assumed lr" in run_cli(*words, "--out", tmp_path / "default").out


def test_an_unfinished_run_is_called_so(run_cli, tmp_path):
    out = tmp_path / "half"
    for record in cn.train("lenet5", epochs=3, out=out, recipe="fast"):
        if record.epoch == 2:
            break
    done = run_cli("evaluate", out)
    assert f"warning: the training of {out} has not ended: 1 of 3 epochs are done" in done.err
    assert "half has not ended, and has no test error yet" in run_cli("compare", out).out
    assert not json.loads(run_cli("compare", out, "--json").out)[0]["ended"]
    resumed = run_cli("train", "--resume", out).out
    assert "execution: as the run began: fp32" in resumed
    assert "compare" not in resumed.split("what to try next:")[1]  # there is no other run


def test_which_images_are_evaluated_is_said(run_cli, tmp_path, write_folder):
    photos = write_folder(tmp_path / "photos", 10)
    write_folder(tmp_path / "more", 4)
    out = tmp_path / "run"
    run_cli("train", "resnet20", "--data", photos, "--epochs", 1, "--out", out)
    total = sum(1 for file in Path(photos).rglob("*") if file.is_file())
    line = f"images: the test part of {photos}: "
    assert line in (own := run_cli("evaluate", out).out)
    assert f" of {total} images\n" in own.split(line)[1]
    assert f"images: all images of {tmp_path / 'more'}\n" in (
        run_cli("evaluate", out, "--data", tmp_path / "more").out
    )
    other = run_cli("train", "--resume", out, "--data", tmp_path / "more").err
    assert "more holds other data than the run's: " in other
    assert f"the run was trained on {total} of {photos}" in other
    Path(photos).rename(tmp_path / "moved")
    moved = run_cli("evaluate", out, "--data", tmp_path / "moved").out
    assert f"images: the test part of {tmp_path / 'moved'}, where the run's data are now" in moved


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("train", "lenet5", "--data", ""), "--data"),
        (("train", "lenet5", "--data=", "--epochs", "1"), "--data"),
        (("train", "lenet5", "--weights", ""), "--weights"),
        (("train", ""), "an argument"),
        (("predict", "run", ""), "an argument"),
        (("compare", "run", "--csv="), "--csv"),
    ],
)
def test_an_empty_argument_is_not_the_current_folder(run_cli, tmp_path, monkeypatch, words, named):
    monkeypatch.chdir(tmp_path)
    done = run_cli(*words)
    said = "is empty, as is a variable that is not set in the shell; give a value, or leave it out"
    assert done == (2, "", f"classicnets: {named} {said}\n")
    assert not list(tmp_path.iterdir())


def test_a_folder_is_scanned_once(run, tmp_path, write_folder, monkeypatch, run_cli):
    from classicnets.data import given

    folder, scanned = write_folder(tmp_path / "photos", 2), []
    (Path(folder) / "notes.txt").write_text("none")
    find = given.find_images
    monkeypatch.setattr(given, "find_images", lambda root: scanned.append(root) or find(root))
    done = run_cli("predict", run, folder)
    assert len(scanned) == 1
    assert "left out: not an image or of an unknown format (1)" in done.err


def test_characters_without_a_font_are_named_all_at_once(monkeypatch, caplog):
    monkeypatch.setattr(fonts, "_reported", set())
    monkeypatch.setattr(fonts, "_family_with", lambda character: None)
    with fonts.together():
        fonts.families_for("狐狸")
        fonts.families_for("狐猫")
    fonts.families_for("猫")
    (record,) = caplog.records
    assert "no installed font has 狐 狸 猫, drawn as boxes" in record.getMessage()
