"""What is printed: names from outside cannot send control characters to the terminal.

`main` puts a `Visible` before the output streams, so `print` is safe everywhere; tables and bars
are drawn on a `console`. JSON and CSV keep the names as they are, by their own escaping.
"""

import io
import json
import os
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from classicnets.support.names import CONTROLS, decoded, encoded, short, visible

ESCAPES = re.compile(r"(\\udc[89a-f][0-9a-f])+")  # bytes of a path, in the repr of its name

if TYPE_CHECKING:
    from rich.console import Console


class Visible:
    """A text stream that shows control characters as escapes, such as \\x1b, and sends none."""

    def __init__(self, stream: Any):
        self.rich_proxied_file = stream  # a rich console writes there, and escapes by itself

    def write(self, text: str) -> int:
        return self.rich_proxied_file.write(visible(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


def make_visible() -> None:
    """Puts a `Visible` before stdout and stderr. What an encoding lacks is shown as an escape."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed
            stream = open(os.devnull, "w")  # noqa: PTH123, SIM115
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
        if not isinstance(stream, Visible):
            setattr(sys, name, Visible(stream))


def flush() -> None:
    """Writes out what is buffered; what cannot be is dropped after the OSError that says so."""
    try:
        sys.stdout.flush()
    except OSError:
        discard_output()
        raise


def discard_output() -> None:
    """Sends what is still buffered nowhere, or Python would fail on it again as it ends."""
    with suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())


def console(**options: Any) -> "Console":
    """A rich console that shows control characters, and takes no emoji for a name."""
    from rich.console import Console
    from rich.segment import Segment

    class Shown(Console):
        def render(self, *args: Any, **more: Any) -> Iterable[Segment]:
            for text, style, control in super().render(*args, **more):
                yield Segment(text if control else visible(text), style, control)

    return Shown(emoji=False, **options)


def cell(name: str) -> str:
    """A name from outside as one line of a table, with nothing in it taken for markup."""
    from rich.markup import escape

    return escape(one_line(name))


def one_line(text: object) -> str:
    """The text on one line, with control characters shown."""
    return visible(str(text).strip(), "\n")


def sentence(text: object) -> str:
    """A message on one line; of a path or name of thousands of letters the middle is left out."""
    text = ESCAPES.sub(lambda found: found[0].encode().decode("unicode_escape"), str(text))
    return re.sub(r"\S{401,}", lambda found: short(found[0], 400), one_line(text))


def print_json(text: str) -> None:
    """Prints JSON: in ASCII, which is exact in every locale, where the output cannot show it."""
    indent = 2 if "\n" in text else None
    shown = decoded(json.dumps(json.loads(text), indent=indent, ensure_ascii=False))
    shown = CONTROLS.sub(lambda match: json.dumps(match[0])[1:-1], shown)  # as JSON escapes them
    try:
        shown.encode(sys.stdout.encoding or "ascii")
    except UnicodeError:
        shown = json.dumps(json.loads(shown), indent=indent)
    print(shown)


def print_csv(text: str) -> None:
    """Prints CSV as it is, in UTF-8 in every locale; a terminal is shown control characters."""
    stream = sys.stdout
    if stream.isatty():
        print(text, end="")
        return
    stream.flush()
    raw = getattr(stream, "rich_proxied_file", stream)
    if (buffer := getattr(raw, "buffer", None)) is not None:
        buffer.write(encoded(text, "surrogateescape"))
    else:
        raw.write(text)
