"""The verb `show`."""

import re
import textwrap
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import (
    BATCH_SIZE,
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
from .report import warn_of_design
from .startup import without_compiler
from .terminal import one_line, print_csv, print_json

if TYPE_CHECKING:  # or --help would import torch
    from classicnets.catalog import Entry

WATCH_EVERY = 0.3  # seconds


def show(
    network: Network,
    size: Input = "",
    batch: Annotated[
        int,
        typer.Option(
            *BATCH_SIZE, metavar="N", rich_help_panel=DATA, help="images per batch, such as -b 64"
        ),
    ] = 1,
    per: Annotated[
        str,
        typer.Option(
            metavar="layer|stage",
            rich_help_panel=OUTPUT,
            help="one row per layer or per stage, such as --per stage",
            show_default="stages above 60 layers",
        ),
    ] = "",
    fill: Annotated[
        bool,
        typer.Option(
            "--fill",
            rich_help_panel=OUTPUT,
            help="write the shape of each line into the design file, such as show my.net --fill",
        ),
    ] = False,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            rich_help_panel=OUTPUT,
            help="show the design file again whenever it is saved, until Ctrl-C",
        ),
    ] = False,
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
      classicnets show resnet50 --input 3x256x256 --batch-size 64 --per layer
      classicnets show path/to/file.py:builder --input 3x224x224 --json
      classicnets show my.net --watch
    """
    import classicnets as cn

    require_at_most_one(json=json, csv=csv, markdown=markdown)
    if per not in ("", "layer", "stage"):
        raise ValueError(f"--per must be layer or stage, not {per!r}")
    if batch < 1:
        raise ValueError(f"--batch-size must be at least 1, not {batch}")
    if (fill or watch) and not network.endswith(".net"):
        raise ValueError(f"--{'fill' if fill else 'watch'} is for a design file, not {network}")
    if fill:
        with without_compiler():
            print(f"{network}: {_fill(network)} lines changed")

    def draw() -> None:
        with without_compiler():
            entry = cn.find(network)
            report = cn.show(entry, parsed_size(size, entry), batch)
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
            print(_notes(entry, width), end="")
        warn_of_design(entry)

    _redraw_on_save(Path(network), draw) if watch else draw()


def _notes(entry: "Entry", width: int) -> str:
    """What is not the paper's, and where the paper leaves a choice."""
    if entry.paper is None:
        return ""
    later = [f"Not in the paper: {entry.later}.\n"] if entry.later else []
    notes = [*later, f"Where the paper leaves a choice: {entry.paper.choices}"]
    return "".join(f"{_wrap(note, width)}\n" for note in notes)


def _fill(network: str) -> int:
    from classicnets.api.design import fill

    return fill(network)


def _redraw_on_save(path: Path, draw: Callable[[], None]) -> None:
    """Draws again whenever the file changes; a file with an error is shown as its message."""
    import time

    seen: object = None
    while True:
        with suppress(OSError):  # an editor may write a new file in its place
            status = path.stat()
            if (now := (status.st_mtime_ns, status.st_ino)) != seen:
                if seen is not None:
                    print("\n" + "\N{BOX DRAWINGS LIGHT HORIZONTAL}" * 80)
                seen = now
                try:
                    draw()
                except ValueError as error:
                    print(f"classicnets: {one_line(error)}", flush=True)
        if seen is None:
            raise ValueError(f"no such file: {path}")
        time.sleep(WATCH_EVERY)


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
