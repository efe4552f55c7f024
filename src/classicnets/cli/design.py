"""The verbs design and diff: networks as text, and two of them side by side."""

from pathlib import Path
from typing import Annotated

import typer

from .commands import command
from .options import DATA, OUTPUT, Input, Json, Network, ReplaceFile, parsed_size
from .startup import without_compiler
from .terminal import print_json


def design(
    network: Network,
    width: Annotated[
        str,
        typer.Option(
            metavar="FRACTION",
            rich_help_panel=DATA,
            help="fraction of the maps and neurons, such as --width 1/4",
        ),
    ] = "1",
    size: Input = "",
    classes: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            rich_help_panel=DATA,
            help="number of classes, such as --classes 10",
            show_default="the network's",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.net",
            rich_help_panel=OUTPUT,
            help="write a new file instead of printing, such as --out my.net",
        ),
    ] = None,
    exist_ok: ReplaceFile = False,
) -> None:
    """Write a network as text, a line per layer: the start of a design of your own.

    Every verb takes the file where it takes the name of a network. docs/designs.md describes the
    notation.

    \b
    Examples:
      classicnets design alexnet --out my.net
      classicnets design vgg_d --width 1/4 --input 3x64x64 --classes 10
    """
    import classicnets as cn
    from classicnets.support.files import require_place, write_atomic

    if out is not None:
        require_place(out, ".net", "a design's file", exist_ok)
    with without_compiler():
        text = cn.design(network, width, parsed_size(size, network), classes)
    if out is None:
        print(text, end="")
    else:
        write_atomic(out, text.encode())
        print(f"{out}: {len(text.splitlines())} lines; next: {command('show', out)}")


def diff(
    before: Annotated[
        str, typer.Argument(metavar="A", help="name, design file or path/to/file.py:builder")
    ],
    after: Annotated[str, typer.Argument(metavar="B", help="the same of another network")],
    json: Json = False,
) -> None:
    """Show the layers in which two networks differ, and what each costs.

    \b
    Examples:
      classicnets diff alexnet alexnet_merged
      classicnets diff vgg_d my.net --json
    """
    import classicnets as cn

    with without_compiler():
        difference = cn.diff(before, after)
    if json:
        print_json(difference.json())
    else:
        print(difference.text())
