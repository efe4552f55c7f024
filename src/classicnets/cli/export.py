"""The verb `export`: a trained network as a file of another engine."""

from pathlib import Path
from typing import Annotated

import typer

from .options import DATA, OUTPUT, MaxPixels, OwnNetwork, ReplaceFile, RunDirectory
from .progress import bars
from .terminal import one_line


def export(
    run: RunDirectory,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=OUTPUT,
            help="new file that ends in .onnx, .pt2, .xml or .safetensors, such as "
            "--out digits.onnx",
            show_default=False,
        ),
    ] = None,
    format: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="NAME",
            rich_help_panel=OUTPUT,
            help="onnx, torch-export, openvino or safetensors, such as --format onnx",
            show_default="that of the file's ending",
        ),
    ] = "",
    precision: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            rich_help_panel=OUTPUT,
            help="fp32, fp16 or int8 (with ranges from images of training), such as "
            "--precision int8",
        ),
    ] = "fp32",
    with_preprocessing: Annotated[
        bool,
        typer.Option(
            "--with-preprocessing",
            rich_help_panel=OUTPUT,
            help="take bytes, (n, h, w, c) of any size, and resize, crop and scale them",
        ),
    ] = False,
    fold: Annotated[
        bool,
        typer.Option(
            "--fold/--no-fold",
            rich_help_panel=OUTPUT,
            help="put batch normalisation into the convolutions before it",
        ),
    ] = True,
    exist_ok: ReplaceFile = False,
    data: Annotated[
        str,
        typer.Option(
            metavar="NAME|PATH",
            rich_help_panel=DATA,
            help="images to compare on, and to choose the ranges of int8 by, such as --data photos",
            show_default="the run's",
        ),
    ] = "",
    network: OwnNetwork = "",
    max_pixels: MaxPixels = "",
) -> None:
    """Write a trained network for another engine.

    The file is opened by its engine and compared with `predict`; one that disagrees is not kept.

    \b
    Examples:
      classicnets export runs/digits --out digits.onnx
      classicnets export runs/digits --out digits.onnx --with-preprocessing
      classicnets export resnet18 --out a.xml --precision int8 --data photos
    """
    import classicnets as cn

    if out is None:
        raise ValueError("export needs --out FILE, such as --out digits.onnx")
    with bars():
        done = cn.export(
            run,
            out,
            format,
            precision,
            with_preprocessing,
            fold,
            network or None,
            data or None,
            exist_ok,
        )
    for line in repr(done).splitlines():
        print(one_line(line) if not line.startswith(" ") else line)
