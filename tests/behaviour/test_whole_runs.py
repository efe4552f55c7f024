"""What a run owes its user: nothing half-written, judged on other data, or left to chance."""

import dataclasses
import json
import shutil
import time
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

import classicnets as cn
from classicnets.data.augment import HorizontalFlip
from classicnets.data.sets import open_data
from classicnets.data.synthetic import shapes
from classicnets.recipes import lenet
from classicnets.recipes.fast import fast
from classicnets.support import files
from classicnets.training.recipe.schedules import UNKNOWN, Constant, EpochTable, History
from classicnets.training.run import checkpoint

SMALL = dataclasses.replace(fast(16), epochs=3, batch=16)


class Tied(nn.Module):
    """Two layers that share one weight."""

    def __init__(self):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.one, self.two = nn.Linear(12, 12), nn.Linear(12, 12)
        self.two.weight = self.one.weight
        self.scores = nn.Linear(12, 4)

    def forward(self, x):
        return self.scores(self.two(self.one(self.pool(x).flatten(1)).relu()).relu())


def net() -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Dropout(0.5), nn.Linear(48, 4))


@pytest.fixture(scope="module")
def run(tmp_path_factory, write_folder) -> Path:
    """LeNet-5 after one pass over a folder of 24."""
    root = tmp_path_factory.mktemp("lenet")
    data = str(write_folder(root / "data"))
    cn.train("lenet5", data, epochs=1, out=root / "run").finish()
    return root / "run"


@pytest.fixture
def copy(run, tmp_path) -> Path:
    return shutil.copytree(run, tmp_path / "copy")


def test_shared_weights_are_saved_and_are_shared_when_read_back(tmp_path):
    splits = shapes(60, side=16)
    training = cn.train(Tied(), splits, SMALL, out=tmp_path / "run")
    training.finish()
    network = cn.load(tmp_path / "run", Tied())
    one, two = network.get_parameter("one.weight"), network.get_parameter("two.weight")
    assert one is two
    assert torch.equal(one, training.network.get_parameter("two.weight"))
    assert cn.resume(tmp_path / "run", Tied(), splits).state.step == training.state.step


def test_a_checkpoint_that_takes_long_is_not_written_after_each_short_epoch(tmp_path, monkeypatch):
    save, steps = checkpoint.save, []

    def slow(state, path, fixed):
        time.sleep(0.5)
        save(state, path, fixed)
        steps.append(state.step)

    monkeypatch.setattr(checkpoint, "save", slow)
    splits, recipe = shapes(60, side=16), dataclasses.replace(SMALL, epochs=5)

    def begun(name):
        torch.manual_seed(0)
        return cn.train(net(), splits, recipe, out=tmp_path / name)

    whole = begun("whole")
    whole.finish()
    each = whole.config.steps_per_epoch
    assert steps == [each, 5 * each]
    for record in (part := begun("part")):  # which ends without another checkpoint
        if record.epoch == 3 and record.validation:
            break
    assert len(part.run.epochs) == 3
    resumed = cn.resume(tmp_path / "part", net(), splits)
    assert resumed.state.step == each
    resumed.finish()
    once, again = (
        (tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "part")
    )
    assert once == again
    assert [e.train_loss for e in resumed.run.epochs] == [e.train_loss for e in whole.run.epochs]


def test_a_run_is_not_evaluated_on_a_folder_that_has_changed(tmp_path, write_folder):
    data = write_folder(tmp_path / "data")
    cn.train("lenet5", str(data), epochs=1, out=tmp_path / "run").finish()
    assert cn.evaluate(tmp_path / "run").images == 4
    (data / "dark" / "0.png").rename(data / "dark" / "other.png")
    with pytest.raises(
        ValueError, match=r"has changed .*: 24 images then, as many, but different ones, now"
    ):
        cn.evaluate(tmp_path / "run")
    for k in range(24):
        Image.new("L", (8, 8)).save(data / "dark" / f"new{k}.png")
    changed = (
        r"has changed since the run: 24 images then, 48 now; data='FOLDER' evaluates it on other"
    )
    for spec in (None, str(data), f"{data}/../data"):
        with pytest.raises(ValueError, match=changed):
            cn.evaluate(tmp_path / "run", spec)
    with pytest.raises(ValueError, match="24 images then, 48 now"):
        cn.resume(tmp_path / "run")
    assert cn.evaluate(tmp_path / "run", str(write_folder(tmp_path / "more", 3))).images == 6


