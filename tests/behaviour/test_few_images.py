"""Recipes on few images: by which rule they change, and that what the user sets stays."""

import dataclasses
import json
import math
import warnings

import pytest
import torch

import classicnets as cn
from classicnets import catalog
from classicnets.api.introduction import FEW_STEPS
from classicnets.api.recipes import choose_recipe, resolve_network, set_by_hand, with_overrides
from classicnets.cli.report import print_introduction
from classicnets.data.images import Images, Splits
from classicnets.data.scaling import Standardise
from classicnets.data.synthetic import shapes
from classicnets.recipes.adapt import BATCHES, FEW_IMAGES, LEAST_BATCH, adapt
from classicnets.recipes.lenet import DIGITS, MNIST
from classicnets.recipes.resnet import CIFAR
from classicnets.support.errors import on_command_line
from classicnets.training.execution.execution import Execution
from classicnets.training.recipe.init import HeNormal
from classicnets.training.recipe.optimizers import SGD, AdamW
from classicnets.training.recipe.schedules import (
    Constant,
    EpochTable,
    History,
    MultiStep,
    OneCycle,
    ReduceOnPlateau,
    WarmupUntil,
    scaled,
)

SMALLEST = ("lenet5", "alexnet", "zfnet", "vgg_a", "googlenet", "resnet18", "resnet20")


