"""Changes to a recipe as one types them, `field=value`: read, checked, and never executed."""

import ast
import math
from collections.abc import Iterable, Mapping
from dataclasses import Field, fields, is_dataclass, replace
from difflib import get_close_matches
from typing import Any

from .description import KINDS, made
from .legal import fitted, is_a, legal
from .recipe import Recipe

TOLD = ("cite", "pictures", "cited", "assumed")  # about the paper, and no part of how one trains
REASONS = ("cited", "assumed")
INSTEAD = {"epochs": "steps", "steps": "epochs"}


def changed(recipe: Recipe, changes: Mapping[str, str]) -> Recipe:
    """The recipe with some fields changed; `optimizer.momentum` is a field of a part.

    A value is a Python literal or a part called by its name, as `repr` writes it. `epochs` replaces
    `steps`, and `steps` replaces `epochs`. What is cited or assumed of a value goes with it. Raises
    a ValueError for a field or part that there is not, offering the nearest, and for a value of
    another type or outside what the part allows.

    >>> from classicnets.recipes.alexnet import IMAGENET
    >>> ours = changed(IMAGENET, {"batch": "64", "optimizer.momentum": "0.8"})
    >>> ours.batch, ours.optimizer.momentum
    (64, 0.8)
    """
    values: dict[str, Any] = {}
    for name, text in changes.items():
        head, *rest = name.split(".")
        field = _field(recipe, head, name)
        values[head] = _with(values.get(head, getattr(recipe, head)), field, rest, name, text)
    for name, other in INSTEAD.items():
        if values.get(name) is not None:
            values.setdefault(other, None)
    if values.get("steps") not in (None, recipe.steps):
        values["pictures"] = 0  # these steps are meant as they are, whatever the paper's would be
    return replace(recipe, **values, **{of: _still(recipe, of, changes, values) for of in REASONS})


def _still(
    recipe: Recipe, of: str, changes: Mapping[str, str], values: Mapping[str, Any]
) -> dict[str, str]:
    """What is still true of the reasons; a part of which one field has changed keeps its own."""
    gone = [name for name in changes if name in values and values[name] != getattr(recipe, name)]
    return {name: reason for name, reason in getattr(recipe, of).items() if name not in gone}


def _field(owner: Any, name: str, full: str) -> Field:
    there = {f.name: f for f in fields(owner)} if is_dataclass(owner) else {}
    if isinstance(owner, Recipe):
        there = {known: field for known, field in there.items() if known not in TOLD}
    if name not in there:
        what = "a recipe" if isinstance(owner, Recipe) else repr(owner)
        raise ValueError(f"there is no {full}: {what} has no {name!r}; {_nearest(name, there)}")
    return there[name]


def _with(before: Any, field: Field, rest: list[str], name: str, text: str) -> Any:
    """What a field holds after the change: the value itself, or the part with its own changed."""
    if rest:
        inner = _field(before, rest[0], name)
        value = _with(getattr(before, inner.name), inner, rest[1:], name, text)
        return replace(before, **{inner.name: value})
    if field.type is str and text[:1] not in ("'", '"'):
        return text
    try:
        value = _read(ast.parse(text.strip(), mode="eval").body, name)
    except (SyntaxError, RecursionError, MemoryError):
        raise ValueError(
            f"{name} cannot be {text[:60]!r}, which is no value; it takes {legal(field.type)}"
        ) from None
    return _checked(value, field, name)


def _read(node: ast.expr, name: str) -> Any:
    """The value that an expression stands for; nothing in it is executed."""
    match node:
        case ast.Constant(value=bool() | int() | float() | str() | None as value):
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name} cannot be {value}, which is not finite")
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return tuple(_read(part, name) for part in parts)
        case ast.Name(id=kind):
            return _part(kind, [], [], name)
        case ast.Call(func=ast.Name(id=kind), args=args, keywords=keywords):
            return _part(kind, args, keywords, name)
    raise ValueError(
        f"{name} cannot be {ast.unparse(node)[:60]!r}: a value is written out, as a number, a "
        "text, a tuple, or a part by its name, such as SGD(momentum=0.9)"
    )


def _part(kind: str, args: list[ast.expr], keywords: list[ast.keyword], name: str) -> Any:
    if kind not in KINDS:
        raise ValueError(f"{name}: there is no part {kind!r}; {_nearest(kind, KINDS)}")
    there = {f.name: f for f in fields(KINDS[kind])}
    if len(args) > len(there):
        raise ValueError(f"{name}: {legal(KINDS[kind])} does not take {len(args)} values")
    given = [
        *zip(there, args, strict=False),
        *((word.arg or "**", word.value) for word in keywords),
    ]
    parts: dict[str, Any] = {}
    for field, value in given:
        if field not in there:
            raise ValueError(f"{name}: {kind} has no {field!r}; {_nearest(field, there)}")
        if field in parts:
            raise ValueError(f"{name}: {kind} is given {field} twice")
        parts[field] = _checked(_read(value, name), there[field], f"{name}: {field} of {kind}")
    return made(KINDS[kind], parts)


def _checked(value: Any, field: Field, name: str) -> Any:
    if not is_a(value, field.type):
        raise ValueError(f"{name} cannot be {value!r}; it takes {legal(field.type)}")
    return fitted(value, field.type)


def _nearest(name: str, there: Iterable[str]) -> str:
    near = get_close_matches(name, there, n=1)
    return f"the nearest is {near[0]}" if near else f"there is {', '.join(there) or 'none'}"
