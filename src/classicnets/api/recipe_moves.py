"""The papers' moves that change the training and not the network: values for `--set`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from classicnets.data.augment import ColourNoise
from classicnets.data.crops import ScaleJitter
from classicnets.designs.expand import expand
from classicnets.designs.tree import ASIDE, Block, Design
from classicnets.training.recipe import (
    HeNormal,
    MultiStep,
    Recipe,
    ReduceOnPlateau,
    WithAuxiliaries,
)
from classicnets.training.recipe.overrides import as_text, override

VGG_SCALES = (256 / 224, 512 / 224)  # of the crop


@dataclass(frozen=True)
class RecipeMove:
    """One lesson of one paper about training.

    `values` gives the fields of a recipe that it sets for a design; none where it does not apply.
    """

    name: str
    paper: str
    section: str
    claim: str
    looks_for: str
    values: Callable[[Recipe, Design], Mapping[str, Any]] = field(repr=False)

    @property
    def source(self) -> str:
        return f"{self.paper}, {self.section}"

    def overrides(self, recipe: Recipe, design: Design) -> dict[str, str]:
        """Field -> value as one types it after --set; empty where the recipe has all of it."""
        values = self.values(recipe, design)
        changed = override(recipe, values) if values else recipe
        same = all(getattr(changed, f.name) == getattr(recipe, f.name) for f in fields(Recipe))
        return {} if same else as_text(values)


def _decay(value: float) -> Callable[[Recipe, Design], dict[str, Any]]:
    def values(recipe: Recipe, design: Design) -> dict[str, Any]:
        optimizer = recipe.optimizer
        known = is_dataclass(optimizer) and "weight_decay" in {f.name for f in fields(optimizer)}
        return {"optimizer.weight_decay": value} if known else {}

    return values


def _jitter(recipe: Recipe, design: Design) -> dict[str, Any]:
    return {"crop_sampler": ScaleJitter(*(round(scale * recipe.crop) for scale in VGG_SCALES))}


def _colour(recipe: Recipe, design: Design) -> dict[str, Any]:
    has = any(isinstance(part, ColourNoise) for part in recipe.augment)
    return {} if has or design.input[0] != 3 else {"augment": (*recipe.augment, ColourNoise(0.1))}


def _auxiliary(recipe: Recipe, design: Design) -> dict[str, Any]:
    items = (item.what for (item,) in expand(design).body.lines)
    aside = any(isinstance(what, Block) and what.kind == ASIDE for what in items)
    return {"loss": WithAuxiliaries(0.3)} if aside else {}


RECIPE_MOVES = (
    RecipeMove(
        "weight-decay-0.0005",
        "AlexNet",
        "section 5",
        "A weight decay of 0.0005 lowers the training error as well.",
        "an optimizer with another weight decay",
        _decay(5e-4),
    ),
    RecipeMove(
        "plateau-schedule",
        "AlexNet",
        "section 5",
        "The learning rate is 0.01, and divided by 10 whenever the validation error stalls.",
        "another schedule",
        lambda recipe, design: {"lr": ReduceOnPlateau(0.01)},
    ),
    RecipeMove(
        "colour-noise",
        "AlexNet",
        "section 4.1",
        "Noise along the principal components of the colours lowers the error by more than 1 %.",
        "images of three channels without it",
        _colour,
    ),
    RecipeMove(
        "scale-jitter",
        "VGG",
        "section 3.1",
        "Crops from images of random scale, 256 to 512 pixels for crops of 224, lower the error.",
        "another way to crop",
        _jitter,
    ),
    RecipeMove(
        "auxiliary-loss",
        "GoogLeNet",
        "section 5",
        "The loss of each auxiliary head counts 0.3 times.",
        "an auxiliary head whose loss does not count",
        _auxiliary,
    ),
    RecipeMove(
        "he-initialisation",
        "ResNet",
        "section 3.4",
        "Initial weights of variance 2 / fan-in keep the signal of deep networks with ReLU.",
        "other initial values",
        lambda recipe, design: {"init": HeNormal()},
    ),
    RecipeMove(
        "weight-decay-0.0001",
        "ResNet",
        "section 3.4",
        "With batch normalisation a weight decay of 0.0001, and no dropout.",
        "an optimizer with another weight decay",
        _decay(1e-4),
    ),
    RecipeMove(
        "step-schedule",
        "ResNet",
        "section 4.2",
        "The learning rate is 0.1, and divided by 10 at a half and at three quarters.",
        "another schedule",
        lambda recipe, design: {"lr": MultiStep(0.1, milestones=(0.5, 0.75), factor=0.1)},
    ),
)
