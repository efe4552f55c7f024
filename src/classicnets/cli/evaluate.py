"""The verb evaluate: errors, confusion and calibration of one run, or of several averaged."""

from pathlib import Path
from typing import Annotated

import typer

from classicnets.support.names import encoded

from .options import (
    DATA,
    EXECUTION,
    OUTPUT,
    Device,
    Json,
    MaxPixels,
    Precision,
    RunDirectories,
    Unreadable,
)
from .terminal import print_json


def evaluate(
    runs: RunDirectories,
    data: Annotated[
        str,
        typer.Option(
            metavar="NAME|PATH",
            rich_help_panel=DATA,
            help="other images of the same classes, such as --data path/to/folder",
            show_default="the run's own test images",
        ),
    ] = "",
    unreadable: Unreadable = "skip",
    protocol: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            rich_help_panel=DATA,
            help="views of each image: single, ten-crop, dense, multi-scale, 50-crop, 144-crop, "
            "150-crop or fully-convolutional, such as --protocol ten-crop",
            show_default="the paper's; training ends with single",
        ),
    ] = "",
    networks: Annotated[
        list[str] | None,
        typer.Option(
            "--network",
            metavar="FILE:BUILDER",
            rich_help_panel=EXECUTION,
            help="the network of runs of your own code, such as --network mine.py:net; one for "
            "all runs, or repeated, one for each",
        ),
    ] = None,
    max_pixels: MaxPixels = "",
    device: Device = "auto",
    precision: Precision = "fp32",
    json: Json = False,
    per_class: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=OUTPUT,
            help="also write the metrics of each class as CSV, such as --per-class classes.csv",
        ),
    ] = None,
    png: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=OUTPUT,
            help="also draw confusion and calibration, such as --png confusion.png",
        ),
    ] = None,
) -> None:
    """Evaluate a run: errors, balanced accuracy, precision, recall and F1 of each class, confusion,
    calibration.

    The probabilities of several runs are averaged.

    \b
    Examples:
      classicnets evaluate runs/digits
      classicnets evaluate runs/a runs/b --protocol ten-crop --per-class c.csv
    """
    from json import dumps

    import classicnets as cn
    from classicnets.support.errors import first_few
    from classicnets.support.files import write_atomic

    from .progress import bars
    from .report import print_confidence, print_evaluation, print_skipped, warn

    with bars():
        evaluation = cn.evaluate(
            runs, data or None, protocol or None, networks or None, device, precision, unreadable
        )
    print_skipped(evaluation)
    if per_class is not None:
        from classicnets.evaluation.plots import class_csv

        write_atomic(per_class, encoded(class_csv(evaluation), "surrogateescape"))
    if png is not None:
        from classicnets.evaluation.plots import evaluation_png
        from classicnets.support.fonts import together

        names = " + ".join(run.resolve().name for run in runs)
        with together():
            write_atomic(png, evaluation_png(evaluation, names))
    if overlap := evaluation.overlap:
        warn(
            [
                f"{len(overlap)} of {evaluation.images} images are also among the training images "
                f"(the same bytes), so the error is too low for new ones: {first_few(overlap)}"
            ]
        )
    if json:
        print_json(dumps(evaluation.as_json(), ensure_ascii=False))
        return
    warn(evaluation.unfinished)
    print_evaluation(evaluation)
    print_confidence(evaluation)
    for file in filter(None, (per_class, png)):
        print(f"wrote {file}")
