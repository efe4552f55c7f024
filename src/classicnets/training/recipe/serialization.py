"""Recipes and run configurations to JSON and back; reading never executes anything.

Each part of a recipe is an object with its class as "kind", checked strictly against the types of
the fields: `{"kind": "SGD", "momentum": 0.9, ...}`.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from cattrs import BaseValidationError, Converter, ForbiddenExtraKeysError, transform_error
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from classicnets.data.scaling import Scaling
from classicnets.support.errors import suggest

from .averaging import Average
from .constraint import FilterRms
from .init import Init
from .layer_rates import HeadFirst
from .loss import Loss
from .optimizers import SGD, Adam, AdamW, CaffeSGD, LevenbergMarquardt, OptimizerSpec
from .progressive import ProgressiveResizing
from .recipe import Augmentation, CropSampler, CustomPart, Pixels
from .schedules import Schedule

Optimizer = SGD | CaffeSGD | LevenbergMarquardt | Adam | AdamW

PARTS: Mapping[str, type] = {
    part.__name__: part
    for part in (
        *(*get_args(Optimizer), HeadFirst, FilterRms, ProgressiveResizing, CustomPart),
        *(part for kinds in (Schedule, Init, Loss, Average) for part in get_args(kinds)),
        *(part for kinds in (CropSampler, Augmentation, Pixels) for part in get_args(kinds)),
    )
}
LARGEST = 2**64 - 1
SHOWN = 100  # characters of a refused value
WORDS = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a string",
    NoneType: "None",
}


def to_json(value: Any, kind: Any = None) -> Any:
    """A recipe, a part of one or a run configuration as plain dicts, lists, numbers and strings.

    `kind` is the type of the field that the value stands in, by default its own.

    >>> to_json(FilterRms(0.1))
    {'kind': 'FilterRms', 'limit': 0.1}
    """
    return CONVERTER.unstructure(value, kind)


def parse_json(text: str) -> Any:
    """JSON as Python values. Raises a ValueError that says where it is none, or nested beyond
    reason.

    >>> parse_json('{"seed": }')
    Traceback (most recent call last):
    ValueError: it is not JSON from line 1, character 10 on
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("its brackets are nested too deeply") from None
    except json.JSONDecodeError as error:
        if not text.strip():
            raise ValueError("it is empty") from None
        place = f"line {error.lineno}, character {error.colno}"
        raise ValueError(f"it is not JSON from {place} on") from None
    except ValueError:  # Python reads no number of thousands of digits
        raise ValueError("a number in it has thousands of digits") from None


def from_json(data: Any, kind: Any, name: str = "") -> Any:
    """What `to_json` was given, or a value of a field's type. Parts from a user's own file become
    `CustomPart`.

    Raises a ValueError that names the field, below `name`, and says what it takes.
    """
    try:
        return CONVERTER.structure(data, kind)
    except (BaseValidationError, ValueError, TypeError, AttributeError) as error:
        message, _, path = transform_error(error, name, _reason)[0].rpartition(" @ ")
        raise ValueError(f"{path.lstrip('.') or 'the content'} {message}") from error


def describe_type(kind: Any) -> str:
    """A type in words, a part with its fields.

    >>> describe_type(tuple[float, ...] | None)
    'a tuple (a number, ...) or None'
    """
    args = [one for one in get_args(kind) if one is not CustomPart]
    if _is_union(kind):
        *most, last = map(describe_type, args)
        return " or ".join(filter(None, (", ".join(most), last)))
    if get_origin(kind) is tuple:
        inside = ("..." if one is ... else describe_type(one) for one in args)
        return f"a tuple ({', '.join(inside)})"
    if kind is OptimizerSpec:
        return describe_type(Optimizer)
    if isinstance(kind, type) and is_dataclass(kind):
        return f"{kind.__name__}({', '.join(field.name for field in fields(kind))})"
    return WORDS.get(kind) or getattr(kind, "__name__", str(kind))


def _reason(error: BaseException, kind: Any) -> str:
    if isinstance(error, KeyError):
        return "is missing"
    if isinstance(error, ForbiddenExtraKeysError):
        return f"has no {', '.join(sorted(error.extra_fields))}"
    if isinstance(error, AttributeError | TypeError):
        return "is not an object"
    return str(error)


