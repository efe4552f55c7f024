"""A design while it is written: errors at their lines, figures beside the lines, moves, saving."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from classicnets.designs.build import shapes, written
from classicnets.designs.lint import warnings
from classicnets.designs.reader import read
from classicnets.measure import Report
from classicnets.support.errors import calling
from classicnets.support.files import write_atomic

from .diff import Change, line_costs
from .suggest import Suggestion, suggest

DRAFT = "the design"


@dataclass(frozen=True)
class Draft:
    """What a text that is a design costs: `lines` are by their number; see `Change`."""

    report: Report
    lines: dict[int, Change]
    warnings: tuple[str, ...]


def shapes_of(text: str) -> dict[int, str]:
    """The number of each line -> the shape it gives, as designs write it; takes milliseconds.

    Raises a ValueError, with the number of the line, for a text that is not a design.

    >>> shapes_of("[4x4x3] input\\n[2] fc: 2 neurons")
    {2: '[2]'}
    """
    return {number: written(shape) for number, shape in shapes(read(text)).items()}


def error_line(error: Exception) -> int:
    """The number of the line that an error names; 0 where it names none.

    >>> error_line(ValueError("line 3: 'conv2' has no option 'group'"))
    3
    """
    found = re.search(r"\bline (\d+)\b", str(error))
    return int(found[1]) if found else 0


def draft(text: str, name: str) -> Draft:
    """A text with its costs. Raises a ValueError as `shapes_of` does."""
    found = read(text)
    shapes(found)
    return Draft(*line_costs(found, text, name), tuple(warnings(found)))


def moves_of(text: str) -> tuple[Suggestion, ...]:
    """The papers' moves that apply to a text, the least parameters first."""
    with as_file(text) as path:
        return tuple(map(_named, suggest(path).moves))


@contextmanager
def as_file(text: str) -> Iterator[str]:
    """The path of a file with a text, for what reads designs by their path. No error names it."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "draft.net"
        path.write_text(text, encoding="utf-8")
        with calling(path, DRAFT):
            yield str(path)


def _named(move: Suggestion) -> Suggestion:
    """A move whose difference does not name the file that the text was written to."""
    before = replace(move.difference.before, name="now")
    return replace(move, difference=replace(move.difference, before=before))


def save_draft(text: str, path: Path) -> None:
    """Writes a design to a file. Raises a ValueError for a text that is not one."""
    shapes(read(text))
    path.parent.mkdir(exist_ok=True)
    write_atomic(path, text.encode())
