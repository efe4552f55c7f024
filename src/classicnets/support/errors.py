"""What error messages are made of: one-line reasons, nearest names, commands, ranges."""

import math
import shlex
import warnings
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any


def one_line(error: BaseException) -> str:
    """An error in one line: `KeyError: 'fc'`."""
    words = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}{': ' * bool(words)}{words}"


def plain_reason(error: BaseException) -> str:
    """The first line of the message, without the exception's name; an OSError without its path."""
    message = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(message).partition("\n")[0]


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


class SkippedFiles(UserWarning):
    """Files that cannot be read were skipped."""


def warn_skipped(reasons: Sequence[str]) -> None:
    """Warns once of all files that were skipped: their number, and why the first ones were."""
    if reasons:
        noun = "file" if len(reasons) == 1 else "files"
        warnings.warn(f"{len(reasons)} {noun} skipped: {first_few(reasons)}", SkippedFiles, 3)


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