def test_data_named_from_home_can_be_found_again(tmp_path, monkeypatch, write_folder):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_folder(tmp_path / "pics", 5)
    cn.train("lenet5", "~/pics", epochs=1, out=tmp_path / "run").finish()
    assert cn.evaluate(tmp_path / "run").images == 2


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"recipe": {}}, "recipe.cite is missing"),
        ({"recipe": 5}, "recipe is not an object"),
        ({"execution": {"parts": 2}}, "execution has no parts"),
        ({"scaling": {}}, "scaling.scale is missing"),
        ({"classes": None}, "classes cannot be None"),
        ({"classes": ["a", 1]}, "classes cannot be"),
        ({"network": 5}, "network cannot be 5"),
        ({"input": "abc"}, "input cannot be 'abc'"),
        ({"input": [1]}, r"input cannot be \[1\]; it takes a tuple"),
        ({"seed": "x"}, "seed cannot be 'x'"),
        ({"differences": [1]}, "differences is not an object"),
    ],
)
def test_a_damaged_run_json_is_named_in_a_sentence(copy, content, sentence):
    before = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps({**before, **content}))
    for use in (cn.evaluate, cn.resume):
        with pytest.raises(ValueError, match=rf"run\.json is damaged: {sentence}"):
            use(copy)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("run.json", None, "is not a run: it has no run.json"),
        ("run.json", b'{"network": ', "run.json is damaged"),
        ("run.json", b"\xff", "run.json is damaged"),
        ("run.json", b"[]", "network is missing"),
        ("run.json", b"{}", "network is missing"),
        ("metrics.jsonl", b"5\n", "metrics.jsonl is damaged: the content is not an object"),
        ("metrics.jsonl", b'{"epoch": 1}\n', "metrics.jsonl is damaged: step is missing"),
        ("metrics.jsonl", b'{"epoch": "x"}\n', "metrics.jsonl is damaged: epoch cannot be 'x'"),
        ("weights.safetensors", None, "has no weights yet"),
        ("weights.safetensors", b"\x10", "weights.safetensors is damaged"),
    ],
)
def test_a_damaged_file_is_named_in_a_sentence(copy, name, content, sentence):
    (copy / name).unlink()
    if content is not None:
        (copy / name).write_bytes(content)
    with pytest.raises(ValueError, match=sentence):
        cn.evaluate(copy)


@pytest.mark.parametrize("name", ["run.json", "metrics.jsonl", "weights.safetensors", "last.pt"])
def test_a_directory_in_the_place_of_a_file_is_named_in_a_sentence(copy, name):
    (copy / name).unlink()
    (copy / name).mkdir()
    use = cn.resume if name == "last.pt" else cn.evaluate
    with pytest.raises(ValueError, match=rf"{name} (is damaged|cannot be read)"):
        use(copy)


@pytest.mark.parametrize("content", [b"", b"5", b"junk" * 100])
def test_a_saved_state_that_cannot_be_read_is_named_in_our_words(copy, content):
    (copy / "last.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"last\.pt is damaged and holds no training state$"):
        cn.resume(copy)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("network", 5),
        ("network", {"C1.weight": 5}),
        ("optimizer", []),
        ("validation", None),
        ("lowest", "abc"),
        ("fixed", 5),
        ("totals", torch.zeros(7)),
        ("step", "x"),
        ("best", (1.0,)),
    ],
)
def test_a_saved_state_with_something_else_inside_is_refused(copy, part, value):
    content = torch.load(copy / "last.pt", weights_only=True)
    torch.save({**content, part: value}, copy / "last.pt")
    with pytest.raises(ValueError, match=r"last\.pt is damaged"):
        cn.resume(copy)


def test_resuming_draws_no_initial_values(copy, monkeypatch):
    def refused(self, network, generator):
        raise AssertionError("initial values were drawn")

    monkeypatch.setattr(type(lenet.MNIST.init), "__call__", refused)
    assert cn.resume(copy).state.step == 2  # 18 images, in batches of 16


