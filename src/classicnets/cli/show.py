"""The verb `show`."""

import re
import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

from .options import (
    DATA,
    OUTPUT,
    Csv,
    Input,
    Json,
    Network,
    parsed_size,
    require_at_most_one,
    terminal_width,
)
from .startup import without_compiler
from .terminal import print_csv, print_json

if TYPE_CHECKING:  # or --help would import torch
    from classicnets.catalog import Entry


def show(
    network: Network,
    size: Input = "",
    batch: Annotated[
        int, typer.Option(metavar="N", rich_help_panel=DATA, help="images per batch")
    ] = 1,
    per: Annotated[
        str,
        typer.Option(
            metavar="layer|stage",
            rich_help_panel=OUTPUT,
            help="one row per layer or per stage, such as --per stage",
            show_default="stages from 60 layers on",
        ),
    ] = "",
    ops: Annotated[
        bool,
        typer.Option(
            "--ops",
            rich_help_panel=OUTPUT,
            help="five columns for other operations: compare, add, multiply, divide, exp",
        ),
    ] = False,
    json: Json = False,
    csv: Csv = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", rich_help_panel=OUTPUT, help="print a Markdown table")
    ] = False,
) -> None:
    """Show a network layer by layer, without allocating any weights.

    Shapes, parameters, multiply-adds, memory and receptive field of every layer.

    \b
    Examples:
      classicnets show lenet5
      classicnets show resnet50 --input 3x256x256 --batch 64 --per layer
      classicnets show path/to/file.py:builder --input 3x224x224 --json
    """
    import classicnets as cn

    require_at_most_one(json=json, csv=csv, markdown=markdown)
    if per not in ("", "layer", "stage"):
        raise ValueError(f"--per must be layer or stage, not {per!r}")
    if batch < 1:
        raise ValueError(f"--batch must be at least 1, not {batch}")
    entry = cn.find(network)
    with without_compiler():
        report = cn.show(entry, parsed_size(size), batch)
    if json:
        print_json(report.json())
    elif csv:
        print_csv(report.csv())
    elif markdown:
        print(report.markdown())
    else:
        width = terminal_width(160 if ops else 100)
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
    year = "" if re.search(r"\b[12]\d{3}$", paper.where) else f", {paper.year}"
    citation = f"{paper.authors}: {paper.title}, {paper.where}{year}"
    return f"{name}\n{_wrap(citation, width)}\n\n"


def _wrap(text: str, width: int) -> str:
    return textwrap.fill(text, width, break_on_hyphens=False)