def _refuse(value: Any, kind: Any) -> ValueError:
    shown = value["kind"] if isinstance(value, dict) and "kind" in value else repr(value)
    shown = shown if len(str(shown)) <= SHOWN else f"{str(shown)[:SHOWN]}..."
    return ValueError(f"cannot be {shown}; it takes {describe_type(kind)}")


def _strict(value: Any, kind: type) -> Any:
    """bool, int, float and str as they are; an int may stand for a float, but True for neither.

    Numbers are finite and whole numbers have at most 64 bits.
    """
    if type(value) is int and not -LARGEST <= value <= LARGEST:
        raise _refuse(value, kind)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        raise _refuse(value, kind)
    return value


def _tuple(value: Any, kind: Any) -> tuple:
    args = get_args(kind)
    kinds = args[:1] * len(value) if args[-1] is ... and isinstance(value, list | tuple) else args
    if not isinstance(value, list | tuple) or len(value) != len(kinds):
        raise _refuse(value, kind)
    return tuple(CONVERTER.structure(one, of) for one, of in zip(value, kinds, strict=True))


def _union(value: Any, kind: Any) -> Any:
    """The member that `value` is written as: None, a part by its "kind", or a plain value."""
    if isinstance(value, dict):
        return _part(value, kind)
    for one in get_args(kind):
        if value is None and one is NoneType:
            return None
        if type(value) is one or (one is float and type(value) is int):
            return CONVERTER.structure(value, one)
        if get_origin(one) is tuple and isinstance(value, list | tuple):
            return _tuple(value, one)
    raise _refuse(value, kind)


def _part(value: Any, kind: Any) -> Any:
    """The part of a recipe that an object with "kind" stands for, if it may stand there."""
    if not isinstance(value, dict) or "kind" not in value:
        raise _refuse(value, kind)
    name = str(value["kind"])
    if name not in PARTS:
        raise ValueError(f"has no part {name!r}; {suggest(name, PARTS)}")
    part = PARTS[name]
    if part is not CustomPart and not _belongs(part, kind):
        raise _refuse(value, kind)
    return _structure(part)({key: v for key, v in value.items() if key != "kind"}, part)


def _belongs(part: type, kind: Any) -> bool:
    return any(isinstance(one, type) and issubclass(part, one) for one in get_args(kind) or (kind,))


def _unstructure(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple):
        return [_unstructure(part) for part in value]
    if type(value) not in PARTS.values():
        function = hasattr(value, "__qualname__")  # its repr has an address, which changes
        named = value if function else type(value)
        text = named.__qualname__ if function else repr(value)
        value = CustomPart(f"{named.__module__}:{named.__qualname__}", text)
    return {"kind": type(value).__name__, **_unstructured(type(value))(value)}


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in (Union, UnionType)


def _is_part(kind: Any) -> bool:
    return kind is OptimizerSpec or kind in PARTS.values()


CONVERTER = Converter(forbid_extra_keys=True)
for plain in (bool, int, float, str):
    CONVERTER.register_structure_hook(plain, _strict)
CONVERTER.register_structure_hook_func(lambda kind: get_origin(kind) is tuple, _tuple)
for chosen, structure in ((_is_union, _union), (_is_part, _part)):
    CONVERTER.register_structure_hook_func(chosen, structure)
    CONVERTER.register_unstructure_hook_func(chosen, _unstructure)
# a mean image is a file of its own
no_image = override(omit=True)
CONVERTER.register_unstructure_hook(
    Scaling, make_dict_unstructure_fn(Scaling, CONVERTER, image=no_image)
)
CONVERTER.register_structure_hook(
    Scaling, make_dict_structure_fn(Scaling, CONVERTER, image=no_image)
)


# made for a part when it is first read or written; all of them would take 15 ms of each start
@cache
def _structure(part: type) -> Callable[[Mapping[str, Any], Any], Any]:
    return make_dict_structure_fn(part, CONVERTER)


@cache
def _unstructured(part: type) -> Callable[[Any], dict[str, Any]]:
    return make_dict_unstructure_fn(part, CONVERTER)
