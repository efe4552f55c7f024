"""Recipes, and whatever else a run says of itself, in the words of JSON and back."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin

from classicnets.data.augment import Flip, RandomCrop
from classicnets.data.pixels import Between, MinusMean, Scaling, Standardised

from .init import Init
from .loss import Loss
from .optim import SGD
from .rates import Rate
from .recipe import Recipe

T = TypeVar("T")


@dataclass(frozen=True)
class Own:
    """What is told of a part that is not from here: where its code stands, and its repr."""

    source: str
    text: str


def describe(value: Any) -> Any:
    """A recipe, or a part of one, in the words of JSON; `from_description` turns it back.

    Of a recipe with a part that is not from here, only an `Own` comes back.

    >>> describe(SGD(momentum=0.9))
    {'kind': 'SGD', 'momentum': 0.9, 'decay': 0.0, 'nesterov': False, 'decay_all': True}
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
        **{f.name: describe(getattr(value, f.name)) for f in fields(kind)},
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
        if field.name in parts and not _is_a(parts[field.name], field.type):
            raise ValueError(f"{field.name} cannot be {parts[field.name]!r}")
    try:
        return kind(**parts)
    except TypeError as error:
        held = ", ".join(parts) or "nothing"
        raise ValueError(f"a {kind.__name__} cannot be made of {held}") from error


def _is_a(value: Any, kind: Any) -> bool:
    """isinstance, but for what is inside tuples and mappings too, and 1 is a float."""
    args = get_args(kind)
    if isinstance(kind, UnionType):
        return any(_is_a(value, one) for one in args)
    if get_origin(kind) is tuple:
        args = args[:1] * len(value) if args[-1] is ... and isinstance(value, tuple) else args
        return isinstance(value, tuple) and len(value) == len(args) and all(map(_is_a, value, args))
    if get_origin(kind) is Mapping:
        return isinstance(value, Mapping) and all(_is_a(v, args[1]) for v in value.values())
    return isinstance(value, int | float if kind is float else kind)


KINDS: Mapping[str, type] = {
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
        Scaling,
        Own,
    )
}
