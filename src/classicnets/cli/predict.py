"""The verb predict: the likeliest classes of your own images."""

import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from classicnets.support.errors import shell

from .options import (
    OUTPUT,
    Csv,
    Device,
    ImagePaths,
    Json,
    MaxPixels,
    OwnNetwork,
    RunDirectory,
    require_at_most_one,
)
from .progress import bars
from .report import print_left_out
from .terminal import cell, console, one_line, print_csv, print_json, sentence

if TYPE_CHECKING:
    from classicnets.api.predict import Prediction


def predict(
    run: RunDirectory,
    images: ImagePaths,
    network: OwnNetwork = "",
    max_pixels: MaxPixels = "",
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
    import classicnets as cn

    require_at_most_one(json=json, csv=csv)
    paths = _with_stdin(images)
    if csv and (table := next((one for one in paths if one.suffix == ".csv"), None)):
        raise ValueError(f"--csv prints, and takes no file; write: --csv > {shell(table)}")
    with bars():
        found = cn.predict(run, paths, top, network or None, device)
    for prediction in found:
        if prediction.unreadable:
            print(sentence(f"warning: skipped: {prediction.unreadable}"), file=sys.stderr)
    print_left_out(found.left_out)
    predictions = [prediction for prediction in found if prediction.top]
    if json:
        _print_json(predictions)
    elif csv:
        _print_csv(predictions)
    elif console().is_terminal:
        _print_table(predictions)
    else:
        for prediction in predictions:
            print(one_line(prediction))


def _with_stdin(paths: list[Path]) -> list[Path]:
    """The paths, with - replaced by those on standard input, one per line."""
    listed = _read_list() if Path("-") in paths else []
    return [path for given in paths for path in (listed if given == Path("-") else [given])]


def _read_list() -> list[Path]:
    if sys.stdin is None:
        raise ValueError("- takes a list of paths on standard input, which is closed")
    raw = getattr(sys.stdin, "buffer", None)  # file names are bytes, in no encoding
    text = sys.stdin.read() if raw is None else os.fsdecode(raw.read())
    return [Path(line.rstrip("\r")) for line in text.split("\n") if line.strip()]


def _print_json(predictions: "list[Prediction]") -> None:
    from json import dumps

    objects = [prediction.as_dict() for prediction in predictions]
    print_json(dumps(objects, ensure_ascii=False))


def _print_csv(predictions: "list[Prediction]") -> None:
    from csv import writer

    table = io.StringIO()
    out = writer(table, lineterminator="\n")
    out.writerow(["path", "rank", "class", "probability"])
    for path, classes, _ in predictions:
        for rank, (name, p) in enumerate(classes, start=1):
            out.writerow([path, rank, name, f"{p:.6f}"])
    print_csv(table.getvalue())


def _print_table(predictions: "list[Prediction]") -> None:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("image", overflow="fold")
    for rank in range(max((len(classes) for _, classes, _ in predictions), default=0)):
        table.add_column("predicted" if rank == 0 else "")
    for path, classes, _ in predictions:
        cells = [f"{cell(name)} {100 * p:.1f} %" for name, p in classes]
        table.add_row(cell(path), *cells[:1], *(f"[dim]{one}[/]" for one in cells[1:]))
    console().print(table)
