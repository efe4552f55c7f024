"""`field=value` changes a recipe: typed, checked, never executed; what it prints it reads back."""

import math
from dataclasses import dataclass, fields, replace

import numpy as np
import pytest

from classicnets import catalog
from classicnets.data.augment import HorizontalFlip
from classicnets.data.scaling import Between
from classicnets.recipes import FOR_SETS, MORE
from classicnets.recipes.fast import FAST
from classicnets.recipes.resnet import CIFAR
from classicnets.training.recipe.loss import CrossEntropy
from classicnets.training.recipe.optimizers import SGD
from classicnets.training.recipe.overrides import as_text, override
from classicnets.training.recipe.recipe import ABOUT_PAPER, Recipe
from classicnets.training.recipe.schedules import Constant, MultiStep

RECIPES = {
    **{entry.name: entry.recipe for entry in catalog.CATALOG.values()},
    **{" on ".join(names): recipe for names, recipe in FOR_SETS.items()},
    **{name: recipe for others in MORE.values() for name, recipe in others.items()},
    "fast": FAST,
}
EPOCHS = replace(CIFAR, epochs=10, steps=None, cited={}, assumed={"batch": "why", "lr": "why"})


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_every_recipe_can_be_typed_as_python_prints_it(recipe):
    values = {
        f.name: repr(getattr(recipe, f.name)) for f in fields(Recipe) if f.name not in ABOUT_PAPER
    }
    assert override(recipe, values) == recipe


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ("batch=64", "batch", 64),
        ("lr=Constant(1e-3)", "lr", Constant(0.001)),
        (
            "lr=MultiStep(0.1, milestones=(0.5, 0.75), factor=0.1)",
            "lr",
            MultiStep(0.1, (0.5, 0.75), 0.1),
        ),
        ("lr=MultiStep(factor=1, milestones=[], start=2)", "lr", MultiStep(2.0, (), 1.0)),
        ("pixels=Between(-1, 1)", "pixels", Between(-1.0, 1.0)),
        ("optimizer=SGD", "optimizer", SGD()),
        ("optimizer=SGD(nesterov=True, momentum=0.5)", "optimizer", SGD(0.5, nesterov=True)),
        ("loss.smoothing=0.2", "loss", CrossEntropy(0.2)),
        ("augment=()", "augment", ()),
        ("protocol=ten-crop", "protocol", "ten-crop"),
        ("protocol='dense'", "protocol", "dense"),
        ("constraint=None", "constraint", None),
    ],
)
def test_a_value_becomes_what_it_says(change, field, value):
    name, _, text = change.partition("=")
    ours = override(EPOCHS, {name: text})
    assert getattr(ours, field) == value
    assert ours == replace(EPOCHS, **{field: value}, assumed=ours.assumed)


@dataclass(frozen=True)
class Falling(Constant):
    """A schedule of your own."""


class Flip(HorizontalFlip):
    """An augmentation of your own."""


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("batch", 64, "64"),
        ("batch", np.int64(64), "64"),
        ("lr", 0.05, "0.05"),
        ("lr", np.float32(0.5), "0.5"),
        ("size", 64, "64"),
        ("optimizer.momentum", np.float32(0.5), "0.5"),
        ("optimizer.nesterov", True, "True"),
        ("optimizer", SGD(0.5, nesterov=True), "SGD(0.5, nesterov=True)"),
        ("optimizer", SGD, "SGD"),
        ("lr", Constant(1.0), "Constant(1)"),
        ("augment", [HorizontalFlip()], "(HorizontalFlip(),)"),
        ("constraint", None, "None"),
        ("protocol", "dense", "dense"),
    ],
)
def test_a_value_means_what_its_text_means(field, value, text):
    ours = override(EPOCHS, {field: value})
    assert ours == override(EPOCHS, {field: text})
    assert type(ours.batch) is int
    assert override(EPOCHS, as_text({field: value})) == ours


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("batch", 16.5, "batch cannot be 16.5; it takes a whole number"),
        ("batch", True, "batch cannot be True; it takes a whole number"),
        ("batch", None, "batch cannot be None; it takes a whole number"),
        ("batch", 0, "batch must be a whole number of at least 1, not 0"),
        ("batch", object, "batch cannot be <class 'object'>; it takes a whole number"),
        ("lr", True, r"lr cannot be True; it takes Constant\(lr\), MultiStep"),
        ("lr", -0.1, "lr must be at least 0, not -0.1"),
        ("size", 64.5, "size cannot be '64.5'; it takes one whole number"),
        ("size", (64, 64), r"size cannot be '\(64, 64\)'; it takes one whole number"),
        ("lr", SGD(), r"lr cannot be SGD; it takes Constant\(lr\), MultiStep"),
        ("lr", Constant, "lr.lr is missing"),
        ("optimizer", Constant(1.0), r"optimizer cannot be Constant; it takes SGD\(momentum, "),
        ("optimizer.momentum", math.inf, "optimizer.momentum cannot be inf; it takes a number"),
        ("optimizer.momentum", 2, "momentum of SGD must be 0 to 1, not 2"),
        ("augment", HorizontalFlip(), r"augment cannot be HorizontalFlip; it takes a tuple \(H"),
        ("batches", 5, "cannot set batches: a recipe has no 'batches'; did you mean batch?"),
    ],
)
def test_a_value_takes_the_checks_of_its_text(field, value, words):
    with pytest.raises(ValueError, match=words):
        override(EPOCHS, {field: value})


