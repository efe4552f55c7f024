"""The text of docs/reference.md: every public name, its signature and its docstring."""

import dataclasses
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import is_dataclass
from functools import cached_property
from typing import Any

from torch import nn

import classicnets as cn

# in the order of use; a test sees that no public name but the networks' is missing
GROUPS = {
    "Networks": ("list_models", "find", "build", "show", "speed", "plan"),
    "Training": ("train", "resume", "open_data", "pack", "Recipe"),
    "After training": ("evaluate", "predict", "see", "compare", "load", "export", "push"),
    "Better networks": ("design", "diff", "suggest", "apply_move", "experiment", "study"),
    "Pretrained weights": ("list_weights", "import_weights"),
    "Parts of networks": (
        "Network", "chain", "Concat", "Residual", "Aside", "LocalResponseNorm",
    ),
}  # fmt: skip
INTRODUCTION = """\
# Reference

Everything that `import classicnets as cn` offers, with the docstrings of the code, whose examples
leave out `cn.`. Each network and each family is a function as well, such as
`cn.resnet50(classes=10)` and `cn.vgg("D")`, and `cn.names` is another name of `cn.list_models`.
`docs/generate.py` writes this page.
"""


def reference() -> str:
    """The whole page."""
    groups = ("\n".join([f"## {title}\n", *map(_entry, names)]) for title, names in GROUPS.items())
    return "\n".join([INTRODUCTION, *groups]).rstrip() + "\n"


def _entry(name: str) -> str:
    value = getattr(cn, name)
    text = f"### cn.{name}\n\n```text\n{_signature(f'cn.{name}', value)}\n```\n\n{_prose(value)}\n"
    if inspect.isclass(value):
        return text if issubclass(value, nn.Module) else text + _members(value)
    returned = inspect.signature(value).return_annotation
    if not (inspect.isclass(returned) and returned.__module__.startswith("classicnets")):
        return text
    return f"{text}\nReturns `{returned.__name__}`. {_one_line(returned)}\n{_members(returned)}"


def _signature(name: str, value: Callable[..., Any]) -> str:
    """A call with its arguments and their defaults; the docstring says what they are."""
    parameters = inspect.signature(value).parameters.values()
    words = []
    keyword_only = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            words.append("*")
            keyword_only = True
        words.append(_argument(parameter))
    call = f"{name}({', '.join(words)})"
    indent = " " * (len(name) + 1)
    return textwrap.fill(call, 110, subsequent_indent=indent, break_on_hyphens=False)


def _argument(parameter: inspect.Parameter) -> str:
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}
    word = stars.get(parameter.kind, "") + parameter.name
    default = parameter.default
    if default is parameter.empty:
        return word
    return (
        f"{word}=..." if callable(default) or "factory" in repr(default) else f"{word}={default!r}"
    )


def _prose(value: object) -> str:
    """A docstring as Markdown: its examples become blocks of code."""
    blocks = []
    for paragraph in (inspect.getdoc(value) or "").split("\n\n"):
        example = paragraph.lstrip().startswith(">>>")
        blocks.append(f"```pycon\n{paragraph}\n```" if example else paragraph)
    return "\n\n".join(blocks)


def _one_line(value: object) -> str:
    """The first paragraph of a docstring."""
    return " ".join((inspect.getdoc(value) or "").partition("\n\n")[0].split())


def _members(cls: type) -> str:
    """The fields of a class, and a line for each of its documented methods and properties."""
    fields = (f.name for f in dataclasses.fields(cls)) if is_dataclass(cls) else ()
    fields = [*getattr(cls, "_fields", ()), *fields]
    shown = ", ".join(f"`{name}`" for name in fields if not name.startswith("_"))
    lines = [f"- fields: {shown}"] if shown and cls is not cn.Recipe else []
    for name, member in vars(cls).items():
        call = "()" * inspect.isfunction(member)
        shown = call or isinstance(member, property | cached_property)
        if not name.startswith("_") and shown and member.__doc__:
            lines.append(f"- `.{name}{call}`: {_one_line(member)}")
    return "\n" + "\n".join(lines) + "\n" if lines else ""
