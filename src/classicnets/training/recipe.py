"""A recipe: what a paper says about training, as a frozen value that reads like its paragraph."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, get_args

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
    published: str
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
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.crop > self.side:
            raise ValueError(f"a crop of {self.crop} pixels does not fit into {self.side}")


def differences(recipe: Recipe, paper: Recipe) -> dict[str, tuple[Any, Any]]:
    """Field -> (what the recipe has, what the paper's has), where the two differ."""
    pairs = ((f.name, getattr(recipe, f.name), getattr(paper, f.name)) for f in fields(Recipe))
    return {
        name: (ours, theirs)
        for name, ours, theirs in pairs
        if ours != theirs and name not in ("cite", "published", "assumed")
    }


def describe(value: Any) -> Any:
    """A recipe, or a part of one, in the words of JSON; `from_description` turns it back.

    >>> describe(SGD(momentum=0.9))
    {'kind': 'SGD', 'momentum': 0.9, 'decay': 0.0, 'nesterov': False, 'decay_all': True}
    """
    if is_dataclass(value):
        parts = {f.name: describe(getattr(value, f.name)) for f in fields(value)}
        return {"kind": type(value).__name__, **parts}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple):
        return [describe(part) for part in value]
    return value


def from_description(description: Any) -> Any:
    """The value that `describe` was given. Raises a ValueError for a part it does not know."""
    if isinstance(description, list):
        return tuple(from_description(part) for part in description)
    if not isinstance(description, Mapping) or "kind" not in description:
        return description
    kind = description["kind"]
    if kind not in KINDS:
        raise ValueError(f"a recipe has no part {kind!r}; there is {', '.join(KINDS)}")
    parts = {k: from_description(v) for k, v in description.items() if k != "kind"}
    try:
        return KINDS[kind](**parts)
    except TypeError as error:
        raise ValueError(f"the description of a {kind} does not fit: {error}") from error


KINDS: Mapping[str, Callable[..., Any]] = {
    kind.__name__: kind
    for kind in (
        Recipe,
        SGD,
        *get_args(Rate),
        *get_args(Init),
        *get_args(Loss),
        RandomCrop,
        Flip,
        Between,
        MinusMean,
        Standardised,
    )
}
