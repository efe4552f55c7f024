"""A recipe: what a paper says about training, as a frozen value that reads like its paragraph."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from classicnets.data.augment import ColourNoise, ColourShift, Distortion, Flip
from classicnets.data.pixels import Between, MinusMean, MinusMeanPicture, Standardised
from classicnets.data.windows import AreaAspect, Centre, Corners, RandomCrop, ScaleJitter

from .average import Average
from .constraint import FilterRms
from .growth import Progressive
from .init import Init
from .loss import CrossEntropy, Loss
from .optim import Rule
from .rates import Rate

Window = Centre | RandomCrop | Corners | ScaleJitter | AreaAspect
Fitted = Flip | ColourShift | Distortion  # ready to be applied
Augmentation = Fitted | ColourNoise
Pixels = Between | MinusMean | MinusMeanPicture | Standardised


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train a network.

    The shorter side of a picture is brought to `side` pixels, and the network sees squares of
    `crop` pixels: in training where `window` draws them, otherwise from the centre. With `growth`
    the first passes see them in fewer pixels. Training lasts `epochs` passes over the data, or
    `steps`. After each update `constraint` is imposed; where
    there is an `average`, it is judged and kept in place of the weights. `pictures` counts the
    paper's own, and `protocol` names how it tested. Where a value stands in the paper is in
    `cited`, field -> place; whatever it does not give stands in `assumed`, field -> reason.
    """

    cite: str
    pictures: int = 0
    epochs: int | None = None
    steps: int | None = None
    batch: int
    optimizer: Rule
    rate: Rate
    init: Init
    loss: Loss = field(default_factory=CrossEntropy)
    constraint: FilterRms | None = None
    average: Average | None = None
    side: int
    crop: int
    window: Window = field(default_factory=Centre)
    growth: Progressive | None = None
    augment: tuple[Augmentation, ...] = ()
    pixels: Pixels
    protocol: str = "single"
    cited: Mapping[str, str] = field(default_factory=dict)
    assumed: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self):
        names = [f.name for f in fields(self)]
        for name in (*self.cited, *self.assumed):
            if name not in names:
                raise ValueError(f"{name!r} is cited or assumed, and no field of a recipe: {names}")
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("a recipe has either epochs or steps")
        for name in ("epochs", "steps", "batch", "side", "crop"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 1):
                raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")
        for name in ("rate", "init", "loss"):
            if not callable(value := getattr(self, name)):
                hint = f"; the same throughout is Constant({value})" if name == "rate" else ""
                raise ValueError(f"{name} must be a part that can be called, not {value!r}{hint}")
        if not hasattr(self.optimizer, "build"):
            raise ValueError(f"optimizer must be a part that builds one, not {self.optimizer!r}")
        if self.crop > self.side:
            raise ValueError(f"a crop of {self.crop} pixels does not fit into {self.side}")

    def length(self, pictures: int) -> tuple[int, int]:
        """How many steps a pass over so many pictures has, and the whole training."""
        a_pass = math.ceil(pictures / self.batch)
        return a_pass, self.steps or a_pass * (self.epochs or 1)


def by_place(places: Mapping[str, str]) -> dict[str, str]:
    """Field -> place, from place -> the fields it gives.

    >>> by_place({"section 5": "batch epochs"})
    {'batch': 'section 5', 'epochs': 'section 5'}
    """
    return {name: place for place, names in places.items() for name in names.split()}


NOT_COMPARED = ("cite", "pictures", "cited", "assumed")


def differences(recipe: Recipe, paper: Recipe) -> dict[str, tuple[Any, Any]]:
    """Field -> (what the recipe has, what the paper's has), where the two differ."""
    pairs = ((f.name, getattr(recipe, f.name), getattr(paper, f.name)) for f in fields(Recipe))
    return {
        name: (ours, theirs)
        for name, ours, theirs in pairs
        if ours != theirs and name not in NOT_COMPARED
    }
