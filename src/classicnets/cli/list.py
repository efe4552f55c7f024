"""The verb `list`. It reads a table made from the catalogue, since the networks import torch."""

from difflib import get_close_matches
from json import dumps
from typing import Annotated

import typer

from classicnets.api.listed import listed
from classicnets.support.names import matching
from classicnets.support.units import format_count

from .options import Json, terminal_width
from .terminal import console, print_json

FAMILIES = ("lenet", "alexnet", "zfnet", "vgg", "googlenet", "resnet", "plain")  # to search for


def list_(
    pattern: Annotated[
        str,
        typer.Argument(
            metavar="PATTERN", help="name, part of a name, or shell pattern, such as vgg"
        ),
    ] = "*",
    json: Json = False,
) -> None:
    """List the networks with their size, cost and published error.

    \b
    Examples:
      classicnets list
      classicnets list vgg
      classicnets list resnet --json
    """
    from rich.table import Table

    rows = listed()
    names = {name: row["name"] for row in rows for name in (row["name"], *row["aliases"].split())}
    meant = matching(pattern, names)
    found = [row for row in rows if row["name"] in meant]
    if not found:
        near = get_close_matches(pattern, [*names, *FAMILIES], n=2, cutoff=0.75)
        hint = f"did you mean {' or '.join(near)}?" if near else "`classicnets list` shows all"
        raise ValueError(f"no network matches {pattern!r}; {hint}")
    if json:
        print_json(dumps([_object(row) for row in found], indent=2))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("name", min_width=15)
    table.add_column("year", min_width=4)
    width = max(75, terminal_width())  # a terminal wraps longer lines, and nothing is cut
    rest = 15 + 4 + 11 + 13 + 16 + 5 * 2
    table.add_column("paper", no_wrap=True, max_width=width - rest)
    for heading, min_width in (("parameters", 11), ("multiply-adds", 13), ("error, %", 16)):
        table.add_column(heading, justify="right", min_width=min_width)
    for row in found:
        table.add_row(
            row["name"],
            row["year"],
            row["paper"],
            f"{int(row['parameters']):,}",
            format_count(int(row["multiply-adds"])),
            row["error"] or "-",
        )
    console(width=width).print(table)
    aliases = ", ".join(f"{a} = {row['name']}" for row in rows for a in row["aliases"].split())
    print(
        "\nParameters and multiply-adds of one image in evaluation. The error is the paper's, "
        "top-1 / top-5,\nof one network by the paper's own protocol, on ILSVRC-2012 validation "
        "unless another data set is named.\n"
        f"Also: {aliases}."
    )


def _object(row: dict[str, str]) -> dict[str, object]:
    """A row for programs: names as in `show --json`, numbers as numbers."""
    return {
        "name": row["name"],
        "year": int(row["year"]),
        "paper": row["paper"],
        "params": int(row["parameters"]),
        "macs": int(row["multiply-adds"]),
        "error": row["error"] or None,
        "aliases": row["aliases"].split(),
    }
