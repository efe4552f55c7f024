"""The verb predict: the likeliest classes of your own images."""

import sys
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import OUTPUT, Csv, Device, ImagePaths, Json, RunDirectory, require_at_most_one
from .report import print_left_out

if TYPE_CHECKING:
    from classicnets.api.predict import Prediction


def predict(
    run: RunDirectory,
    images: ImagePaths,
    device: Device = "auto",
    top: Annotated[
        int,
        typer.Option(
            metavar="N",
            rich_help_panel=OUTPUT,
            help="classes listed for each image, likeliest first, such as --top 1",
        ),
    ] = 5,
    json: Json = False,
    csv: Csv = False,
) -> None:
    """Predict the classes of images.

    An unreadable file that you name is an error, and nothing is predicted; one found in a folder is
    skipped with a warning.

    \b
    Examples:
      classicnets predict runs/digits one.png folder
      ls *.png | classicnets predict runs/digits - --csv
    """
    from rich.console import Console

    import classicnets as cn
    from classicnets.api.predict import left_out

    require_at_most_one(json=json, csv=csv)
    paths = _with_stdin(images)
    found = cn.predict(run, paths, top, device=device)
    for prediction in found:
        if prediction.unreadable:
            print(f"warning: skipped: {prediction.unreadable}", file=sys.stderr)
    print_left_out(left_out(paths))
    predictions = [prediction for prediction in found if prediction.top]
    if json:
        _print_json(predictions)
    elif csv:
        _print_csv(predictions)
    elif Console().is_terminal:
        _print_table(predictions)
    else:
        for path, classes, _ in predictions:
            print(f"{path}: " + ", ".join(f"{name} {100 * p:.1f} %" for name, p in classes))


def _with_stdin(paths: list[Path]) -> list[Path]:
    """The paths, with - replaced by those on standard input, one per line."""
    if isinstance(sys.stdin, TextIOWrapper):  # names of files may be any bytes
        sys.stdin.reconfigure(encoding=sys.getfilesystemencoding(), errors="surrogateescape")
    lines = sys.stdin.read().split("\n") if Path("-") in paths else []
    listed = [Path(line) for line in lines if line.strip()]
    return [path for given in paths for path in (listed if given == Path("-") else [given])]


def _print_json(predictions: "list[Prediction]") -> None:
    from json import dumps

    objects = [
        {"path": path, "top": [{"class": name, "probability": p} for name, p in classes]}
        for path, classes, _ in predictions
    ]
    print(dumps(objects, ensure_ascii=False))


def _print_csv(predictions: "list[Prediction]") -> None:
    from csv import writer

    out = writer(sys.stdout, lineterminator="\n")
    out.writerow(["path", "rank", "class", "probability"])
    for path, classes, _ in predictions:
        for rank, (name, p) in enumerate(classes, start=1):
            out.writerow([path, rank, name, f"{p:.6f}"])


def _print_table(predictions: "list[Prediction]") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("image", overflow="fold")
    for rank in range(max((len(classes) for _, classes, _ in predictions), default=0)):
        table.add_column("predicted" if rank == 0 else "")
    for path, classes, _ in predictions:
        cells = [f"{escape(name)} {100 * p:.1f} %" for name, p in classes]
        table.add_row(escape(path), *cells[:1], *(f"[dim]{cell}[/]" for cell in cells[1:]))
    Console().print(table)
