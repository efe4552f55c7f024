"""Adapts a recipe to other data than it was written for, by stated rules."""

import math
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

from classicnets.data.augment import ColourNoise, HorizontalFlip
from classicnets.data.images import Splits
from classicnets.data.scaling import Between, Standardise, SubtractMean, SubtractMeanImage
from classicnets.support.errors import option
from classicnets.training.recipe import (
    AdamW,
    FromRun,
    Gaussian,
    Glorot,
    HeadFirst,
    HeNormal,
    LevenbergMarquardt,
    MultiStep,
    OneCycle,
    Recipe,
    ReduceOnPlateau,
)
from classicnets.training.recipe.init import Init
from classicnets.training.recipe.recipe import CustomPart
from classicnets.training.recipe.schedules import Schedule, scaled

from .fast import SMALL
from .lenet import DIGITS

NOT_MIRRORED = (
    "digits",
    "mnist",
    "kmnist",
    "svhn",
)  # mirrored, their images would mean something else
FEW = 50  # classes; with fewer, AlexNet's biases of 1 make the last layer overshoot
AS_MANY = 0.8  # fraction of the paper's images from which a length in steps stays as it is

# Few images: less than a tenth of the smallest of the papers' training sets, CIFAR-10's
FEW_IMAGES = 5_000
BATCHES = 25  # an epoch of few images has at least so many batches,
LEAST_BATCH = 16  # unless they were smaller than this, where updates take longer than gradients,
HEAVY, LEAST_HEAVY = 100, 8  # or than 8 where WORK allows fewer than 100 of them
SHOWN = 40_000  # images in a whole training, at least: 2,500 batches of 16,
SHOWN_LARGE = 8_000  # or exactly so many of those over 64 pixels, 500 batches,
EPOCHS = (10, 300)  # but at least and at most so many epochs
VERY_FEW = 1_000  # images; up to here a CPU takes some minutes, whatever the network:
WORK = 8e12  # multiply-adds of a whole training's forward passes, and twice as many backward
ADAM = (AdamW(weight_decay=0.01), OneCycle(3e-4))  # for networks that no normalisation helps
LIKE_DIGITS = ("batch", "optimizer", "lr", "loss", "crop_sampler")


def adapt(
    recipe: Recipe,
    data: Splits,
    source: Recipe | None = None,
    given: Collection[str] = (),
    macs: float | int = 0,
) -> tuple[Recipe, dict[str, str]]:
    """The recipe for these data, and field -> why it differs from the one given.

    A length in steps becomes as many epochs as in the paper, unless there are nearly as many
    images; a batch has at most all images; biases of 1 become 0.1 where there are few classes;
    digits are not mirrored; grey images get no colour noise; where weights to start from have the
    same classes, no layer is new and none learns first. In any case the last layer follows the
    classes, and images are resized to the recipe's size.

    A recipe of this package, which was written for many images, is adapted to few as `_for_few`
    says. `source` is that recipe before the fields `given` were set by hand; those stay. `macs` are
    the multiply-adds for an image where a CPU trains, and bound the length; elsewhere 0.
    """
    reasons: dict[str, str] = {}
    count = len(data.train)
    if recipe.paper_images and count != recipe.paper_images:
        reasons["paper_images"] = (
            f"{count:,} training images, where the paper had {recipe.paper_images:,}; "
            f"{len(data.validation):,} validation images select the best epoch"
        )
    if recipe.steps and recipe.paper_images and count < AS_MANY * recipe.paper_images:
        epochs = max(1, round(recipe.steps * recipe.batch / recipe.paper_images))
        reasons["epochs"] = (
            f"{recipe.steps:,} steps are {epochs} epochs over the paper's "
            f"{recipe.paper_images:,} images"
        )
        recipe = replace(recipe, epochs=epochs, steps=None)
    if source and count < FEW_IMAGES:
        for name, value, reason in _for_few(recipe, data, source, given, macs):
            if value != getattr(recipe, name):
                reasons[name] = "; ".join(filter(None, (reasons.get(name), reason)))
                recipe = replace(recipe, **{name: value})
    if recipe.batch > count:
        reasons["batch"] = f"there are {count} images for training, not {recipe.batch}"
        recipe = replace(recipe, batch=count)
    init = recipe.init
    if isinstance(init, Gaussian) and init.bias_layers and len(data.classes) < FEW:
        reasons["init"] = (
            f"with {len(data.classes)} classes the last layer overshoots above biases of "
            f"{init.bias:g}; Caffe's replication has 0.1"
        )
        recipe = replace(recipe, init=replace(init, bias=0.1))
    rates, first = recipe.layer_rates, "layer_rates" not in given
    if source and first and _all_learnt(init) and isinstance(rates, HeadFirst) and rates.until:
        reasons["layer_rates"] = "the classes are those of the weights: none has to learn first"
        recipe = replace(recipe, layer_rates=replace(rates, until=0.0))
    origin = data.origin or data.name
    unfit = {
        HorizontalFlip: f"{origin} are not mirrored" if _of_digits(data) else "",
        ColourNoise: "grey images have no colours" if data.grey else "",
    }
    kept = tuple(part for part in recipe.augment if not unfit.get(type(part)))
    if kept != recipe.augment:
        dropped = [unfit[type(part)] for part in recipe.augment if part not in kept]
        reasons["augment"] = ", and ".join(dropped)
        recipe = replace(recipe, augment=kept)
    return recipe, reasons


def _all_learnt(init: Init | CustomPart) -> bool:
    """Whether every layer starts from the weights of a run."""
    return isinstance(init, FromRun) and not init.new and init.layers is None


