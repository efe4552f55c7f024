"""What messages are made of: one-line reasons, nearest names, commands, options, ranges."""

import math
import re
import shlex
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

PACKAGE = str(Path(__file__).parents[1])
_typed = False  # whether options are typed on the command line


def one_line(error: BaseException) -> str:
    """An error in one line: `KeyError: 'fc'`."""
    words = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}{': ' * bool(words)}{words}"


def plain_reason(error: BaseException) -> str:
    """The first line of the message, without the exception's name; an OSError without its path."""
    message = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(message).partition("\n")[0]


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out, of the computer or of a GPU."""
    if isinstance(error, RuntimeError):  # the last two are oneDNN's, of a convolution
        words = "(of|allocate) memory|could not create a (primitive$|memory)"
        return bool(re.search(words, str(error)))
    return isinstance(error, MemoryError)


def suggest(name: str, names: Iterable[str]) -> str:
    """What to say after an unknown name: the nearest of these names, or all of them.

    >>> suggest("vgg_f", ["vgg_d", "vgg_e", "lenet5"]), suggest("x", ["pca", "tsne"])
    ('did you mean vgg_e or vgg_d?', 'choose from pca, tsne')
    """
    names = list(names)
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(names)}"


def first_few(names: Sequence[str], count: int = 3) -> str:
    """The first names, and how many more there are.

    >>> first_few(["a", "b"]), first_few(["a", "b", "c", "d", "e"])
    ('a, b', 'a, b, c and 2 more')
    """
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more


def shell(*words: object) -> str:
    """The words of a command, quoted where a shell would take them apart.

    >>> shell("predict", "runs/a", "my photo.jpg")
    "predict runs/a 'my photo.jpg'"
    """
    return shlex.join(map(str, words))


@contextmanager
def on_command_line() -> Iterator[None]:
    """Within it messages name options as one types them, not as Python has them."""
    global _typed  # not a context variable, which threads would not have
    before, _typed = _typed, True
    try:
        yield
    finally:
        _typed = before


def is_typed() -> bool:
    """Whether messages name options as one types them."""
    return _typed


def option(name: str, value: object = True) -> str:
    """An option as one writes it where one is: `--exist-ok` on the command line, else in Python.

    >>> option("exist_ok"), option("data", "photos")
    ('exist_ok=True', "data='photos'")
    >>> with on_command_line():
    ...     option("graph", False), option("data", "my photos")
    ('--no-graph', "--data 'my photos'")
    """
    if not _typed:
        return f"{name}={value!r}"
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{'no-' * (not value)}{flag}"
    return shell(f"--{flag}", value)


def setting(field: str, value: object, flag: bool = False) -> str:
    """A changed field of a recipe as one writes it; on the command line some have a `flag`.

    >>> setting("batch", 8)
    "overrides={'batch': 8}"
    """
    if not _typed:
        return f"overrides={{{field!r}: {value!r}}}"
    return option(field, value) if flag else shell("--set", f"{field}={value}")


def call(verb: str, *arguments: object, **options: object) -> str:
    """A verb as one calls it where one is.

    >>> call("train", "resnet20", data="photos")
    "train('resnet20', data='photos')"
    """
    given = [option(name, value) for name, value in options.items()]
    if not _typed:
        return f"{verb}({', '.join([*map(repr, arguments), *given])})"
    return " ".join([shell("classicnets", verb, *arguments), *given])


class SkippedFiles(UserWarning):
    """Files that cannot be read were skipped."""


class TrainingAdvice(UserWarning):
    """A training is probably not what was meant."""


def warn_user(message: str, category: type[Warning]) -> None:
    """Warns of the user's own line, the first one outside this package."""
    frame, level = sys._getframe(), 1
    while frame.f_back and frame.f_code.co_filename.startswith(PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, level)


def warn_skipped(reasons: Sequence[str]) -> None:
    """Warns once of all files that were skipped: their number, and why the first ones were."""
    if reasons:
        noun = "file" if len(reasons) == 1 else "files"
        warn_user(f"{len(reasons)} {noun} skipped: {first_few(reasons)}", SkippedFiles)


def check_range(part: Any, **ranges: tuple[float | int, float | int]) -> None:
    """Raises a ValueError for a field outside its closed range.

    >>> from types import SimpleNamespace
    >>> check_range(SimpleNamespace(decay=1.5), decay=(0, 1))
    Traceback (most recent call last):
    ValueError: decay of SimpleNamespace must be 0 to 1, not 1.5
    """
    for name, (low, high) in ranges.items():
        value = getattr(part, name)
        if not low <= value <= high:  # NaN fails as well
            legal = f"at least {low:g}" if high == math.inf else f"{low:g} to {high:g}"
            raise ValueError(f"{name} of {type(part).__name__} must be {legal}, not {value}")


@contextmanager
def calling(path: object, name: str) -> Iterator[None]:
    """Within it a ValueError calls a file by this name in place of its path."""
    try:
        yield
    except ValueError as error:
        raise ValueError(str(error).replace(str(path), name)) from None
