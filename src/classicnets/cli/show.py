"""The verb `show`."""

import re
import shutil
import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

from .startup import without_compiler

if TYPE_CHECKING:  # or --help would import torch
    from classicnets.catalog import Entry


def show(
    network: Annotated[str, typer.Argument(help="a name, or path/to/file.py:builder")],
    size: Annotated[str, typer.Option("--input", help="channels x height x width, 3x224x224")] = "",
    batch: Annotated[int, typer.Option(help="images per batch")] = 1,
    per: Annotated[str, typer.Option(help="one row per 'layer' or per 'stage'")] = "",
    ops: Annotated[bool, typer.Option("--ops", help="split other operations by kind")] = False,
    json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="print CSV")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="print a Markdown table")] = False,
) -> None:
    """Show a network layer by layer: shapes, parameters, arithmetic, memory, receptive field."""
    import classicnets as cn

    if json + csv + markdown > 1:
        raise ValueError("--json, --csv and --markdown exclude each other; give one")
    if per not in ("", "layer", "stage"):
        raise ValueError(f"--per must be layer or stage, not {per!r}")
    if batch < 1:
        raise ValueError(f"--batch must be at least 1, not {batch}")
    entry = cn.find(network)
    with without_compiler():
        report = cn.show(entry, parse_size(size) if size else None, batch)
    if json:
        print(report.json())
    elif csv:
        print(report.csv(), end="")
    elif markdown:
        print(report.markdown())
    else:
        width = shutil.get_terminal_size((160 if ops else 100, 24)).columns
        fold = {"": None, "layer": False, "stage": True}[per]
        print(_heading(entry, width), end="")
        print(report.text(fold, width, ops))
        if entry.paper:
            print(_wrap(f"Where the paper leaves a choice: {entry.paper.choices}", width))


def _heading(entry: "Entry", width: int) -> str:
    if entry.paper is None:
        return ""
    paper = entry.paper
    name = entry.name
    if entry.published:  # the unit goes before the brackets: 0.95 % (MNIST)
        name += re.sub(r"(?= \(|$)", " %", f", published error {entry.published}", count=1)
    citation = f"{paper.authors}: {paper.title}, {paper.where}, {paper.year}"
    return f"{name}\n{_wrap(citation, width)}\n\n"


def _wrap(text: str, width: int) -> str:
    return textwrap.fill(text, width, break_on_hyphens=False)


def parse_size(text: str) -> tuple[int, int, int]:
    """The (c, h, w) of an --input such as 3x224x224."""
    parts = text.split("x")
    if len(parts) != 3 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ValueError(f"--input is channels x height x width such as 3x224x224, not {text!r}")
    c, h, w = map(int, parts)
    return c, h, w
