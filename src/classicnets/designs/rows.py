"""The lines of a design file: numbers, indentation, shapes in brackets, comments."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from .expand import MOST_NESTED
from .kinds import Shape

LARGEST = 1_000_000  # maps, neurons, pixels of a side


@dataclass
class Row:
    """A line of the file that says something: its number, indentation, shape in brackets, text."""

    number: int
    indent: int
    shape: Shape | None
    text: str
    block: "list[Row]"


def refuse(line: int, message: str) -> NoReturn:
    """Raises the ValueError of a line."""
    raise ValueError(f"line {line}: {message}")


_COMMENT = re.compile(r"\([^()]*\)")
_NUMBERED = re.compile(r"\s*\d+\.(?=\s)")  # as lecture notes number their lines
_SIZES = re.compile(r"\b\d+(?:x\d+)+\b", re.I)  # 3X3
_DIGITS = re.compile("[0-9]+")
_SPARE_COMMA = re.compile("(?:^|[,:>]) ?,|, ?(?:$|:|->)")
_SIGNS = str.maketrans({"\N{MULTIPLICATION SIGN}": "x", "\N{RIGHTWARDS ARROW}": "->"})


def quoted(text: str) -> str:
    """A piece of the file in quotation marks, not more of it than a message can hold.

    >>> quoted("relu"), len(quoted("x" * 10_000))
    ("'relu'", 65)
    """
    return repr(text if len(text) <= 60 else f"{text[:60]}...")


def rows_of(text: str) -> Iterator[Row]:
    """The lines of a text that are not empty, without their comments and numbering."""
    for number, line in enumerate(text.splitlines(), start=1):
        words = _COMMENT.sub(" ", line.partition("#")[0]).translate(_SIGNS)
        words = _SIZES.sub(lambda found: found[0].lower(), words)
        numbered = _NUMBERED.match(words)
        words = words[numbered.end() :] if numbered else words
        if not words.strip():
            continue
        indent = len(words) - len(words.lstrip())
        if "\t" in words[:indent]:
            refuse(number, "is indented by a tab; use spaces")
        shape, words = _shape(number, words.strip())
        words = " ".join(words.split())
        if spare := _SPARE_COMMA.search(words):
            before = re.split("[,:>]", words[: spare.start()])[-1].strip()
            refuse(number, f"a comma too many{f' after {quoted(before)}' * bool(before)}")
        yield Row(number, 0 if numbered else indent, shape, words, [])


def _shape(number: int, text: str) -> tuple[Shape | None, str]:
    """The shape in brackets before a line, written [height x width x maps], and the rest."""
    if not text.startswith("["):
        return None, text
    inside, bracket, rest = text[1:].partition("]")
    sizes = [part.strip() for part in inside.split("x")]
    if not bracket or len(sizes) not in (1, 3) or not all(map(_DIGITS.fullmatch, sizes)):
        cut = quoted(inside)[1:-1]
        refuse(number, f"a shape is written [height x width x maps] or [values], not [{cut}]")
    if any(len(s) > 7 or not 0 < int(s) <= LARGEST for s in sizes):
        refuse(number, f"sizes are 1 to {LARGEST:,}, not [{inside}]")
    values = [int(s) for s in sizes]
    return (values[-1], *values[:-1]), rest


def nest(rows: list[Row]) -> list[Row]:
    """The rows in the first column, each with the rows that are indented below it."""
    top: list[Row] = []
    open_rows: list[Row] = []
    for row in rows:
        while open_rows and row.indent <= open_rows[-1].indent:
            open_rows.pop()
        siblings = open_rows[-1].block if open_rows else top
        if siblings and siblings[0].indent != row.indent:
            want, have = siblings[0].indent, row.indent
            refuse(row.number, f"is indented by {have} spaces; the lines above it by {want}")
        if not open_rows and row.indent:
            refuse(row.number, "the first line is indented; begin it in the first column")
        siblings.append(row)
        open_rows.append(row)
        if len(open_rows) > MOST_NESTED:
            refuse(row.number, f"blocks are nested more than {MOST_NESTED} deep")
    return top
