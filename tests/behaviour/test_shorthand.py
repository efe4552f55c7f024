"""The short forms of `--set`: a number for a schedule, words for an optimizer and augmentations."""

from dataclasses import replace

import pytest

from classicnets.data.augment import ColourNoise, Distortion, HorizontalFlip
from classicnets.data.crops import CentreCrop, RandomCrop, ScaleJitter
from classicnets.recipes import alexnet, fast, googlenet, lenet, resnet, vgg
from classicnets.training.recipe.optimizers import SGD, Adam, AdamW
from classicnets.training.recipe.overrides import override
from classicnets.training.recipe.recipe import CustomPart
from classicnets.training.recipe.schedules import (
    Constant,
    EpochTable,
    MultiStep,
    OneCycle,
    ReduceOnPlateau,
    WarmupUntil,
)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Constant(1.0), Constant(0.02)),
        (MultiStep(0.1, (0.5, 0.75), 0.1), MultiStep(0.02, (0.5, 0.75), 0.1)),
        (OneCycle(0.5, warmup=0.3), OneCycle(0.02, warmup=0.3)),
        (ReduceOnPlateau(0.1, times=2), ReduceOnPlateau(0.02, times=2)),
        (EpochTable(((2, 0.25), (5, 0.125))), EpochTable(((2, 0.02), (5, 0.01)))),
        (
            WarmupUntil(0.01, 80.0, MultiStep(0.04, (0.5,), 0.1)),
            WarmupUntil(0.005, 80.0, MultiStep(0.02, (0.5,), 0.1)),
        ),
        (WarmupUntil(1.0, 80.0, OneCycle(2.0)), WarmupUntil(0.01, 80.0, OneCycle(0.02))),
    ],
    ids=lambda schedule: type(schedule).__name__,
)
def test_a_number_scales_the_schedule_and_keeps_its_proportions_and_its_reason(before, after):
    recipe = replace(resnet.CIFAR, lr=before, assumed={"lr": "why"}, cited={})
    ours = override(recipe, {"lr": "0.02"})
    assert ours.lr == after
    assert ours.assumed == {"lr": "why"}


def test_a_schedule_from_zero_or_of_your_own_is_not_scaled():
    table = replace(resnet.CIFAR, lr=EpochTable(((1, 0.0), (2, 0.1))))
    with pytest.raises(ValueError, match=r"starts from 0 cannot be scaled to 0\.1"):
        override(table, {"lr": "0.1"})
    own = replace(resnet.CIFAR, lr=CustomPart("mine.py:rate", "rate"))
    with pytest.raises(ValueError, match=r"schedule of your own, .*lr=Constant\(0\.1\)"):
        override(own, {"lr": "0.1"})
    assert override(own, {"optimizer": "adamw"}).lr is own.lr


@pytest.mark.parametrize(
    ("recipe", "size", "side", "sampler"),
    [
        (resnet.CIFAR, 64, 64, RandomCrop(pad=8)),
        (resnet.IMAGENET, 112, 128, ScaleJitter(128, 240)),
        (vgg.IMAGENET, 112, 128, RandomCrop(whole=True)),
        (vgg.S384, 112, 192, RandomCrop(whole=True)),
        (alexnet.IMAGENET, 454, 512, RandomCrop()),
        (lenet.MNIST, 28, 28, CentreCrop()),
        (googlenet.IMAGENET, 448, 512, googlenet.IMAGENET.crop_sampler),
        (fast.FAST, 112, 128, RandomCrop()),
    ],
)
def test_a_size_changes_crop_and_side_and_sampler_in_proportion(recipe, size, side, sampler):
    ours = override(recipe, {"size": str(size)})
    assert (ours.crop, ours.side, ours.crop_sampler) == (size, side, sampler)
    assert not {"crop", "side"} & {*ours.cited, *ours.assumed}
    same = override(recipe, {"size": str(recipe.crop)})
    assert same == recipe


@pytest.mark.parametrize(
    ("recipe", "word", "optimizer"),
    [
        (resnet.CIFAR, "adamw", AdamW()),
        (resnet.CIFAR, "adam", Adam(weight_decay=1e-4)),
        (resnet.CIFAR, "sgd", resnet.CIFAR.optimizer),
        (fast.FAST, "adamw", AdamW(decay_bias_and_norm=False)),
        (fast.FAST, "adam", Adam(weight_decay=5e-4, decay_bias_and_norm=False)),
        (alexnet.IMAGENET, "sgd", SGD(momentum=0.9, weight_decay=5e-4)),
        (lenet.MNIST, "adamw", AdamW()),
        (replace(resnet.CIFAR, optimizer=AdamW((0.5, 0.9))), "adam", Adam((0.5, 0.9))),
    ],
)
def test_a_word_takes_another_optimizer_with_what_both_have(recipe, word, optimizer):
    assert override(recipe, {"optimizer": word}).optimizer == optimizer