def data(count: int, classes: int = 10) -> Splits:
    """So many training images, which take no memory; a tenth as many for validation and test."""
    colours = torch.tensor([0, 100, 200], dtype=torch.uint8).view(1, 3, 1, 1)

    def images(n: int) -> Images:
        return Images(colours.expand(n, 3, 8, 8), torch.arange(n) % classes)

    few = images(max(classes, count // 10))
    return Splits("photos", tuple(map(str, range(classes))), images(count), few, few)


def adapted(name: str, recipe: str | None, count: int):
    source = choose_recipe(resolve_network(name, "photos"), recipe, "photos")
    return source, *adapt(source, data(count), source)


@pytest.mark.parametrize("name", list(catalog.CATALOG))
def test_on_as_many_images_as_a_paper_had_few_images_change_nothing(name):
    recipe = catalog.find(name).recipe
    validated = 5_000 if recipe.paper_images < 100_000 else 0
    there = data(recipe.paper_images - validated, 100)
    assert adapt(recipe, there, recipe) == adapt(recipe, there)
    ours = adapt(recipe, there, recipe)[0]
    assert (ours.batch, ours.lr, ours.init) == (recipe.batch, recipe.lr, recipe.init)
    assert (ours.steps, ours.epochs, ours.pixels) == (recipe.steps, recipe.epochs, recipe.pixels)


def test_the_digits_keep_the_recipe_that_was_written_for_them(tmp_path):
    assert len((training := cn.train("lenet5", out=tmp_path / "run")).splits.train) < FEW_IMAGES
    assert training.recipe == DIGITS


@pytest.mark.parametrize("count", [20, 57, 140, 700, 1_259, 3_000, FEW_IMAGES - 1])
@pytest.mark.parametrize("recipe", [None, "fast"])
@pytest.mark.parametrize("name", SMALLEST)
def test_few_images_still_make_enough_steps(name, recipe, count):
    source, ours, reasons = adapted(name, recipe, count)
    assert ours.batch <= max(source.batch, DIGITS.batch)
    assert ours.steps_per_epoch(count) >= BATCHES or ours.batch <= LEAST_BATCH
    assert ours.total_steps(count) >= FEW_STEPS
    assert ours.epochs == 300 or ours.epochs * count >= (8_000 if ours.crop > 64 else 40_000)
    changed = {f.name for f in dataclasses.fields(ours)
               if getattr(ours, f.name) != getattr(source, f.name)}  # fmt: skip
    assert changed - {"steps"} <= reasons.keys()  # each change has its reason
    assert all(reasons.values())


@pytest.mark.parametrize(
    ("name", "count", "batch", "start"),
    [
        ("resnet20", 57, 16, 0.1 * 16 / 128),
        ("resnet20", 700, 16, 0.1 * 16 / 128),
        ("resnet18", 3_000, 64, 0.1 * 64 / 256),
    ],
)
def test_the_learning_rate_is_in_proportion_to_the_batch(name, count, batch, start):
    _, ours, reasons = adapted(name, None, count)
    assert ours.batch == batch
    assert ours.lr(0.2) == pytest.approx(start)  # where one cycle has its peak
    assert f"in proportion to the batch, {batch} in place of" in reasons["lr"]
    if batch != catalog.find(name).recipe.batch:
        assert f"{count:,} images would make an epoch of " in reasons["batch"]


@pytest.mark.parametrize(
    "schedule",
    [
        Constant(0.3),
        MultiStep(0.3, milestones=(0.5,), factor=0.1),
        EpochTable(((1, 0.3), (3, 0.1))),
        OneCycle(0.3),
        ReduceOnPlateau(0.3),
        WarmupUntil(0.3, error=50.0, then=MultiStep(0.2, milestones=(0.5,), factor=0.1)),
    ],
)
@pytest.mark.parametrize("history", [History(), History(10, (50.0, 50.0, 50.0), 20.0)])
def test_every_schedule_is_scaled_at_every_point(schedule, history):
    for progress in (0.0, 0.1, 0.4, 0.6, 0.9):
        expected = schedule(progress, history) / 8
        assert scaled(schedule, 1 / 8)(progress, history) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["alexnet", "zfnet", "vgg_a", "googlenet"])
def test_deep_networks_start_from_values_that_keep_the_size_of_the_signal(name):
    _, ours, reasons = adapted(name, None, 140)
    assert (ours.init, ours.pixels) == (HeNormal(), Standardise())
    assert "arXiv:1502.01852" in reasons["init"]
    assert "variance 1" in reasons["pixels"]


@pytest.mark.parametrize("count", [20, 140, 700, 3_000])
def test_lenet_learns_photos_as_it_does_the_embedded_digits(count):
    _, ours, reasons = adapted("lenet5", None, count)
    like = ("batch", "optimizer", "lr", "loss", "crop_sampler")
    assert [getattr(ours, name) for name in like] == [getattr(DIGITS, name) for name in like]
    assert {"as in LeNet-5's recipe for the 1,259 digits"} == {reasons[name] for name in like}
    assert ours.pixels == adapted("lenet5", "fast", count)[1].pixels == Standardise()
    assert "digits, not photos" in reasons["pixels"]
    digits = dataclasses.replace(data(count), name="mnist")
    kept, _ = adapt(MNIST, digits, MNIST)  # its rates are for digits
    assert (kept.optimizer, kept.pixels, kept.lr) == (MNIST.optimizer, MNIST.pixels, MNIST.lr)


@pytest.mark.parametrize("name", ["alexnet", "zfnet", "vgg_a", "googlenet"])
def test_networks_without_normalisation_learn_few_images_by_adamw(name):
    _, ours, reasons = adapted(name, None, 140)
    assert (ours.optimizer, ours.lr) == (AdamW(weight_decay=0.01), OneCycle(3e-4))
    assert reasons["optimizer"] == reasons["lr"]
    assert "arXiv:1711.05101" in reasons["lr"]
    source = catalog.find(name).recipe
    assert adapted(name, None, FEW_IMAGES)[1].optimizer == source.optimizer
    for given, value in (("optimizer", "SGD(momentum=0.5)"), ("init", "HeNormal()")):
        wanted = with_overrides(source, None, {given: value})
        kept, reasons = adapt(wanted, data(140), source, {given})
        assert getattr(kept, given) == getattr(wanted, given)
        assert kept.lr != OneCycle(3e-4)
        assert "in proportion to the batch" in reasons["lr"]
    wanted = with_overrides(source, None, {"lr": "Constant(0.5)"})
    kept, _ = adapt(wanted, data(140), source, {"lr"})
    assert (kept.lr, kept.optimizer) == (Constant(0.5), source.optimizer)


def test_a_learning_rate_that_would_start_high_rises_slowly_from_hes_values():
    source = catalog.find("googlenet").recipe
    ours, reasons = adapt(source, data(3_000), source, {"optimizer"})
    assert ours.lr == OneCycle(0.01)  # as many images in a batch as Caffe has
    assert "rises slowly" in reasons["lr"]


def test_a_stall_of_the_validation_error_is_not_waited_for_with_few_images():
    source = catalog.find("alexnet").recipe
    ours, reasons = adapt(source, data(140), source, {"optimizer"})
    assert ours.lr == OneCycle(0.01 * 16 / 128)
    assert "14 validation images do not tell when the error stalls" in reasons["lr"]
    assert isinstance(adapted("alexnet", None, FEW_IMAGES)[1].lr, ReduceOnPlateau)


@pytest.mark.parametrize(
    ("name", "count", "epochs"),
    [  # 8e12 multiply-adds, of which a CPU makes 3 x 2 x 8e12 operations
        ("vgg_a", 35, 31),  # of 7.61 G for an image: 1,051 images
        ("vgg_a", 700, 2),
        ("zfnet", 140, 49),  # of 1.168 G: 6,849 images
        ("googlenet", 700, 8),  # of 1.583 G: 5,055
        ("resnet18", 140, 32),  # of 1.814 G: 4,410
        ("alexnet", 140, 58),  # of 0.724 G: 11,044, more than 8,000
        ("vgg_a", 1_001, 10),
    ],
)
def test_a_cpu_trains_any_network_on_very_few_images_in_some_minutes(name, count, epochs):
    source, macs = catalog.find(name).recipe, catalog.find(name).macs
    ours, reasons = adapt(source, data(count), source, (), macs)
    assert ours.epochs == epochs
    assert "minutes" in reasons["epochs"]
    kept, _ = adapt(source, data(count), source, {"epochs"}, macs)
    assert kept.epochs == (source.epochs or 120)  # 600,000 steps of 256


@pytest.mark.parametrize(
    ("name", "count", "batch"),
    [  # 8e12 multiply-adds are 1,051 images of VGG A, 65 batches of 16; 5,055 of GoogLeNet
        ("vgg_a", 140, 8),
        ("vgg_a", 700, 16),  # 25 batches of at least 16
        ("vgg_a", 1_001, 32),
        ("googlenet", 140, 16),
        ("resnet101", 35, 8),  # of 7.57 G
    ],
)
def test_networks_that_a_cpu_shows_few_images_take_smaller_batches(name, count, batch):
    source, macs = catalog.find(name).recipe, catalog.find(name).macs
    assert adapt(source, data(count), source, (), macs)[0].batch == batch
    assert adapt(source, data(count), source)[0].batch == max(16, batch)


@pytest.mark.parametrize(
    ("name", "count", "epochs", "words"),
    [
        # 40,000 images are 58 epochs of 700, and the paper's are 164
        ("resnet20", 700, 164, "64,000 steps are 164 epochs over the paper's 50,000 images"),
        ("resnet20", 200, 200, "164 show only 32,800 images, 200 epochs 40,000"),
        ("resnet20", 20, 300, "164 show only 3,280 images, 300 epochs 6,000"),  # not 2,000 epochs
        ("lenet5", 700, 58, "20 show only 14,000 images, 58 epochs 40,600"),
        # 8,000 images are 12 epochs of 700, but at least 10
        ("alexnet", 700, 12, "90 epochs of images of this size take a CPU hours, 12 some minutes"),
        ("resnet18", 3_000, 10, "epochs=120 is better"),
        ("vgg_a", 50, 160, "74 show only 3,700 images, 160 epochs 8,000"),
    ],
)
def test_the_length_is_enough_to_learn_and_bounded_for_large_images(name, count, epochs, words):
    _, ours, reasons = adapted(name, None, count)
    assert (ours.epochs, ours.steps) == (epochs, None)
    assert words in reasons["epochs"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("batch", "30"),
        ("lr.start", "0.02"),
        ("init.std", "0.03"),
        ("pixels", "SubtractMean()"),
        ("epochs", "2"),
        ("steps", "7"),
    ],
)
def test_what_the_user_sets_is_kept(field, value):
    source = catalog.find("alexnet").recipe
    wanted = with_overrides(source, None, {field: value})
    top = field.partition(".")[0]
    ours, reasons = adapt(wanted, data(700, 60), source, {top})
    assert getattr(ours, top) == getattr(wanted, top)
    assert top not in reasons
    assert ("epochs" in reasons) == (top not in ("epochs", "steps"))


