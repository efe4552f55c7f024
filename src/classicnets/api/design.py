"""Networks as text: a starting point for your own design, and its shapes filled in."""

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import torch
from torch import nn

from classicnets import catalog
from classicnets.catalog import Entry
from classicnets.designs.build import shapes, written
from classicnets.designs.describe import describe
from classicnets.designs.lint import warnings
from classicnets.designs.reader import read, read_text
from classicnets.designs.scale import scaled
from classicnets.designs.tree import Design, layers
from classicnets.designs.writer import write
from classicnets.support.arguments import answering
from classicnets.support.files import write_atomic

Network = str | Entry | nn.Module | Callable[..., nn.Module]


@answering()
def design(
    network: Network,
    width: int | float | str | Fraction = 1,
    size: tuple[int, int, int] | None = None,
    classes: int | None = None,
) -> str:
    """A network as the text of a design file, from which `find("file.net")` builds it again.

    `network` is a name of the catalogue, a design file, `path/to/file.py:builder`, a builder, or a
    module, which needs `size`, the (c, h, w) of one image. `width`, such as 1/4, is what is left of
    the maps and neurons; `size` and `classes` replace those of the network. docs/designs.md gives
    the rules; the comment at the top says what they changed.
    Raises ValueError for a module that a design cannot hold, a width or size that does not fit, and
    an unknown name.

    >>> print(design("lenet5", classes=2).splitlines()[-1])
    [2]         output: 2 prototypes
    """
    found = describe_network(network, size)
    fraction = _fraction(width)
    if fraction == 1 and (size or found.input) == found.input and classes is None:
        return write(found)
    if classes is not None and classes < 1:
        raise ValueError(f"classes must be at least 1, not {classes}")
    changed, notes = scaled(found, fraction, size, classes)
    comment = "\n".join([found.comment, *notes]).strip()
    return write(Design(changed.input, changed.lines, changed.parts, changed.every, comment))


def describe_network(network: Network, size: tuple[int, int, int] | None = None) -> Design:
    """The design of a network at the size it was published for; of a module, at `size`."""
    if isinstance(network, nn.Module):
        if size is None:
            raise ValueError("a module needs the size of one image, such as size=(3, 224, 224)")
        return describe(network, size)
    entry = network if isinstance(network, Entry) else catalog.find(network)
    if entry.design:
        return read(entry.design)
    try:
        with torch.device("meta"):
            built = entry.build(channels=entry.input[0])
    except ValueError:  # a builder may compute with values, which meta tensors lack
        built = entry.build(channels=entry.input[0])
    comment = f"{entry.name}, {entry.paper.title}, {entry.paper.where}" if entry.paper else ""
    return describe(built, entry.input if entry.paper else (size or entry.input), comment)


def design_warnings(network: str | Entry) -> list[str]:
    """What is probably not meant in a design file; nothing for other networks."""
    entry = network if isinstance(network, Entry) else catalog.find(network)
    return warnings(read(entry.design)) if entry.design else []


def fill(path: str | Path) -> int:
    """Writes the shapes into the lines of a design file; the rest of its text stays as it is.

    Returns how many lines changed. A shape that is written and wrong is corrected; within a part,
    which may be used for several shapes, none is added. Raises
    ValueError for a file that is not a design, or whose layers do not fit together.
    """
    text = read_text(Path(path))
    lines = text.splitlines()
    design = read(text)
    found = shapes(design, claimed=False)
    for number in _in_parts(design):  # which may be used for other shapes tomorrow
        if not lines[number - 1].lstrip().startswith("["):
            found.pop(number, None)
    found |= {n: design.input for n, line in enumerate(lines, start=1) if _INPUT.match(line)}
    heads = {number: _head(lines[number - 1], shape) for number, shape in found.items()}
    width = max((len(bracket) for _, bracket, _ in heads.values()), default=0)
    before = list(lines)
    for number, (indent, bracket, rest) in heads.items():
        lines[number - 1] = f"{indent}{bracket.ljust(width)} {rest}"
    if lines != before:
        write_atomic(Path(path), ("\n".join(lines) + "\n").encode())
    return sum(a != b for a, b in zip(before, lines, strict=True))


_INPUT = re.compile(r"\s*(?:\d+\.\s+)?\[[^\]]*\]\s*input\b", re.I)


def _in_parts(design: Design) -> list[int]:
    return [item.line for part in design.parts for item in layers(part.body)]


def _head(line: str, shape: tuple[int, ...]) -> tuple[str, str, str]:
    """The indentation and numbering of a line, its shape in brackets, and what it says."""
    found = re.match(r"(\s*(?:\d+\.\s+)?)(?:\[[^\]]*\]\s*)?(.*)", line)
    assert found
    return found[1], written(shape), found[2]


def _fraction(width: int | float | str | Fraction) -> Fraction:
    try:
        return Fraction(str(width).strip())
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"width is a number such as 1/4 or 0.5, not {str(width)!r}") from None