def test_adam_in_place_of_sgd_starts_from_its_usual_learning_rate_unless_one_is_given():
    ours = override(resnet.CIFAR, {"optimizer": "adamw"})
    assert ours.lr == replace(resnet.CIFAR.lr, start=1e-3)
    assert "0.001 is torch's default for AdamW" in ours.assumed["lr"]
    assert "lr" not in ours.cited
    for given in ({"lr": "0.002"}, {"lr.start": "0.002"}):
        ours = override(resnet.CIFAR, {**given, "optimizer": "adamw"})
        assert ours.lr == replace(resnet.CIFAR.lr, start=2e-3)
        assert ours.cited["lr"] == resnet.CIFAR.cited["lr"]
    ours = override(resnet.CIFAR, {"lr": "OneCycle(0.01)", "optimizer": "adamw"})
    assert (ours.lr, ours.optimizer) == (OneCycle(0.01), AdamW())
    kept = replace(resnet.CIFAR, optimizer=Adam())
    assert override(kept, {"optimizer": "adamw"}).lr == resnet.CIFAR.lr
    # written out, an optimizer is all that changes
    assert override(resnet.CIFAR, {"optimizer": "AdamW()"}).lr == resnet.CIFAR.lr


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("crop", ()),
        ("flip", (HorizontalFlip(),)),
        ("colour", (ColourNoise(),)),
        ("color", (ColourNoise(),)),
        ("distort", (Distortion(),)),
        ("crop,flip", (HorizontalFlip(),)),
        ("flip,colour,flip", (HorizontalFlip(), ColourNoise())),
    ],
)
def test_words_choose_augmentations_and_keep_the_crops(words, parts):
    ours = override(resnet.IMAGENET, {"augment": words})
    assert ours.augment == parts
    assert ours.crop_sampler == resnet.IMAGENET.crop_sampler


def test_no_augmentation_is_not_a_random_crop_either():
    ours = override(resnet.IMAGENET, {"augment": "none"})
    assert (ours.augment, ours.crop_sampler) == ((), CentreCrop())
    asked = override(resnet.IMAGENET, {"crop_sampler": "RandomCrop()", "augment": "none"})
    assert (asked.augment, asked.crop_sampler) == ((), RandomCrop())


@pytest.mark.parametrize(
    "overrides",
    [
        {"optimizer.momentum": "0.5", "optimizer": "SGD(weight_decay=1)"},
        {"optimizer": "SGD(weight_decay=1)", "optimizer.momentum": "0.5"},
    ],
)
def test_a_part_and_a_field_of_it_are_both_set_in_any_order(overrides):
    assert override(resnet.CIFAR, overrides).optimizer == SGD(0.5, 1.0)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("lr=-0.1", "lr must be at least 0, not -0.1"),
        ("lr=nan", "lr cannot be 'nan'; it takes a number, Constant(lr), "),
        ("lr=abc", "lr cannot be 'abc'; it takes a number, Constant(lr), "),
        ("lr=1e-", "lr cannot be '1e-'; it takes a number, Constant(lr), "),
        ("lr=1e999", "lr cannot be inf, which is not finite"),
        ("size=64x64", "size cannot be '64x64'; it takes one whole number"),
        ("size=0", "size cannot be '0'; it takes one whole number"),
        ("size=1e3", "size cannot be '1e3'; it takes one whole number"),
        ("size=99999", "side must be at most 32,768, not"),
        ("siez=64", "a recipe has no 'siez'; did you mean size"),
        ("optimizer=rmsprop", "optimizer cannot be 'rmsprop'; it takes sgd, adam, adamw, or a"),
        ("augment=mixup", "augment cannot be 'mixup'; it takes none, crop, flip, colour, distort"),
        ("augment=flip,none", "augment cannot be 'none'; it takes none, crop"),
    ],
)
def test_what_a_short_form_does_not_take_is_refused_in_one_sentence(change, sentence):
    name, _, text = change.partition("=")
    with pytest.raises(ValueError, match=r".") as refused:
        override(resnet.CIFAR, {name: text})
    assert sentence in str(refused.value)