def test_the_learning_rate_follows_a_batch_that_the_user_sets():
    source = dataclasses.replace(CIFAR)
    ours, reasons = adapt(dataclasses.replace(source, batch=32), data(700), source, {"batch"})
    assert (ours.batch, ours.lr(0.2)) == (32, 0.1 * 32 / 128)
    assert "batch" not in reasons


@pytest.mark.parametrize(
    ("name", "overrides", "batch", "rate"),
    [
        ("resnet20", {"optimizer": "adamw"}, 16, 0.001),  # torch's rate, not SGD's
        ("resnet20", {"lr": 0.05}, 16, 0.05),
        ("resnet20", {"size": "64", "augment": "none"}, 16, 0.1 * 16 / 128),
        ("lenet5", {"batch": "32"}, 32, 0.01 * 32 / 16),
        ("lenet5", {"augment": "none"}, 16, 0.01),
    ],
)
def test_what_is_set_by_a_short_form_is_kept_too(name, overrides, batch, rate):
    source = catalog.find(name).recipe
    wanted = with_overrides(source, None, overrides)
    given = set_by_hand(source, wanted, None, overrides)
    ours, _ = adapt(wanted, data(700), source, given)
    assert (ours.batch, ours.lr(0.2)) == (batch, pytest.approx(rate))
    assert all(getattr(ours, field) == getattr(wanted, field) for field in given)
    assert isinstance(ours.optimizer, AdamW if "optimizer" in overrides else SGD)


