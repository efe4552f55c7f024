"""The verb compare: several runs in one table and one chart."""

from pathlib import Path
from typing import Annotated

import typer

from .options import OUTPUT, Csv, Json, RunDirectories, require_at_most_one
from .terminal import print_csv, print_json


def compare(
    runs: RunDirectories,
    png: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=OUTPUT,
            help="also draw the learning curves, such as --png curves.png",
        ),
    ] = None,
    json: Json = False,
    csv: Csv = False,
) -> None:
    """Compare runs: errors, time, parameters, learning curves.

    Example: classicnets compare runs/a runs/b --png curves.png
    """
    import classicnets as cn
    from classicnets.support.files import write_atomic

    require_at_most_one(json=json, csv=csv)
    comparison = cn.compare(runs)
    if png is not None:
        from classicnets.support.fonts import together

        with together():
            write_atomic(png, comparison.png())
    if json:
        print_json(comparison.json())
    elif csv:
        print_csv(comparison.csv())
    else:
        print(comparison.text())
        if png is not None:
            print(f"\nlearning curves: {png}")
