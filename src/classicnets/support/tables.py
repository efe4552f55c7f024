"""Tables and numbers as text, tables and pages as HTML, and numbers that JSON can hold."""

import math
from collections.abc import Collection, Sequence
from html import escape
from unicodedata import combining, east_asian_width

from .names import visible

STYLE = ' style="padding:2px 8px;text-align:{}"'


def align(rows: Sequence[Sequence[str]], left: Collection[str] = ()) -> list[str]:
    """Lines of a table whose first row is its headings; columns in `left` are left-aligned."""
    widths = [max(map(columns, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            padded(cell, w) if name in left else " " * (w - columns(cell)) + cell
            for name, cell, w in zip(rows[0], row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def columns(text: str) -> int:
    """How many columns of a terminal a text takes.

    >>> columns("cat"), columns("猫"), columns("e\u0301")
    (3, 2, 1)
    """
    return sum(1 + (east_asian_width(c) in "WF") - bool(combining(c)) for c in text)


def padded(text: str, width: int) -> str:
    """A text with spaces up to so many columns."""
    return text + " " * (width - columns(text))


def html_table(rows: Sequence[Sequence[str]], left: Collection[str] = ()) -> str:
    """The same table in HTML; whatever is in the cells is text.

    >>> "<td>a&lt;b</td>" in html_table([["name"], ["a<b"]]).replace(STYLE.format("right"), "")
    True
    """
    sides = ["left" if name in left else "right" for name in rows[0]]

    def line(tag: str, row: Sequence[str]) -> str:
        cells = zip(sides, row, strict=True)
        inside = (f"<{tag}{STYLE.format(s)}>{html_text(c)}</{tag}>" for s, c in cells)
        return f"<tr>{''.join(inside)}</tr>"

    return f"<table>{line('th', rows[0])}{''.join(line('td', row) for row in rows[1:])}</table>"


def html_text(text: str, tag: str = "") -> str:
    """A text as HTML, in an element of this name."""
    safe = escape(visible(text))
    return f"<{tag}>{safe}</{tag}>" if tag else safe


def html_lines(text: str) -> str:
    """A text of several lines as HTML, in a fixed pitch."""
    lines = "\n".join(map(html_text, text.split("\n")))
    return f"<pre>{lines}</pre>"


def format_bytes(n: int) -> str:
    """Bytes in a suitable unit.

    >>> format_bytes(3 * 2**29), format_bytes(40)
    ('1.50 GiB', '40 B')
    """
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if n >= size:
            return f"{n / size:.2f} {unit}"
    return f"{n} B"


def html_page(title: str, style: str, body: str) -> str:
    """An HTML document of its own, whose title is text."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{html_text(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        f"{body}\n</body>\n</html>\n"
    )


def finite(value: object) -> object:
    """The same for JSON, which has no infinite numbers: None in their place, at any depth.

    >>> finite({"seconds": [1.5, float("inf")]})
    {'seconds': [1.5, None]}
    """
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
