"""Arguments of a call, which each package spells in its own way: of builders and of verbs."""

import inspect
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from .errors import suggest
from .other_tools import THEIRS

P = ParamSpec("P")
R = TypeVar("R")

# what several tools take as an argument of training -> what it sets of a recipe, first as an
# override names it, and what else may not be overridden then
FIELDS = {
    "epochs": ("epochs", "steps"),
    "lr": ("lr",),
    "batch_size": ("batch",),
    "img_size": ("size", "crop", "side"),
    "weight_decay": ("optimizer.weight_decay",),
    "optimizer": ("optimizer",),
    "augment": ("augment",),
    "patience": ("patience",),
    "class_weights": ("class_weights",),
    "sampler": ("sampler",),
    "freeze": ("freeze",),
}

SIZES = ("classes", "channels")
SPELLINGS = {"num_classes": "classes", "in_chans": "channels", "in_channels": "channels"}
PRETRAINED = ("pretrained", "weights", "checkpoint_path")


def as_ours(
    name: str, args: Sequence[Any], options: Mapping[str, Any], takes: Sequence[str] = SIZES
) -> dict[str, Any]:
    """The arguments of a call of this package's builder `name`, in our spelling.

    Raises ValueError for an argument that it does not take, one given twice, and fewer than one
    class or channel.

    >>> as_ours("resnet50", [], {"num_classes": 10})
    {'classes': 10}
    """
    legal = f"{name} takes {', '.join(takes[:-1])} and {takes[-1]}"
    if len(args) > len(takes):
        raise ValueError(f"{legal}, not {len(args)} values")
    found: dict[str, Any] = {}
    for word, value in (*zip(takes, args, strict=False), *options.items()):
        what = SPELLINGS.get(word, word)
        if what not in takes:
            raise ValueError(f"{legal}, not {word}{_hint(word)}")
        if what in found:
            raise ValueError(f"{name} is given {what} twice: {found[what]!r} and {value!r}")
        if what in SIZES and (type(value) is not int or value < 1):
            raise ValueError(f"{what} must be at least 1, not {value!r}")
        found[what] = value
    return found


def as_theirs(sizes: Mapping[str, int], takes: Collection[str]) -> dict[str, int]:
    """Classes and channels as a third-party builder spells them, without what it does not take.

    >>> as_theirs({"classes": 10, "channels": 3}, ["num_classes", "width"])
    {'num_classes': 10}
    """
    found = {}
    for what, number in sizes.items():
        words = [what, *(word for word, ours in SPELLINGS.items() if ours == what)]
        if word := next((word for word in words if word in takes), ""):
            found[word] = number
    return found


def _hint(word: str) -> str:
    if word not in PRETRAINED:
        return ""
    return (
        '; published weights are loaded by the name of their network, as in load("resnet18"), and '
        'fine-tuned by train("resnet18", "photos", init_from="torchvision")'
    )


def answering(
    several: str = "", fields: Collection[str] = ()
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A function that answers a call which does not fit with a ValueError: what to write instead.

    `several` is the argument that may be a list; `fields` are those that its `overrides` takes.

    >>> answering("runs")(lambda runs: runs)("a", "b")
    Traceback (most recent call last):
    ValueError: <lambda> takes runs; several are a list, as in <lambda>(['a', 'b'])
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @wraps(function)
        def answered(*args: P.args, **options: P.kwargs) -> R:
            try:
                signature.bind(*args, **options)
            except TypeError as error:
                takes = [*signature.parameters]
                reason = _misfit(function.__name__, takes, args, options, several, fields)
                raise ValueError(reason or f"{function.__name__}: {error}") from None
            return function(*args, **options)

        return answered

    return decorate


def _misfit(
    name: str,
    takes: Sequence[str],
    args: Sequence[Any],
    options: Mapping[str, Any],
    several: str,
    fields: Collection[str],
) -> str:
    """Why a call does not fit a function, and what would."""
    unknown = [word for word in options if word not in takes]
    known = {*fields, *takes}
    wanted = dict(_as_argument(word, options[word], known) for word in unknown)
    if unknown and all(word.partition(".")[0] in known for word in wanted):
        write = [f"{word}={wanted.pop(word)!r}" for word in [*wanted] if word in takes]
        write += [f"overrides={wanted!r}"] * bool(wanted)
        return f"{name} takes no {', '.join(unknown)}; write {', '.join(write)}"
    if unknown and "data" in takes and unknown[0] in {*SIZES, *SPELLINGS}:
        return f"{name} takes no {unknown[0]}: classes and channels are those of the data"
    if unknown:
        hint = _hint(unknown[0]) or f"; {suggest(unknown[0], takes)}"
        return f"{name} takes no {unknown[0]}{hint}"
    if len(args) > len(takes) and several:
        together = takes.index(several)
        call = [*map(repr, args[:together]), repr([*args[together:]])]
        call = f"{name}({', '.join(call)})"
        return f"{name} takes {', '.join(takes)}; several are a list, as in {call}"
    return ""


def _as_argument(word: str, value: Any, known: Collection[str]) -> tuple[str, Any]:
    """What another tool's argument and its value are among those `known`; else as they are.

    >>> _as_argument("learning_rate", 0.1, ["lr"]), _as_argument("amp", True, ["precision"])
    (('lr', 0.1), ('precision', 'bf16'))
    """
    option = f"--{word.replace('_', '-')}"
    for ours in (f"{option} {{}}", *THEIRS.get(option, ())):
        name, given = re.findall(r"(?:--set '?)?-*([\w.-]+)[ =]?(.*?)'?$", ours)[0]
        name = name.replace("-", "_")
        name = FIELDS.get(name, (name,))[0]
        if name.partition(".")[0] in known:
            return name, value if given in ("", "{}") else given.format(value)
    return word, value
