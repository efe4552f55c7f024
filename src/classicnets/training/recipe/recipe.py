"""A recipe: what a paper says about training, as a frozen value that reads like its paragraph."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, ClassVar

from classicnets.data.augment import ColourNoise, ColourShift, Distortion, HorizontalFlip
from classicnets.data.crops import (
    CentreCrop,
    CornerCrop,
    RandomCrop,
    RandomResizedCrop,
    ScaleJitter,
)
from classicnets.data.scaling import (
    Between,
    Normalise,
    Standardise,
    SubtractMean,
    SubtractMeanImage,
)
from classicnets.support.tables import html_table, html_text

from .averaging import Average
from .constraint import FilterRms
from .init import Init
from .layer_rates import HeadFirst
from .loss import CrossEntropy, Loss, takes_weights
from .optimizers import OptimizerSpec
from .progressive import ProgressiveResizing
from .schedules import Schedule

CropSampler = CentreCrop | RandomCrop | CornerCrop | ScaleJitter | RandomResizedCrop
Fitted = HorizontalFlip | ColourShift | Distortion  # ready to be applied
Augmentation = Fitted | ColourNoise
Pixels = Between | SubtractMean | SubtractMeanImage | Standardise | Normalise

# these fields tell of the paper; they do not change how a network is trained
ABOUT_PAPER = ("cite", "paper_images", "cited", "assumed")

# sides in pixels; a JPEG has at most twice as many
LARGEST = {
    **dict.fromkeys(("epochs", "steps", "patience", "batch"), 2**31),
    **dict.fromkeys(("side", "crop"), 2**15),
}


@dataclass(frozen=True, repr=False)
class CustomPart:
    """Stands for a part from a user's file in a recipe read from a run directory.

    Its code is not kept: `source` says where it was, `text` is its repr. Raises a ValueError when
    it is used.
    """

    source: str
    text: str
    whole: ClassVar[bool] = False
    since: ClassVar[float] = 0.0

    def _refuse(self, *args: Any, **options: Any) -> Any:
        raise ValueError(
            f"{self.text} is a part of your own, {self.source}, which a run directory does not keep"
        )

    __call__ = build = before_epoch = sample = fit = _refuse

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True, kw_only=True, repr=False)
class Recipe:
    """How to train a network.

    The shorter side of an image is resized to `side` pixels, and the network sees crops of `crop`
    pixels: in training where `crop_sampler` draws them, in evaluation from the centre. With
    `progressive_resizing` the first epochs see smaller crops. Training lasts `epochs` or `steps`;
    with `patience` it ends after so many epochs without a better validation. `layer_rates` are the
    factors of `lr` for the stages of a network that starts from learnt weights; the layer or stage
    `freeze`, and everything before it, stays as it starts. `class_weights` of the
    loss may be "balanced", and so may the `sampler`, which then draws each class equally often.
    `constraint` is imposed after each update; an `average` of the weights is evaluated and saved in
    their place. `paper_images` is the size of the paper's own training set, `protocol` how it
    tested. `cited` has field -> where the paper gives the value; what the paper does not give is in
    `assumed`, field -> reason.

    Raises a ValueError for a value that cannot be used.
    """

    cite: str
    paper_images: int = 0
    epochs: int | None = None
    steps: int | None = None
    patience: int | None = None
    batch: int
    optimizer: OptimizerSpec | CustomPart
    lr: Schedule | CustomPart
    layer_rates: HeadFirst | CustomPart | None = None
    freeze: str | None = None
    init: Init | CustomPart
    loss: Loss | CustomPart = field(default_factory=CrossEntropy)
    class_weights: str | None = None
    sampler: str | None = None
    constraint: FilterRms | CustomPart | None = None
    average: Average | CustomPart | None = None
    side: int
    crop: int
    crop_sampler: CropSampler | CustomPart = field(default_factory=CentreCrop)
    progressive_resizing: ProgressiveResizing | CustomPart | None = None
    augment: tuple[Augmentation | CustomPart, ...] = ()
    pixels: Pixels | CustomPart
    protocol: str = "single"
    cited: Mapping[str, str] = field(default_factory=dict)
    assumed: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self):
        names = [f.name for f in fields(self)]
        for name in (*self.cited, *self.assumed):
            if name not in names:
                raise ValueError(
                    f"{name!r} is cited or assumed but is not a field of a recipe: {names}"
                )
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("a recipe has either epochs or steps")
        self._check_counts()
        for name in ("lr", "init", "loss"):
            if not callable(value := getattr(self, name)):
                hint = f"; for a constant learning rate use Constant({value})" * (name == "lr")
                raise ValueError(f"{name} must be callable, not {value!r}{hint}")
        if not isinstance(self.optimizer, OptimizerSpec | CustomPart):
            raise ValueError(f"optimizer must be an OptimizerSpec, not {self.optimizer!r}")
        self._check_balance()
        if self.layer_rates is not None and not callable(self.layer_rates):
            raise ValueError(f"layer_rates must be callable or None, not {self.layer_rates!r}")
        if self.crop > self.side:
            raise ValueError(f"a crop of {self.crop} pixels does not fit into {self.side}")

    def _check_counts(self) -> None:
        for name, most in LARGEST.items():
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 1):
                raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")
            if value is not None and value > most:
                raise ValueError(f"{name} must be at most {most:,}, not {value:,}")

    def _check_balance(self) -> None:
        for name in ("class_weights", "sampler"):
            if (value := getattr(self, name)) not in (None, "balanced"):
                raise ValueError(f"{name} must be balanced or None, not {value!r}")
        if self.class_weights == "balanced" == self.sampler:
            raise ValueError(
                "class_weights and sampler are both balanced, which would count the small classes "
                "twice; choose one"
            )
        weighted = isinstance(self.loss, CustomPart) or takes_weights(self.loss)
        if self.class_weights == "balanced" and not weighted:
            raise ValueError(
                f"class_weights cannot be balanced with the loss {self.loss!r}, which takes no "
                "weights, one for each class; the sampler can"
            )

    def rows(self) -> list[tuple[str, Any, str, str]]:
        """Each field that has a value or a source: name, value, where it is cited, why assumed."""
        sources = {**self.cited, **self.assumed}
        return [
            (f.name, value, self.cited.get(f.name, ""), self.assumed.get(f.name, ""))
            for f in fields(self)
            if f.name not in ABOUT_PAPER
            if (value := getattr(self, f.name)) is not None or f.name in sources
        ]

    def __repr__(self) -> str:
        lines = [f"    {name}={typed(value)},\n" for name, value, *_ in self.rows()]
        return f"Recipe(\n    cite={self.cite!r},\n{''.join(lines)})"

    def _repr_html_(self) -> str:
        heads = ("field", "value", "source")
        lines = [
            (
                name,
                typed(value),
                "; ".join(filter(None, (cited, assumed and f"assumed: {assumed}"))),
            )
            for name, value, cited, assumed in self.rows()
        ]
        return html_text(f"Recipe of {self.cite}", "p") + html_table([heads, *lines], heads)

    def steps_per_epoch(self, images: int, smallest: int = 1) -> int:
        """How many steps one epoch over so many training images takes.

        Fewer than `smallest` that are left over join the batch before.
        """
        return max(1, math.ceil((images - smallest + 1) / self.batch))

    def total_steps(self, images: int, smallest: int = 1) -> int:
        """How many steps the whole training takes."""
        return self.steps or self.steps_per_epoch(images, smallest) * (self.epochs or 1)


def custom_parts(value: Any) -> Iterator[CustomPart]:
    """All parts of a recipe, or of anything in one, whose code is not kept."""
    if isinstance(value, CustomPart):
        yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from custom_parts(part)
    elif is_dataclass(value):
        for f in fields(value):
            yield from custom_parts(getattr(value, f.name))


def by_place(places: Mapping[str, str]) -> dict[str, str]:
    """Field -> place, from place -> the fields it gives.

    >>> by_place({"section 5": "batch epochs"})
    {'batch': 'section 5', 'epochs': 'section 5'}
    """
    return {name: place for place, names in places.items() for name in names.split()}


def shown(value: Any) -> str:
    """A value of a recipe as one reads it: a function is its name, and nothing is "none".

    >>> shown((HorizontalFlip(),)), shown(()), shown(None), shown(64)
    ('HorizontalFlip()', 'none', 'none', '64')
    """
    if isinstance(value, tuple):
        return ", ".join(map(shown, value)) or "none"
    return "none" if value is None else getattr(value, "__qualname__", str(value))


def typed(value: Any) -> str:
    """A value as one types it after --set; a function, which one cannot, is its name."""
    return getattr(value, "__qualname__", repr(value))


def differences(recipe: Recipe, paper: Recipe) -> dict[str, tuple[Any, Any]]:
    """Field -> (value in the recipe, value in the paper's), where the two differ."""
    pairs = ((f.name, getattr(recipe, f.name), getattr(paper, f.name)) for f in fields(Recipe))
    return {
        name: (ours, theirs)
        for name, ours, theirs in pairs
        if ours != theirs and name not in ABOUT_PAPER
    }
