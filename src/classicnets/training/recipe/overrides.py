"""Overrides of a recipe, as one types them or as values: parsed, checked, never executed."""

import ast
import math
from collections.abc import Mapping
from dataclasses import Field, fields, is_dataclass, replace
from typing import Any, get_origin

import numpy as np

from classicnets.support.errors import suggest

from .recipe import ABOUT_PAPER, Recipe
from .serialization import PARTS, describe_type, from_json, to_json
from .shorthand import apply_short_forms

INSTEAD = {"epochs": "steps", "steps": "epochs"}


def override(recipe: Recipe, overrides: Mapping[str, Any]) -> Recipe:
    """The recipe with some fields changed; `optimizer.momentum` is a field of a part.

    A value is that value, or its text: a Python literal or a part by its name, as `repr` writes it.
    Either may have one of the short forms of `apply_short_forms`, which the others are applied to.
    `epochs` replaces `steps`, and `steps` replaces `epochs`. The reasons cited or assumed for a
    changed value go. Raises a ValueError for an unknown field or part, offering the nearest, and
    for a value of another type or out of range.

    >>> from classicnets.recipes.alexnet import IMAGENET
    >>> ours = override(IMAGENET, {"batch": "64", "optimizer.momentum": 0.8})
    >>> ours.batch, ours.optimizer.momentum
    (64, 0.8)
    """
    plain = {name: _plain(value) for name, value in overrides.items()}
    recipe, overrides = apply_short_forms(recipe, plain)
    values: dict[str, Any] = {}
    for name, text in sorted(overrides.items(), key=lambda pair: pair[0].count(".")):
        head, *rest = name.split(".")
        field = _field(recipe, head, name)
        before = values.get(head, getattr(recipe, head))
        values[head] = _with(before, field, rest, name, text)
    for name, other in INSTEAD.items():
        if values.get(name) is not None:
            values.setdefault(other, None)
    if values.get("steps") not in (None, recipe.steps):
        values["paper_images"] = 0  # these steps are meant as they are, whatever the data set
    # a part of which one field has changed keeps its reason
    gone = [name for name in overrides if name in values and values[name] != getattr(recipe, name)]
    cited, assumed = (
        {name: reason for name, reason in reasons.items() if name not in gone}
        for reasons in (recipe.cited, recipe.assumed)
    )
    return replace(recipe, **values, cited=cited, assumed=assumed)


def as_text(overrides: Mapping[str, Any]) -> dict[str, str]:
    """The overrides as one types them, without those with a part of your own, which has no text."""
    plain = {name: _plain(value) for name, value in overrides.items()}
    return {
        name: value if isinstance(value, str) else repr(value)
        for name, value in plain.items()
        if not _is_own(value)
    }


def _plain(value: Any) -> Any:
    """A value without what NumPy and lists add to it; a class of parts is its name."""
    if isinstance(value, type) and value in PARTS.values():
        return value.__name__
    if isinstance(value, list):
        return tuple(map(_plain, value))
    return value.item() if isinstance(value, np.generic) else value


def _is_own(value: Any) -> bool:
    """Whether there is a part of your own in the value."""
    if isinstance(value, tuple):
        return any(map(_is_own, value))
    if type(value) in PARTS.values():
        return any(_is_own(getattr(value, f.name)) for f in fields(value))
    return value is not None and not isinstance(value, bool | int | float | str)


def _field(owner: Any, name: str, full: str) -> Field:
    known = {f.name: f for f in fields(owner)} if is_dataclass(owner) else {}
    if isinstance(owner, Recipe):
        known = {key: field for key, field in known.items() if key not in ABOUT_PAPER}
    if name not in known:
        what = "a recipe" if isinstance(owner, Recipe) else repr(owner)
        names = [*known, *(["size"] if isinstance(owner, Recipe) else [])]
        hint = suggest(name, names) if names else "it has no fields"
        raise ValueError(f"cannot set {full}: {what} has no {name!r}; {hint}")
    return known[name]


def _with(before: Any, field: Field, rest: list[str], name: str, text: Any) -> Any:
    """The new value of a field: the value itself, or the part with one of its own changed."""
    if rest:
        inner = _field(before, rest[0], name)
        value = _with(getattr(before, inner.name), inner, rest[1:], name, text)
        return replace(before, **{inner.name: value})
    if not isinstance(text, str):
        return _checked(text, field.type, name)
    word = field.type is str or (field.type == str | None and text != "None")
    if word and text[:1] not in ("'", '"'):
        return text
    try:
        value = _parse(ast.parse(text.strip(), mode="eval").body, field.type, name)
    except (SyntaxError, RecursionError, MemoryError):
        raise ValueError(
            f"{name} cannot be {text[:60]!r}, which is not a value; "
            f"it takes {describe_type(field.type)}"
        ) from None
    return from_json(value, field.type, name)


def _checked(value: Any, kind: Any, name: str) -> Any:
    """A value that is not text, after the same checks; a part of your own is kept as it is."""
    whole = get_origin(kind) is not tuple or isinstance(value, tuple)
    checked = from_json(to_json(value, kind if whole else None), kind, name)
    return value if _is_own(value) else checked


def _parse(node: ast.expr, kind: Any, name: str) -> Any:
    """An expression as `to_json` would write its value; nothing in it is executed."""
    match node:
        case ast.Constant(value=bool() | int() | float() | str() | None as value):
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name} cannot be {value}, which is not finite")
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return tuple(_parse(part, kind, name) for part in parts)
        case ast.Name(id=part):
            return _part(part, [], [], kind, name)
        case ast.Call(func=ast.Name(id=part), args=args, keywords=keywords):
            return _part(part, args, keywords, kind, name)
    raise ValueError(
        f"{name} cannot be {ast.unparse(node)[:60]!r}: a value is a number, a string, a tuple, or "
        "an object by the name of its class, such as SGD(momentum=0.9)"
    )


def _part(
    part: str, args: list[ast.expr], keywords: list[ast.keyword], kind: Any, name: str
) -> Any:
    if part not in PARTS:
        raise ValueError(f"{name} cannot be {part[:60]!r}; it takes {describe_type(kind)}")
    known = {f.name: f.type for f in fields(PARTS[part])}
    if len(args) > len(known):
        raise ValueError(f"{name}: {describe_type(PARTS[part])} does not take {len(args)} values")
    given = [
        *zip(known, args, strict=False),
        *((word.arg or "**", word.value) for word in keywords),
    ]
    parts: dict[str, Any] = {"kind": part}
    for field, value in given:
        if field not in known:
            raise ValueError(f"{name}: {part} has no {field!r}; it has {', '.join(known)}")
        if field in parts:
            raise ValueError(f"{name}: {part} is given {field} twice")
        parts[field] = _parse(value, known[field], name)
    return parts
