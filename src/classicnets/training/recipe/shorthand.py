"""Short forms of a recipe's fields, as one types them: a number for a schedule, words for parts."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from classicnets.data.augment import ColourNoise, Distortion, HorizontalFlip
from classicnets.data.crops import CentreCrop, RandomCrop, ScaleJitter

from .optimizers import SGD, Adam, AdamW
from .recipe import Recipe
from .schedules import Schedule, with_rate
from .serialization import describe_type

OPTIMIZERS = {"sgd": SGD, "adam": Adam, "adamw": AdamW}
ADAMS_RATE = 1e-3  # torch's default for Adam and AdamW
# further augmentations; the recipe's crops stay
AUGMENT = {
    "crop": (),
    "flip": (HorizontalFlip(),),
    "colour": (ColourNoise(),),
    "distort": (Distortion(),),
}


def apply_short_forms(
    recipe: Recipe, overrides: Mapping[str, Any]
) -> tuple[Recipe, dict[str, Any]]:
    """The recipe changed by the overrides in short form, and the other overrides.

    `size` changes `crop`, and `side` and the crop sampler in proportion; a number for `lr` scales
    the schedule; `optimizer` is sgd, adam or adamw; `augment` is none, or crop, flip, colour and
    distort, joined by commas.

    >>> from classicnets.recipes.resnet import CIFAR
    >>> ours, rest = apply_short_forms(CIFAR, {"size": "64", "lr": 0.05, "batch": "8"})
    >>> ours.crop, ours.side, ours.crop_sampler.pad, ours.lr.start, rest
    (64, 64, 8, 0.05, {'batch': '8'})
    """
    rest, before = dict(overrides), recipe.optimizer
    for name, apply in FORMS.items():
        value = rest.get(name)
        if name not in rest or (name != "size" and not isinstance(value, str | int | float)):
            continue  # a part, not what one types for it
        if (changed := apply(recipe, str(value).strip())) is not None:
            recipe = changed
            del rest[name]
    if "optimizer" not in rest and not any(name.partition(".")[0] == "lr" for name in overrides):
        recipe = _at_adams_rate(recipe, before)
    return recipe, rest


def _at_adams_rate(recipe: Recipe, before: object) -> Recipe:
    """Where Adam replaces an optimizer of another kind, whose rates are far too large for it."""
    after = recipe.optimizer
    if not isinstance(after, Adam) or isinstance(before, Adam):
        return recipe
    if not isinstance(recipe.lr, Schedule):
        return recipe
    recipe = _replace(recipe, lr=with_rate(recipe.lr, ADAMS_RATE))
    reason = f"{ADAMS_RATE:g} is torch's default for {type(after).__name__}; not tuned"
    return replace(recipe, assumed={**recipe.assumed, "lr": reason})


def _optimizer(recipe: Recipe, text: str) -> Recipe | None:
    """Keeps what means the same in both."""
    if not _is_word(text):
        return None
    kind, before = _chosen("optimizer", text, OPTIMIZERS), recipe.optimizer
    if type(before) is kind:
        return recipe
    shared = {f.name for f in fields(before)} if is_dataclass(before) else set()
    shared &= {f.name for f in fields(kind)}
    if AdamW in (kind, type(before)):  # its weight decay is not part of the gradient
        shared -= {"weight_decay"}
    return _replace(recipe, optimizer=kind(**{name: getattr(before, name) for name in shared}))


def _rate(recipe: Recipe, text: str) -> Recipe | None:
    try:
        rate = float(text)
        if math.isnan(rate):
            raise ValueError
    except ValueError:
        if not re.fullmatch("[a-z0-9.+-]+", text):  # a schedule, or what is said of others
            return None
        known = describe_type(Schedule)
        raise ValueError(f"lr cannot be {text[:60]!r}; it takes a number, {known}") from None
    if not math.isfinite(rate):
        return None
    if rate < 0:
        raise ValueError(f"lr must be at least 0, not {text}")
    if not isinstance(recipe.lr, Schedule):
        raise ValueError(
            f"lr cannot be {text} in place of a schedule of your own, {recipe.lr!r}; "
            f"write it out, as in lr=Constant({text})"
        )
    return replace(recipe, lr=with_rate(recipe.lr, rate))  # whose reason stays


def _augment(recipe: Recipe, text: str) -> Recipe | None:
    if text.lower() == "none":
        return _replace(recipe, augment=(), crop_sampler=CentreCrop())
    words = text.replace("color", "colour").split(",")
    if not all(map(_is_word, words)):
        return None
    parts = [_chosen("augment", word, AUGMENT) for word in dict.fromkeys(words)]
    return _replace(recipe, augment=tuple(part for some in parts for part in some))


def _size(recipe: Recipe, text: str) -> Recipe:
    if not re.fullmatch("[0-9]{1,9}", text) or int(text) < 1:
        raise ValueError(
            f"size cannot be {text[:60]!r}; it takes one whole number, the side of the square that "
            "the network reads, in pixels"
        )
    crop, sampler = int(text), recipe.crop_sampler

    def scaled(length: int) -> int:
        return round(length * crop / recipe.crop)

    if isinstance(sampler, RandomCrop):
        sampler = replace(sampler, pad=scaled(sampler.pad))
    if isinstance(sampler, ScaleJitter):
        sampler = ScaleJitter(scaled(sampler.low), scaled(sampler.high))
    return _replace(recipe, crop=crop, side=scaled(recipe.side), crop_sampler=sampler)


def _chosen(name: str, word: str, known: Mapping[str, Any]) -> Any:
    if word not in known:
        words = ", ".join(["none"] * (known is AUGMENT) + list(known))
        raise ValueError(
            f"{name} cannot be {word[:60]!r}; it takes {words}, or a value as "
            "`classicnets recipe` prints it"
        )
    return known[word]


def _is_word(text: str) -> bool:
    return re.fullmatch("[a-z][a-z0-9_-]*", text) is not None


def _replace(recipe: Recipe, **values: Any) -> Recipe:
    """With these values; the reasons cited or assumed for what changes go."""
    gone = [name for name, value in values.items() if value != getattr(recipe, name)]
    cited, assumed = (
        {name: reason for name, reason in reasons.items() if name not in gone}
        for reasons in (recipe.cited, recipe.assumed)
    )
    return replace(recipe, **values, cited=cited, assumed=assumed)


FORMS: dict[str, Callable[[Recipe, str], Recipe | None]] = {
    "size": _size,
    "optimizer": _optimizer,
    "lr": _rate,
    "augment": _augment,
}
