"""Recipes, and whatever else a run says of itself, in the words of JSON and back."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, TypeVar, get_args

from classicnets.data.pixels import Scaling

from .average import Average
from .constraint import FilterRms
from .growth import Progressive
from .init import Init
from .legal import is_a
from .loss import Loss
from .optim import Rule
from .rates import Rate
from .recipe import Augmentation, Pixels, Recipe, Window
from .step import Execution

T = TypeVar("T")


@dataclass(frozen=True)
class Own:
    """What is told of a part that is not from here: where its code stands, and its repr."""

    source: str
    text: str


def describe(value: Any) -> Any:
    """A recipe, or a part of one, in the words of JSON; `from_description` turns it back.

    Of a recipe with a part that is not from here, only an `Own` comes back.

    >>> describe(FilterRms(0.1))
    {'kind': 'FilterRms', 'limit': 0.1}
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {key: describe(part) for key, part in value.items()}
    if isinstance(value, tuple):
        return [describe(part) for part in value]
    kind = type(value)
    if KINDS.get(kind.__name__) is not kind:
        named = value if hasattr(value, "__qualname__") else kind
        return describe(Own(f"{named.__module__}:{named.__qualname__}", repr(value)))
    return {
        "kind": kind.__name__,
        **{f.name: describe(getattr(value, f.name)) for f in fields(kind) if f.compare},
    }


def from_description(description: Any) -> Any:
    """The value that `describe` was given. Raises a ValueError for a part that it cannot be."""
    if isinstance(description, list):
        parts = tuple(map(from_description, description))
        return next((part for part in parts if isinstance(part, Own)), parts)
    if not isinstance(description, Mapping):
        return description
    parts = {name: from_description(part) for name, part in description.items()}
    if "kind" not in parts:
        return parts
    kind = str(parts.pop("kind"))
    if own := next((part for part in parts.values() if isinstance(part, Own)), None):
        return own
    if kind not in KINDS:
        raise ValueError(f"a recipe has no part {kind!r}; there is {', '.join(KINDS)}")
    return made(KINDS[kind], parts)


def made(kind: type[T], parts: Any) -> T:
    """A dataclass from its parts. Raises a ValueError when one is missing or of another type."""
    if not isinstance(parts, Mapping):
        raise ValueError(f"{parts!r} is no {kind.__name__}")
    assert is_dataclass(kind)
    for field in fields(kind):
        if field.name in parts and not is_a(parts[field.name], field.type):
            raise ValueError(f"{field.name} cannot be {parts[field.name]!r}")
    try:
        return kind(**parts)
    except TypeError as error:
        held = ", ".join(parts) or "nothing"
        raise ValueError(f"a {kind.__name__} cannot be made of {held}") from error


KINDS: Mapping[str, type] = {
    kind.__name__: kind
    for kind in (
        Recipe,
        *get_args(Rule),
        *get_args(Rate),
        *get_args(Init),
        *get_args(Loss),
        FilterRms,
        *get_args(Average),
        *get_args(Window),
        Progressive,
        *get_args(Augmentation),
        *get_args(Pixels),
        Scaling,
        Execution,
        Own,
    )
}
