"""Starting from the weights of another run: what is taken, what is new, what is refused."""

import re
import shutil

import pytest
import torch

import classicnets as cn
from classicnets.data.scaling import Standardise, SubtractMean
from classicnets.data.synthetic import shapes
from classicnets.training.recipe.init import FromRun, HeNormal
from classicnets.training.recipe.serialization import to_json

SMALL = {"batch": 16, "augment": ()}


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """ResNet-20 after an epoch on four classes of coloured shapes."""
    out = tmp_path_factory.mktemp("runs") / "my shapes"
    cn.train("resnet20", shapes(120), recipe="fast", epochs=1, overrides=SMALL, out=out).finish()
    return out


def weights(run):
    return cn.load(run).state_dict()


def start(run, data, out):
    return cn.train(
        "resnet20", data, recipe="fast", epochs=1, overrides=SMALL, out=out, init_from=run
    )


def test_for_the_same_number_of_classes_everything_is_taken(learnt, tmp_path):
    training = start(learnt, shapes(60, seed=1), tmp_path / "run")
    own, before = training.network.state_dict(), weights(learnt)
    assert own.keys() == before.keys()
    assert all(torch.equal(own[name], before[name]) for name in own)
    assert training.recipe.init == FromRun(str(learnt), rest=HeNormal())
    assert f"initial values: learnt in {learnt}, all layers" in str(training).splitlines()


def test_for_other_classes_the_last_layer_alone_is_new(run_cli, learnt, tmp_path, write_folder):
    data = write_folder(tmp_path / "two")  # two classes
    words = ("--data", data, "--recipe", "fast", "--epochs", 1, "--set", "batch=8")
    done = run_cli("train", "resnet20", *words, "--init-from", learnt, "--out", tmp_path / "run")
    assert done.status == 0, done.err
    line = f"initial values: learnt in {learnt}, except fc, which is new, drawn by HeNormal"
    assert line in done.out.splitlines()

    training = start(learnt, data, tmp_path / "again")
    own, before = training.network.state_dict(), weights(learnt)
    new = [name for name in own if not torch.equal(own[name], before[name])]
    assert new == ["fc.weight", "fc.bias"]
    assert own["fc.weight"].shape == (2, 64)
    assert (own["fc.bias"] == 0).all()
    assert training.recipe.init.new == ("fc",)
    assert run_cli("train", "--resume", tmp_path / "again").status == 0


def test_it_is_the_same_as_the_override_it_stands_for(learnt, tmp_path):
    init = FromRun(str(learnt), rest=HeNormal())
    data = shapes(60, seed=1)
    ours = start(learnt, data, tmp_path / "a")
    overrides = {**SMALL, "init": init}
    theirs = cn.train(
        "resnet20", data, recipe="fast", epochs=1, overrides=overrides, out=tmp_path / "b"
    )
    assert to_json(ours.recipe) == to_json(theirs.recipe)
    assert "init" not in {**ours.recipe.cited, **ours.recipe.assumed}


def test_pixels_are_scaled_as_in_that_run_unless_they_are_set(learnt, tmp_path):
    data = shapes(60, seed=1)
    training = cn.train("resnet20", data, init_from=learnt, out=tmp_path / "a")
    assert cn.find("resnet20").recipe.pixels != training.recipe.pixels == Standardise()
    assert not {"init", "pixels"} & set(training.adapted)
    overrides = {"pixels": "SubtractMean()"}
    own = cn.train("resnet20", data, overrides=overrides, init_from=learnt, out=tmp_path / "b")
    assert own.recipe.pixels == SubtractMean()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (
            ("resnet32",),
            r"resnet32 cannot start from .*my shapes, a run of resnet20: conv2_x.conv2_4.body"
            r".conv1.weight is missing there and \(16, 16, 3, 3\) here",
        ),
        (("lenet5",), "lenet5 cannot start from .*, a run of resnet20: C1.weight is missing there"),
        (("resnet20", "--set", "init=AsBuilt()"), "--init-from and --set init exclude each other"),
        (("--resume", "x"), "--resume keeps the settings of the run; remove .*--init-from"),
    ],
)
def test_a_run_that_does_not_fit_is_one_sentence(
    run_cli, learnt, tmp_path, write_folder, words, reason
):
    data = write_folder(tmp_path / "two")
    more = ("--data", data, "--recipe", "fast", "--out", tmp_path / "run")
    done = run_cli("train", *words, "--init-from", learnt, *more)
    assert (done.status, done.out) == (2, "")
    assert re.search(reason, done.err), done.err
    assert len(done.err.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_missing_or_has_learnt_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no run at nowhere"):
        start("nowhere", shapes(60), tmp_path / "run")
    begun = cn.train("resnet20", shapes(60), recipe="fast", epochs=1, out=tmp_path / "begun")
    with pytest.raises(ValueError, match="begun has no weights yet: no weights"):
        start(begun.directory, shapes(60), tmp_path / "run")


def test_frozen_layers_of_your_own_network_take_the_weights_and_keep_them(learnt, tmp_path):
    def frozen(classes, channels):
        network = cn.resnet20(classes, channels)
        for name, weight in network.named_parameters():
            weight.requires_grad = name.startswith("fc")
        return network

    overrides = {**SMALL, "side": 32, "crop": 32, "average": None}
    training = cn.train(
        frozen, shapes(60), epochs=1, overrides=overrides, init_from=learnt, out=tmp_path / "run"
    )
    training.finish()
    before, after = weights(learnt), dict(training.network.named_parameters())
    assert all(torch.equal(after[name], before[name]) for name in after if name[:2] != "fc")
    assert not torch.equal(after["fc.weight"], before["fc.weight"])


def test_a_run_is_replaced_by_one_that_starts_from_its_weights(learnt, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(learnt, out)
    before = weights(out)
    training = cn.train(
        "resnet20", shapes(60), "fast", epochs=1, overrides=SMALL, out=out, init_from=out,
        exist_ok=True,
    )  # fmt: skip
    own = training.network.state_dict()
    assert all(torch.equal(own[name], before[name]) for name in own)
    assert not (out / "metrics.csv").exists()
    training.finish()
    after = weights(out)
    assert any(not torch.equal(after[name], before[name]) for name in after)


def test_what_cannot_start_from_a_run_leaves_it_as_it_is(run_cli, learnt, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(learnt, out)
    words = ("train", "lenet5", "--epochs", 1, "--out", out, "--exist-ok", "--init-from", out)
    assert run_cli(*words).status == 2
    assert {p.name: p.read_bytes() for p in learnt.iterdir() if p.is_file()} == {
        p.name: p.read_bytes() for p in out.iterdir() if p.is_file()
    }
