"""What a field may hold: whether a value is of its type, and the type in words."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

WORDS = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a text",
    NoneType: "None",
}


def is_a(value: Any, kind: Any) -> bool:
    """isinstance, but of what is inside tuples and mappings too; 1 is a float, and True no number.

    >>> is_a((1, 2.5), tuple[float, ...]), is_a(True, int), is_a(None, int | None)
    (True, False, True)
    """
    args = get_args(kind)
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return any(is_a(value, one) for one in args)
    if origin is tuple:
        args = args[:1] * len(value) if args[-1] is ... and isinstance(value, tuple) else args
        return isinstance(value, tuple) and len(value) == len(args) and all(map(is_a, value, args))
    if origin is Mapping:
        return isinstance(value, Mapping) and all(is_a(v, args[1]) for v in value.values())
    if isinstance(value, bool):
        return kind in (bool, Any)
    return kind is Any or isinstance(value, int | float if kind is float else kind)


def fitted(value: Any, kind: Any) -> Any:
    """A legal value as its type has it: where a float is meant, no int."""
    args = get_args(kind)
    if get_origin(kind) in (Union, UnionType):
        return fitted(value, next(one for one in args if is_a(value, one)))
    if get_origin(kind) is tuple:
        kinds = args[:1] * len(value) if args[-1] is ... else args
        return tuple(map(fitted, value, kinds))
    return float(value) if kind is float else value


def legal(kind: Any) -> str:
    """A type in words, a part with what it is made of.

    >>> legal(tuple[float, ...] | None)
    'a tuple (a number, ...) or None'
    """
    args = get_args(kind)
    if get_origin(kind) in (Union, UnionType):
        *most, last = map(legal, args)
        return f"{', '.join(most)} or {last}"
    if get_origin(kind) is tuple:
        inside = ("..." if one is ... else legal(one) for one in args)
        return f"a tuple ({', '.join(inside)})"
    if isinstance(kind, type) and is_dataclass(kind):
        return f"{kind.__name__}({', '.join(field.name for field in fields(kind))})"
    return WORDS.get(kind) or getattr(kind, "__name__", str(kind))
