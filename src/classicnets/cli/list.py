"""The verb `list`."""

from typing import Annotated

import typer

from .options import terminal_width
from .terminal import console


def list_(
    pattern: Annotated[
        str,
        typer.Argument(
            metavar="PATTERN", help="name, part of a name, or shell pattern, such as vgg"
        ),
    ] = "*",
) -> None:
    """List the networks with their size, cost and published error.

    \b
    Examples:
      classicnets list
      classicnets list vgg
    """
    from rich.table import Table

    from classicnets import catalog

    entries = [catalog.CATALOG[name] for name in catalog.names(pattern)]
    if not entries:
        raise ValueError(f"no network matches {pattern!r}; `classicnets list` shows all")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("name", min_width=15)
    table.add_column("year", min_width=4)
    width = terminal_width()
    rest = 15 + 4 + 11 + 13 + 15 + 5 * 2
    table.add_column("paper", no_wrap=True, max_width=max(6, width - rest))
    for heading, min_width in (("parameters", 11), ("multiply-adds", 13), ("error, %", 15)):
        table.add_column(heading, justify="right", min_width=min_width)
    for entry in entries:
        assert entry.paper is not None
        table.add_row(
            entry.name,
            str(entry.paper.year),
            f"{entry.paper.authors.partition(',')[0]} et al., {entry.paper.where}",
            f"{entry.params:,}",
            f"{entry.macs / 1e9:.3f} G" if entry.macs > 1e9 else f"{entry.macs / 1e6:.2f} M",
            entry.published or "-",
        )
    console(width=width).print(table)
    aliases = ", ".join(f"{a} = {name}" for a, name in catalog.ALIASES.items())
    print(
        "\nParameters and multiply-adds of one image in evaluation. The error is the paper's, "
        "top-1 / top-5,\nof one network by the paper's own protocol, on ILSVRC-2012 validation "
        "unless another data set is named.\n"
        f"Also: {aliases}."
    )
