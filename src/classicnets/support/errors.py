"""What error messages are made of: one-line reasons, nearest names, ranges."""

import math
import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

# control characters but newline and tab, what changes the direction or the line of text, invisible
# tags, and halves of characters, which stand for bytes of a file name
CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
    "\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
)


def visible(text: str, more: str = "") -> str:
    r"""The text with its control characters, and those in `more`, as escapes.

    >>> print(visible("\x1b[31mred\r\n"), visible("a\nb", "\n"))
    \x1b[31mred\r
     a\nb
    """
    for one in more:
        text = text.replace(one, ascii(one)[1:-1])
    return CONTROLS.sub(lambda match: ascii(match[0])[1:-1], text)


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
