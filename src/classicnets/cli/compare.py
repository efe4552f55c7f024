"""The verb compare: several runs in one table and one picture."""

from pathlib import Path
from typing import Annotated

import typer


def compare(
    runs: Annotated[list[Path], typer.Argument(help="directories of runs")],
    png: Annotated[Path | None, typer.Option(help="a file for the curves, as a picture")] = None,
    json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="print CSV")] = False,
) -> None:
    """Runs side by side: errors, best epoch, time, parameters; and the curves of all as a PNG."""
    from classicnets.api.compare import compare
    from classicnets.support.files import write_atomic

    if json and csv:
        raise ValueError("--json and --csv exclude each other; give one")
    comparison = compare(runs)
    if png is not None:
        write_atomic(png, comparison.png())
    if json:
        print(comparison.json())
    elif csv:
        print(comparison.csv(), end="")
    else:
        print(comparison.text())
        if png is not None:
            print(f"\ncurves: {png}")
