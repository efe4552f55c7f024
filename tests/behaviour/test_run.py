"""A run from beginning to end in Python, what it leaves on disk, and what is refused."""

import csv
import dataclasses
import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from torch import nn

import classicnets as cn
from classicnets.data.scaling import Between
from classicnets.data.synthetic import shapes
from classicnets.evaluation.metrics import evaluate_scores
from classicnets.evaluation.protocols import TrainScale, find_protocol, log_probabilities
from classicnets.recipes import lenet
from classicnets.recipes.fast import fast
from classicnets.training.recipe.schedules import Constant
from classicnets.training.run import directory

SMALL = dataclasses.replace(fast(16), epochs=3, batch=16)


def net(classes: int = 4, channels: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(3),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(72, classes),
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory, write_folder) -> Path:
    """LeNet-5 after twelve passes over a folder."""
    root = tmp_path_factory.mktemp("lenet")
    data = str(write_folder(root / "data"))
    training = cn.train("lenet5", data, lenet.DIGITS, epochs=12, out=root / "run")
    training.finish()
    return root / "run"


def test_a_run_directory_holds_what_the_design_says(finished):
    names = {path.name for path in finished.iterdir()}
    assert names == {
        "run.json",
        "train.sha256",
        "metrics.csv",
        "metrics.jsonl",
        "weights.safetensors",
        ".lock",
        "last.pt",
        "curve.png",
    }
    content = json.loads((finished / "run.json").read_text())
    assert content["network"] == "lenet5"
    assert content["input"] == [1, 32, 32]
    assert content["classes"] == ["dark", "light"]
    assert content["recipe"]["epochs"] == 12
    assert content["differences"]["epochs"] == [12, 20]
    assert content["differences"]["batch"] == [16, 1]
    assert content["execution"]["precision"] == "fp32"
    assert content["parameters"] == 60_000
    assert content["versions"]["torch"] == torch.__version__
    assert content["scaling"]["shift"] == [-0.1]
    assert content["images"] == [18, 2, 4]
    errors = [
        (json.loads(line)["validation_top1_error"], json.loads(line)["validation_loss"])
        for line in (finished / "metrics.jsonl").read_text().splitlines()
    ]
    assert content["best_epoch"] == 1 + errors.index(min(errors))
    rows = list(csv.DictReader((finished / "metrics.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == [str(1 + k) for k in range(12)]
    lines = (finished / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(
        range(2, 25, 2)
    )  # 18 pictures in batches of 16
    assert (finished / "curve.png").read_bytes().startswith(b"\x89PNG")
    with safe_open(finished / "weights.safetensors", "pt") as file:
        assert json.loads(file.metadata()["classicnets"])["classes"] == ["dark", "light"]


def test_the_curve_is_drawn_in_a_tenth_of_the_time_and_at_the_end(monkeypatch, tmp_path):
    drawn, clock = [], [0.0]

    def draw(epochs, title: str) -> bytes:
        drawn.append(len(epochs))
        clock[0] += 1.0
        return b"curve"

    monkeypatch.setattr(directory, "learning_curve", draw)
    monkeypatch.setattr(directory, "perf_counter", lambda: clock[0])
    training = cn.train(net(), shapes(60, side=16), dataclasses.replace(SMALL, epochs=25),
                        out=tmp_path / "run")  # fmt: skip
    for record in training:
        clock[0] += (record.validation is not None) * 1.0
    assert drawn == [1, 10, 19, 25]  # nine epochs of a second, after a second of drawing
    assert (tmp_path / "run/curve.png").read_bytes() == b"curve"
    assert cn.resume(tmp_path / "run", network=net(), data=shapes(60, side=16)).finish()
    assert drawn[4:] == [25]


def test_light_and_dark_are_distinguished_from_python(finished, tmp_path):
    assert cn.evaluate(finished).top1_error == 0
    Image.new("RGB", (50, 70), (10, 10, 10)).save(tmp_path / "night.png")
    Image.new("RGB", (50, 70), (240, 240, 240)).save(tmp_path / "day.png")
    night, day = cn.predict(finished, [tmp_path / "night.png", tmp_path / "day.png"])
    assert (night.top[0][0], day.top[0][0]) == ("dark", "light")
    assert sum(p for _, p in night.top) == pytest.approx(1)
    assert night.path == str(tmp_path / "night.png")


def test_the_loaded_network_has_the_best_weights_and_is_in_evaluation_mode(finished):
    network = cn.load(finished)
    assert not network.training
    with safe_open(finished / "weights.safetensors", "pt") as file:
        assert torch.equal(network.get_parameter("F6.weight"), file.get_tensor("F6.weight"))


def test_other_images_can_be_evaluated_and_the_runs_own_folder_means_its_test_part(
    finished, tmp_path, write_folder
):
    data = json.loads((finished / "run.json").read_text())["data"]
    assert cn.evaluate(finished, data).images == 4  # a fifth of each class of twelve
    assert cn.evaluate(finished, str(write_folder(tmp_path / "more", 5))).images == 10


def test_the_best_epoch_is_the_one_of_least_validation_error(tmp_path):
    recipe = dataclasses.replace(SMALL, average=None)
    training = cn.train(net(), shapes(120, side=16), recipe, out=tmp_path / "run")
    kept, errors = [], []
    for record in training:
        if record.validation is not None:
            assert (tmp_path / "run" / "last.pt").exists()
            kept.append(training.network.state_dict()["6.weight"].clone())
            errors.append((record.validation.top1_error, record.validation.loss))
    best = errors.index(min(errors))
    assert torch.equal(training.network.get_parameter("6.weight"), kept[best])
    assert training.test is not None
    assert training.test.images == len(training.splits.test)


def test_a_run_stopped_anywhere_ends_with_the_bits_of_an_uninterrupted_one(tmp_path):
    splits = shapes(120, side=16)
    whole = cn.train(net(), splits, SMALL, out=tmp_path / "whole")
    whole.finish()
    first, saved = cn.train(net(), splits, SMALL, out=tmp_path / "stopped"), b""
    for record in first:
        if record.step == 9:  # in the middle of the second pass of six steps
            saved = first.save().read_bytes()
        if record.step == 13:
            break
    # as if killed after the second row had been written and before the state was
    (tmp_path / "stopped" / "last.pt").write_bytes(saved)
    torch.manual_seed(5)
    second = cn.resume(tmp_path / "stopped", net(), splits)
    second.finish()
    weights = (tmp_path / run / "weights.safetensors" for run in ("whole", "stopped"))
    one, two = (path.read_bytes() for path in weights)
    assert one == two
    tables = [
        [
            dataclasses.replace(row, seconds=0.0, images_per_second=0.0)
            for row in training.run.epochs
        ]
        for training in (whole, second)
    ]
    assert tables[0] == tables[1]


def test_a_run_by_name_can_be_resumed_without_anything_else(tmp_path, write_folder):
    data = str(write_folder(tmp_path / "data", 6))
    training = cn.train("lenet5", data, epochs=2, out=tmp_path / "run")
    for record in training:
        if record.epoch == 2:
            break
    assert cn.resume(tmp_path / "run").finish().images == 2


def test_a_resumed_run_refuses_data_that_have_changed(tmp_path, write_folder):
    data = write_folder(tmp_path / "data", 6)
    training = cn.train("lenet5", str(data), epochs=2, out=tmp_path / "run")
    next(iter(training))
    training.save()
    for k in range(10):
        Image.new("L", (8, 8)).save(data / "dark" / f"new{k}.png")
    with pytest.raises(ValueError, match="has changed since the run: 12 images then, 22 now"):
        cn.resume(tmp_path / "run")
    (data / "dark").rename(data / "black")
    with pytest.raises(ValueError, match="now has the classes black, light"):
        cn.resume(tmp_path / "run")


def test_a_third_party_file_is_trained_by_the_fast_recipe(tmp_path, write_folder):
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n"
        "def tiny(classes, channels):\n"
        "    return nn.Sequential(nn.Conv2d(channels, 4, 7, stride=8), nn.AdaptiveAvgPool2d(1),\n"
        "                         nn.Flatten(), nn.Linear(4, classes))\n"
    )
    data = str(write_folder(tmp_path / "data", 4))
    name = f"{tmp_path}/mine.py:tiny"
    training = cn.train(name, data, epochs=1, out=tmp_path / "run")
    assert training.recipe.cite.startswith("no paper")
    training.finish()
    assert cn.evaluate(tmp_path / "run", network=name).images == 2


def test_a_network_that_cannot_take_the_images_is_refused_before_anything_is_written(tmp_path):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(10, 4))
    with pytest.raises(ValueError, match="needs 10 values"):
        cn.train(network, shapes(60, side=16), SMALL, out=tmp_path / "run")
    with pytest.raises(ValueError, match=r"it should give \(2, 4\)"):
        cn.train(net(classes=7), shapes(60, side=16), SMALL, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"network": "lenet6"}, "lenet5"),
        ({"data": "digit"}, "did you mean digits"),
        ({"recipe": "slow"}, "no recipe 'slow'; choose from paper, fast"),
        ({"epochs": 0}, "epochs must be a whole number of at least 1, not 0"),
        ({"seed": -1}, r"seed must be a whole number from 0 to 2\*\*64 - 1, not -1"),
        ({"seed": 2**64}, "seed must be a whole number"),
        ({"device": "abacus"}, "device 'abacus' cannot be used"),
        ({"device": "meta"}, "device 'meta' cannot be used"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_written(tmp_path, words, sentence):
    with pytest.raises(ValueError, match=sentence):
        cn.train(**{"network": "lenet5", "out": tmp_path / "run", **words})
    assert not (tmp_path / "run").exists()


def test_a_run_needs_a_directory_of_its_own(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("dear")
    with pytest.raises(ValueError, match="is not empty"):
        cn.train("lenet5", out=tmp_path / "run")
    with pytest.raises(ValueError, match="is a file"):
        cn.train("lenet5", out=tmp_path / "run" / "mine.txt" / "run")


def test_no_permission_to_write_is_printed_before_training(tmp_path, monkeypatch):
    from classicnets.training.run import directory as run

    monkeypatch.setattr(run.os, "access", lambda path, mode: False)
    with pytest.raises(ValueError, match="no permission to write"):
        cn.train("lenet5", out=tmp_path / "run")


def test_a_loss_that_is_not_a_number_leaves_the_last_good_state(tmp_path):
    splits = shapes(120, side=16)
    training = cn.train(net(), splits, SMALL, out=tmp_path / "run")
    steps = iter(training)
    while next(steps).validation is None:
        pass
    good = (tmp_path / "run" / "last.pt").read_bytes()
    with torch.no_grad():
        training.network.get_parameter("6.weight").fill_(float("nan"))
    next(steps)
    with pytest.raises(ValueError, match="no longer finite"):
        training.save()
    with pytest.raises(ValueError, match="no longer finite at step"):
        list(steps)
    assert (tmp_path / "run" / "last.pt").read_bytes() == good


def test_a_learning_rate_that_is_too_high_ends_in_a_sentence(tmp_path):
    recipe = dataclasses.replace(SMALL, lr=Constant(1e30))
    with pytest.raises(ValueError, match="try a lower one"):
        cn.train(net(), shapes(60, side=16), recipe, out=tmp_path / "run").finish()


def test_a_missing_run_is_named(tmp_path):
    with pytest.raises(ValueError, match="no run at"):
        cn.load(tmp_path / "nowhere")


def test_weights_of_another_network_are_refused_by_the_layer_that_differs(finished, tmp_path):
    with pytest.raises(
        ValueError, match=r"another network: 0.weight is missing there and \(8, 3, 3, 3\) here"
    ):
        cn.load(finished, net())


def test_a_run_of_your_own_module_asks_for_the_module(tmp_path):
    splits = shapes(60, side=16)
    cn.train(net(), splits, SMALL, epochs=1, out=tmp_path / "run").finish()
    with pytest.raises(ValueError, match="a run of your own network Sequential, whose code"):
        cn.load(tmp_path / "run")
    assert cn.evaluate(tmp_path / "run", splits.test, network=net()).images == 12


def test_an_unknown_protocol_is_answered_with_the_list(finished):
    with pytest.raises(ValueError, match="no protocol 'double'; choose from single"):
        cn.evaluate(finished, protocol="double")


def test_one_unreadable_image_and_nothing_is_predicted(finished, tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"bad\.png cannot be read as an image"):
        cn.predict(finished, [tmp_path / "good.png", tmp_path / "bad.png"])
    with pytest.raises(ValueError, match=r"no such file: .*gone.png"):
        cn.predict(finished, [tmp_path / "gone.png"])


def test_errors_confusion_recall_and_precision_equal_those_counted_by_hand():
    truth = torch.tensor([0, 0, 0, 1, 1, 2, 3, 4, 5, 5])
    guess = torch.tensor([0, 0, 1, 1, 1, 0, 3, 4, 5, 0])
    scores = torch.nn.functional.one_hot(guess, 6).float() * 10
    scores += torch.tensor([0.5, 0.4, 0.0, 0.3, 0.2, 0.1])  # class 2 is always last but when named
    figures = evaluate_scores(scores, truth, tuple("abcdef"), "single", 1.0)
    assert figures.top1_error == 30
    assert figures.top5_error == 10  # only the picture of class 2 has it in sixth place
    assert figures.confusion[0] == (2, 1, 0, 0, 0, 0)
    assert figures.confusion[5] == (1, 0, 0, 0, 0, 1)
    assert figures.recall == pytest.approx((200 / 3, 100, 0, 100, 100, 50))
    assert figures.precision == pytest.approx((50, 200 / 3, 0, 100, 100, 100))
    # 2 right / (named + true): 4/7, 4/5, 0, 1, 1 and 2/3
    assert figures.f1 == pytest.approx((400 / 7, 80, 0, 100, 100, 200 / 3))
    assert figures.support == (3, 2, 1, 1, 1, 2)
    assert figures.balanced_accuracy == pytest.approx((200 / 3 + 100 + 0 + 100 + 100 + 50) / 6)


def test_the_single_view_is_the_centre():
    pixels = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
    pixels[:, :, 1:3, 1:3] = 10
    images = dataclasses.replace(shapes(40).test, pixels=pixels, labels=torch.tensor([0, 1]))
    scaling = Between(0.0, 255.0).fit(images)
    seen = []
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 4))
    network[0].register_forward_hook(lambda _, args, out: seen.append(out))
    log_probabilities(network, images, find_protocol("single"), TrainScale(4, 2), scaling)
    assert torch.cat(seen).tolist() == [[10.0] * 4] * 2