def test_what_cannot_start_leaves_nothing_behind(tmp_path):
    splits = shapes(60, side=16)
    flat = nn.Sequential(nn.AdaptiveAvgPool2d((4, 1)), nn.AvgPool3d((3, 1, 1)), nn.Flatten())
    with pytest.raises(ValueError, match="has no parameters to train"):
        cn.train(flat, splits, SMALL, out=tmp_path / "run")
    recipe = dataclasses.replace(SMALL, init=lenet.MNIST.init)
    with pytest.raises(
        ValueError, match=r"initialises S2\.coefficient, which the network does not have"
    ):
        cn.train(net(), splits, recipe, out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


class Halved(Constant):
    """A rate that no run can keep."""

    def __call__(self, progress: float, history: History = UNKNOWN) -> float:
        return self.lr / 2


def test_a_recipe_with_a_part_of_your_own_needs_it_again_to_be_resumed(tmp_path):
    recipe = dataclasses.replace(SMALL, lr=Halved(0.02), epochs=1)
    splits = shapes(60, side=16)
    cn.train(net(), splits, recipe, out=tmp_path / "run").finish()
    assert cn.evaluate(tmp_path / "run", splits.test, network=net()).images == 12
    with pytest.raises(ValueError, match=r"part of your own, .*:Halved, whose code runs only"):
        cn.resume(tmp_path / "run", net(), splits)
    assert cn.resume(tmp_path / "run", net(), splits, recipe=recipe).recipe == recipe
    content = json.loads((tmp_path / "run" / "run.json").read_text())["recipe"]["lr"]
    assert content["text"] == "Halved(lr=0.02)"


class Reads(nn.Module):
    """A network whose way depends on values, so that shapes alone cannot follow it."""

    def __init__(self, classes: int):
        super().__init__()
        self.body, self.fc = nn.AdaptiveAvgPool2d(2), nn.Linear(12, classes)

    def forward(self, x):
        return self.fc(self.body(x).flatten(1) * (2 if x.sum() > 0 else 1))


def test_a_network_that_shapes_cannot_follow_is_tried_on_blank_images(tmp_path):
    splits = shapes(60, side=16)
    with pytest.raises(ValueError, match=r"gives \(2, 7\) for two images of 4 classes"):
        cn.train(Reads(7), splits, SMALL, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert cn.train(Reads(4), splits, SMALL, epochs=1, out=tmp_path / "run").finish().images == 12


def test_a_write_that_fails_leaves_the_old_file_and_names_it(tmp_path, monkeypatch):
    path = tmp_path / "file"
    files.write_atomic(path, b"old")
    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match=r"cannot write .*file: No space left on device"):
        files.write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def full(descriptor: int) -> None:
    raise OSError(28, "No space left on device")


def test_a_full_disk_says_what_can_be_resumed(tmp_path, monkeypatch):
    splits = shapes(60, side=16)  # three steps an epoch
    training = cn.train(net(), splits, SMALL, out=tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        with pytest.raises(OSError, match=r"weights\.safetensors: No space .* holds no checkpoint"):
            training.finish()
    with pytest.raises(ValueError, match=r"no checkpoint .*last\.pt to resume from"):
        cn.resume(tmp_path / "run", net(), splits)
    training = cn.train(net(), splits, SMALL, out=tmp_path / "second")
    with monkeypatch.context() as patch:
        for record in (steps := iter(training)):
            if record.step == 3:
                patch.setattr(files.os, "fsync", full)
                break
        with pytest.raises(OSError, match=r"No space .* holds a checkpoint of step 3"):
            list(steps)
    assert cn.resume(tmp_path / "second", net(), splits).finish().images == 12


def test_saving_after_the_end_leaves_the_state_of_the_last_step(tmp_path):
    splits = shapes(120, side=16)
    worse = dataclasses.replace(SMALL, lr=EpochTable(((1, 0.02), (3, 20.0))))
    training = cn.train(net(), splits, worse, out=tmp_path / "run")
    training.finish()
    assert json.loads((tmp_path / "run" / "run.json").read_text())["best_epoch"] < 3
    last = training.run.last.read_bytes()
    training.save()
    assert training.run.last.read_bytes() == last
    again = cn.resume(tmp_path / "run", net(), splits)
    again.finish()
    again.save()
    assert training.run.last.read_bytes() == last


def test_two_trainings_step_by_step_in_turn_and_draws_between_change_nothing(tmp_path):
    splits = shapes(60, side=16)
    alone = cn.train(net(), splits, SMALL, out=tmp_path / "alone")
    torch.manual_seed(0)
    expected = torch.rand(3)
    start = [p.clone() for p in alone.network.parameters()]
    alone.finish()

    torch.manual_seed(0)
    networks = [net(), net()]
    for network in networks:
        for p, value in zip(network.parameters(), start, strict=True):
            p.data.copy_(value)
    pair = [cn.train(n, splits, SMALL, out=tmp_path / str(k)) for k, n in enumerate(networks)]
    torch.manual_seed(0)
    for _ in zip(*pair, strict=True):
        pass
    assert torch.equal(torch.rand(3), expected)
    for one in pair:
        for name, p in one.network.named_parameters():
            assert torch.equal(p, alone.network.get_parameter(name))


def test_fast_mirrors_neither_digits_nor_grey_images(tmp_path, write_folder):
    digits = open_data("digits", 32, 3)
    folder = str(write_folder(tmp_path / "data", 4))
    flips = {
        k: HorizontalFlip() in cn.train(*words, out=tmp_path / k).recipe.augment
        for k, words in {
            "digits": ("resnet20", "digits", "fast"),
            "digits from Python": (nn.Sequential(nn.Flatten(), nn.Linear(3072, 10)), digits, None),
            "grey": ("lenet5", folder, "fast"),
            "colour": ("resnet20", folder, "fast"),
        }.items()
    }
    assert flips == {"digits": False, "digits from Python": False, "grey": False, "colour": True}
