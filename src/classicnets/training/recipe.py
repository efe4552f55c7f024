"""A recipe: what a paper says about training, as a frozen value that reads like its paragraph."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from classicnets.data.augment import Flip, RandomCrop
from classicnets.data.pixels import Between, MinusMean, Standardised

from .init import Init
from .loss import CrossEntropy, Loss
from .optim import SGD
from .rates import Rate


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train a network.

    Pictures are kept as squares of `side` pixels; the network sees squares of `crop` pixels, drawn
    by `augment` in training and from the centre otherwise. Whatever the paper does not give stands
    in `assumed`: field -> reason.
    """

    cite: str
    epochs: int
    batch: int
    optimizer: SGD
    rate: Rate
    init: Init
    loss: Loss = field(default_factory=CrossEntropy)
    side: int
    crop: int
    augment: tuple[RandomCrop | Flip, ...] = ()
    pixels: Between | MinusMean | Standardised
    assumed: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self):
        names = [f.name for f in fields(self)]
        for name in self.assumed:
            if name not in names:
                raise ValueError(f"assumed names {name!r}, which is no field of a recipe: {names}")
        for name in ("epochs", "batch", "side", "crop"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")
        if self.crop > self.side:
            raise ValueError(f"a crop of {self.crop} pixels does not fit into {self.side}")


def differences(recipe: Recipe, paper: Recipe) -> dict[str, tuple[Any, Any]]:
    """Field -> (what the recipe has, what the paper's has), where the two differ."""
    pairs = ((f.name, getattr(recipe, f.name), getattr(paper, f.name)) for f in fields(Recipe))
    return {
        name: (ours, theirs)
        for name, ours, theirs in pairs
        if ours != theirs and name not in ("cite", "assumed")
    }
