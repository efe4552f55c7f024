"""The verbs that read networks: list and show."""

import re
import shutil
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # or --help would wait for torch
    from classicnets.catalog import Entry


def list_(
    pattern: Annotated[str, typer.Argument(help="a shell pattern, such as 'vgg*'")] = "*",
) -> None:
    """What there is: year, paper, parameters, multiply-adds, published error."""
    from rich.console import Console
    from rich.table import Table

    from classicnets import catalog

    found = [catalog.CATALOG[name] for name in catalog.names(pattern)]
    if not found:
        raise ValueError(f"no network matches {pattern!r}; `classicnets list` has all")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("name", min_width=15)
    table.add_column("year", min_width=4)
    width = shutil.get_terminal_size((120, 24)).columns  # of what is no terminal, 120
    rest = 15 + 4 + 11 + 13 + 15 + 5 * 2
    table.add_column("paper", no_wrap=True, max_width=max(6, width - rest))
    for heading, wide in (("parameters", 11), ("multiply-adds", 13), ("error, %", 15)):
        table.add_column(heading, justify="right", min_width=wide)
    for entry in found:
        assert entry.paper is not None
        table.add_row(
            entry.name,
            str(entry.paper.year),
            f"{entry.paper.authors.partition(',')[0]} et al., {entry.paper.where}",
            f"{entry.params:,}",
            f"{entry.macs / 1e9:.3f} G" if entry.macs > 1e9 else f"{entry.macs / 1e6:.2f} M",
            entry.published or "-",
        )
    Console(width=width).print(table)
    aliases = ", ".join(f"{a} = {name}" for a, name in catalog.ALIASES.items())
    print(
        "\nParameters and multiply-adds of one image as tested. The error is the paper's, top-1 / "
        f"top-5,\nof one network on ILSVRC-2012 validation unless named.\nAlso: {aliases}."
    )


def show(
    network: Annotated[str, typer.Argument(help="a name, or path/to/file.py:builder")],
    size: Annotated[str, typer.Option("--input", help="channels x height x width, 3x224x224")] = "",
    batch: Annotated[int, typer.Option(help="images in a batch")] = 1,
    per: Annotated[str, typer.Option(help="a row per 'layer' or per 'stage'")] = "",
    json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="print CSV")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="print a Markdown table")] = False,
) -> None:
    """The network, layer by layer: shapes, parameters, arithmetic, memory, receptive field."""
    import classicnets as cn

    if json + csv + markdown > 1:
        raise ValueError("--json, --csv and --markdown exclude each other; give one")
    if per not in ("", "layer", "stage"):
        raise ValueError(f"--per must be layer or stage, not {per!r}")
    if batch < 1:
        raise ValueError(f"--batch must be at least 1, not {batch}")
    entry = cn.find(network)
    report = cn.show(entry, parsed_size(size) if size else None, batch)
    if json:
        print(report.json())
    elif csv:
        print(report.csv(), end="")
    elif markdown:
        print(report.markdown())
    else:
        width = shutil.get_terminal_size((160, 24)).columns  # of what is no terminal, 160
        print(_about(entry), end="")
        print(report.text(fold={"": None, "layer": False, "stage": True}[per], width=width))
        if entry.paper:
            print(f"\nWhere the paper leaves a choice: {entry.paper.choices}")


def _about(entry: "Entry") -> str:
    if entry.paper is None:
        return ""
    paper = entry.paper
    heading = entry.name
    if entry.published:  # the unit stands before what is in brackets: 0.95 % (MNIST)
        heading += re.sub(r"(?= \(|$)", " %", f", published error {entry.published}", count=1)
    return f"{heading}\n{paper.authors}: {paper.title}, {paper.where}, {paper.year}\n\n"


def parsed_size(text: str) -> tuple[int, int, int]:
    """What --input says: (c, h, w)."""
    parts = text.split("x")
    if len(parts) != 3 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ValueError(f"--input is channels x height x width such as 3x224x224, not {text!r}")
    c, h, w = map(int, parts)
    return c, h, w