def test_the_reason_for_a_smaller_batch_is_how_few_steps_the_recipe_has():
    _, _, reasons = adapted("resnet20", None, 300)
    assert reasons["batch"] == "in batches of 128, 300 images would make an epoch of 3 steps"


def test_epochs_of_the_command_line_are_kept_and_a_recipe_of_your_own_is(tmp_path):
    training = cn.train("resnet20", shapes(60), epochs=3, out=tmp_path / "short")
    assert (training.recipe.epochs, training.recipe.batch) == (3, 16)
    own = cn.train("resnet20", shapes(60), dataclasses.replace(CIFAR, batch=20), out=tmp_path / "o")
    assert (own.recipe.batch, own.recipe.lr) == (20, CIFAR.lr)
    content = json.loads((tmp_path / "short" / "run.json").read_text())
    assert {"batch", "lr"} <= content["adapted"].keys()


# a length that is the recipe's own is asked for like any other
@pytest.mark.parametrize(("name", "epochs"), [("alexnet", 90), ("vgg_a", 74), ("zfnet", 70)])
def test_the_papers_own_length_is_kept_where_it_is_asked_for(name, epochs):
    source = catalog.find(name).recipe
    assert source.epochs == epochs
    given = set_by_hand(source, with_overrides(source, epochs), epochs)
    assert adapt(with_overrides(source, epochs), data(60), source, given)[0].epochs == epochs
    plan = cn.plan(name, shapes(60), epochs=epochs, device="t4") if name == "alexnet" else None
    assert plan is None or plan.epochs == epochs


def introduction(capsys, tmp_path, *words, **options):
    with on_command_line(), warnings.catch_warnings(action="ignore"):
        print_introduction(cn.train(*words, out=tmp_path / "run", **options))
    return capsys.readouterr()


def test_the_input_and_the_size_of_the_photos_are_printed_before_training(
    capsys, tmp_path, write_folder
):
    folder = write_folder(tmp_path / "photos")  # of 40x36 pixels
    for name, expected in {
        "lenet5": "input 1x32x32: images, the median 40x36 pixels, are read in grey, resized and "
        "cropped to 32x32",
        "alexnet": "input 3x227x227: images, the median 40x36 pixels, are resized to 256 on the "
        "shorter side and cropped to 227x227",
    }.items():
        printed = introduction(capsys, tmp_path / name, name, str(folder), epochs=50).out
        assert expected in printed.splitlines()
    printed = introduction(capsys, tmp_path, "resnet20", shapes(60)).out.splitlines()
    assert "input 3x32x32" in printed  # no files, whose sizes could be said


def test_a_training_of_too_few_steps_is_warned_of_with_what_does_better(capsys, tmp_path):
    printed = introduction(capsys, tmp_path / "a", "resnet20", shapes(120), epochs=10)
    steps = math.ceil(84 / 16)
    assert (
        f"{10 * steps} steps: 10 epochs of {steps} steps, batches of 16" in printed.out.splitlines()
    )
    assert printed.err == (
        f"warning: {10 * steps} steps will hardly train a network, which takes a few hundred; "
        f"the same command with --epochs 50 takes {50 * steps}\n"
    )
    printed = introduction(
        capsys, tmp_path / "b", "resnet20", shapes(120), overrides={"steps": "9"}
    )
    assert "the same command with --set steps=300 takes 300" in printed.err
    assert introduction(capsys, tmp_path / "c", "resnet20", shapes(120), epochs=50).err == ""


def test_learnt_weights_need_no_hundreds_of_steps(capsys, tmp_path):
    cn.train("resnet20", shapes(60), epochs=1, out=tmp_path / "first").finish()
    options = {"epochs": 2, "init_from": tmp_path / "first"}
    assert introduction(capsys, tmp_path, "resnet20", shapes(60), **options).err == ""


def test_that_few_large_images_take_a_cpu_long_is_printed_with_a_command_of_minutes(
    capsys, tmp_path, write_folder
):
    folder = write_folder(tmp_path / "my photos", 20)
    # epochs of 28 images; 6 x 1.583 G operations each at 100 G in a second, and at 240 G
    for precision, epochs, rate in (("fp32", 286, 1e11), ("bf16", 686, 2.4e11)):
        options = {"device": "cpu", "epochs": epochs, "execution": Execution(precision=precision)}
        printed = introduction(capsys, tmp_path / precision, "googlenet", str(folder), **options)
        minutes = 6 * 1.583e9 * 28 * epochs / rate / 60
        assert f"two CPU cores take about {minutes:.0f} minutes for this" in printed.err
        assert f"train resnet20 --data '{folder}'\n" in printed.err
    for name, epochs in (("resnet20", None), ("googlenet", None)):
        out = tmp_path / f"{name}{epochs}"
        assert "minutes" not in introduction(capsys, out, name, str(folder), epochs=epochs).err