def _for_few(
    recipe: Recipe, data: Splits, source: Recipe, given: Collection[str], macs: float | int
) -> Iterator[tuple[str, Any, str]]:
    """The fields that few images change: name, value and reason.

    A smaller batch gives an epoch enough steps, and the learning rate follows the batch. A schedule
    that waits until the validation error stalls becomes one of a fixed course. Initial values from
    which a deep network takes thousands of steps to start become He's, and its inputs get the
    variance of 1 that these are meant for; AdamW learns in fewer steps then. LeNet-5, whose rates
    are for single images of digits, is trained as on the embedded ones. The length is enough to
    learn, and bounded for large images.
    """
    of_digits, second_order = _of_digits(data), isinstance(source.optimizer, LevenbergMarquardt)
    if second_order and not of_digits and "optimizer" not in given:
        yield from _like_digits(recipe, given)
    else:
        yield from _batch_for_few(recipe, data, source, given, macs)
    if "init" not in given and isinstance(recipe.init, Gaussian | Glorot):
        yield (
            "init",
            HeNormal(),
            f"from {recipe.init} a network takes thousands of steps to start, and few images give "
            "few; He et al., arXiv:1502.01852, keep the signal's size from layer to layer",
        )
        if "pixels" not in given and isinstance(recipe.pixels, SubtractMean | SubtractMeanImage):
            yield "pixels", Standardise(), "He's initial values are for inputs of variance 1"
    if "pixels" not in given and isinstance(recipe.pixels, Between) and not of_digits:
        reason = "the paper's scaling gives digits, not photos, a mean of 0 and a variance of 1"
        yield "pixels", Standardise(), reason
    if recipe.epochs and not {"epochs", "steps"} & set(given):
        yield "epochs", *_epochs_for_few(recipe, len(data.train), macs)


def _like_digits(recipe: Recipe, given: Collection[str]) -> Iterator[tuple[str, Any, str]]:
    """LeNet-5's fields as on the embedded digits; the learning rate follows a batch set by hand."""
    reason = "as in LeNet-5's recipe for the 1,259 digits"
    for name in (name for name in LIKE_DIGITS if name not in given):
        value = getattr(DIGITS, name)
        if name == "lr" and "batch" in given:
            value = _for_batch(recipe.batch, DIGITS)
            reason += f", in proportion to the batch, {recipe.batch} in place of {DIGITS.batch}"
        yield name, value, reason


def _batch_for_few(
    recipe: Recipe, data: Splits, source: Recipe, given: Collection[str], macs: float | int
) -> Iterator[tuple[str, Any, str]]:
    """The batch, and the learning rate in proportion, with a warm-up where it needs one."""
    count, batch = len(data.train), recipe.batch
    if "batch" not in given:
        batch = min(batch, max(_least_batch(count, macs), _power_of_two(count / BATCHES)))
        steps = -(-count // recipe.batch)
        few = f"{count:,} images would make an epoch of {steps} step{'s' * (steps != 1)}"
        yield "batch", batch, f"in batches of {recipe.batch}, {few}"
    batch = min(batch, count)
    if "lr" in given:
        return
    drawn = isinstance(recipe.init, Gaussian | Glorot)
    if drawn and not {"init", "optimizer"} & set(given):
        reason = (
            "without normalisation SGD needs thousands of steps; AdamW, arXiv:1711.05101, whose "
            "steps do not shrink with the gradients, some hundred"
        )
        yield from (
            (name, part, reason) for name, part in zip(("optimizer", "lr"), ADAM, strict=True)
        )
        return
    lr = _for_batch(batch, source)
    reason = f"in proportion to the batch, {batch} in place of {source.batch}"
    if isinstance(lr, ReduceOnPlateau):
        reason += f"; {len(data.validation)} validation images do not tell when the error stalls"
        lr = OneCycle(lr.start)
    elif isinstance(lr, MultiStep) and drawn:
        reason += "; rises slowly, since the first steps from He's initial values may overshoot"
        lr = OneCycle(lr.start)
    yield "lr", lr, reason


def _epochs_for_few(recipe: Recipe, count: int, macs: float | int) -> tuple[int, str]:
    """The recipe's epochs, or of large images as many as take a CPU minutes; enough to learn."""
    assert recipe.epochs
    large = recipe.crop > SMALL or recipe.layer_rates is not None  # weights that have learnt
    fewest, most = EPOCHS
    enough = min(most, max(fewest, -(-(SHOWN_LARGE if large else SHOWN) // count)))
    if large and macs and count <= VERY_FEW:
        enough = min(enough, math.ceil(WORK / macs / count))
    if recipe.epochs < enough:
        shown = f"{recipe.epochs} show only {recipe.epochs * count:,} images"
        return enough, f"{shown}, {enough} epochs {enough * count:,}"
    if recipe.layer_rates is None and large and recipe.epochs > enough:
        return enough, (
            f"{recipe.epochs} epochs of images of this size take a CPU hours, {enough} some "
            f"minutes; {option('epochs', recipe.epochs)} is better"
        )
    return recipe.epochs, ""


def _least_batch(count: int, macs: float | int) -> int:
    """The smallest batch that few images get, smaller where a CPU allows few steps."""
    heavy = macs and count <= VERY_FEW and WORK / macs < HEAVY * LEAST_BATCH
    return LEAST_HEAVY if heavy else LEAST_BATCH


def _for_batch(batch: int, recipe: Recipe) -> Schedule:
    """The schedule of a recipe of this package, in proportion to another batch."""
    assert isinstance(recipe.lr, Schedule)
    return scaled(recipe.lr, batch / recipe.batch)


def _of_digits(data: Splits) -> bool:
    return (data.origin or data.name).lower() in NOT_MIRRORED


def _power_of_two(limit: float) -> int:
    """The largest power of two up to `limit`, and 1 below that."""
    return 2 ** max(0, int(limit).bit_length() - 1)