def test_a_part_of_your_own_is_kept_as_it_is_and_has_no_text():
    lr, flip = Falling(0.1), Flip()
    ours = override(EPOCHS, {"lr": lr, "augment": [flip]})
    assert ours.lr is lr
    assert ours.augment == (flip,)
    assert as_text({"lr": lr, "batch": 8, "augment": [flip]}) == {"batch": "8"}


def test_all_overrides_are_applied_before_the_recipe_is_checked():
    ours = override(
        EPOCHS, {"side": "64", "crop": "64", "optimizer": "SGD", "optimizer.weight_decay": "1"}
    )
    assert (ours.side, ours.crop, ours.optimizer) == (64, 64, SGD(weight_decay=1.0))


@pytest.mark.parametrize(
    ("overrides", "length"),
    [
        ({"epochs": "3"}, (3, None)),
        ({"steps": "300"}, (None, 300)),
        ({"steps": "None", "epochs": "3"}, (3, None)),
    ],
)
def test_epochs_and_steps_replace_each_other(overrides, length):
    for before in (EPOCHS, replace(EPOCHS, epochs=None, steps=7)):
        ours = override(before, overrides)
        assert (ours.epochs, ours.steps) == length


def test_a_reason_goes_with_the_value_it_was_for():
    assert override(EPOCHS, {"batch": "3"}).assumed == {"lr": "why"}
    assert override(EPOCHS, {"batch": str(EPOCHS.batch)}).assumed == EPOCHS.assumed
    assert override(EPOCHS, {"lr.start": "3"}).assumed == EPOCHS.assumed


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("bacth=64", "a recipe has no 'bacth'; did you mean batch"),
        ("cite=mine", "a recipe has no 'cite'"),
        ("assumed={}", "a recipe has no 'assumed'"),
        ("optimizer.momentun=1", "has no 'momentun'; did you mean momentum"),
        ("batch.size=1", "128 has no 'size'"),
        ("batch=64.0", "batch cannot be 64.0; it takes a whole number"),
        ("batch=True", "batch cannot be True; it takes a whole number"),
        ("batch='64'", "batch cannot be '64'; it takes a whole number"),
        ("batch=", "batch cannot be '', which is not a value; it takes a whole number"),
        ("batch=6 4", "is not a value; it takes a whole number"),
        ("batch=0", "batch must be a whole number of at least 1, not 0"),
        ("batch=None", "batch cannot be None; it takes a whole number"),
        ("crop=64", "a crop of 64 pixels does not fit into 32"),
        ("epochs=None", "a recipe has either epochs or steps"),
        ("optimizer.nesterov=1", "cannot be 1; it takes True or False"),
        ("optimizer.momentum=False", "cannot be False; it takes a number"),
        ("lr=True", "lr cannot be True; it takes Constant(lr), "),
        ("lr=SGD()", "lr cannot be SGD; it takes Constant(lr), "),
        (
            "lr=MultiSteps(0.1)",
            "lr cannot be 'MultiSteps'; it takes Constant(lr), MultiStep(start, ",
        ),
        ("lr=MultiStep(0.1, ups=1)", "MultiStep has no 'ups'; it has start, milestones, factor"),
        ("lr=MultiStep(0.1, start=1)", "MultiStep is given start twice"),
        ("lr=MultiStep(0.1, milestones=(0.5,))", "lr.factor is missing"),
        (
            "lr=MultiStep(0.1, milestones=0.5, factor=1)",
            "lr.milestones cannot be 0.5; it takes a tuple",
        ),
        ("lr=MultiStep(0.1, milestones=(True,), factor=1)", "lr.milestones cannot be True"),
        ("lr=Constant(1, 2)", "Constant(lr) does not take 2 values"),
        ("lr=Constant(1e999)", "lr cannot be inf, which is not finite"),
        ("lr=Constant(**{})", "Constant has no '**'"),
        ("augment=HorizontalFlip()", "augment cannot be HorizontalFlip; it takes a tuple ("),
        ("loss=lambda: 1", "a value is a number, a string"),
        ("batch=32 * 2", "a value is a number, a string"),
        ("batch=" + "9" * 5000, "is not a value"),
        ("batch=" + "-" * 3000 + "1", "batch cannot be"),
        ("augment=" + "(" * 500, "is not a value"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(change, sentence):
    name, _, text = change.partition("=")
    with pytest.raises(ValueError, match=r".") as refused:
        override(EPOCHS, {name: text})
    assert sentence in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    assert len(str(refused.value)) < 1000


def test_nothing_is_executed(tmp_path):
    for code in (f"open({str(tmp_path / 'x')!r}, 'w')", "__import__('os').abort()", "(1).real"):
        with pytest.raises(ValueError, match=r"cannot be 'open'; it takes|a value is a number"):
            override(EPOCHS, {"lr": code})
    assert list(tmp_path.iterdir()) == []
