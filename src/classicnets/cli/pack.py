"""The command `pack`: writes a data set into one file that is read without decoding."""

from pathlib import Path
from typing import Annotated

import typer

from .options import OUTPUT, MaxPixels, MissingClasses, Unreadable
from .progress import bars
from .terminal import sentence


def pack(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="a folder, a CSV file, or another data set")
    ],
    out: Annotated[Path, typer.Argument(metavar="FILE", help="new file, such as photos.pack")],
    side: Annotated[
        int,
        typer.Option(
            metavar="N", rich_help_panel=OUTPUT, help="side in pixels, such as --side 224"
        ),
    ] = 256,
    channels: Annotated[
        int, typer.Option(metavar="N", rich_help_panel=OUTPUT, help="3, or 1 for grey")
    ] = 3,
    unreadable: Unreadable = "skip",
    allow_missing_classes: MissingClasses = False,
    max_pixels: MaxPixels = "",
) -> None:
    """Pack a data set into one file that loads fast.

    Images become squares in one file, read without decoding; --data takes it like a folder.

    \b
    Examples:
      classicnets pack path/to/folder photos.pack
      classicnets train resnet18 --data photos.pack
    """
    from classicnets.api.pack import pack

    with bars() as report:
        packed = pack(
            data,
            out,
            side,
            channels,
            lambda done, total: report(out.name, done, total),
            allow_missing_classes,
            unreadable,
        )
    for reason in packed.skipped:
        print(sentence(f"skipped: {reason}"))
    print(
        f"{out}: {packed.images:,} images of {channels}x{side}x{side} in {packed.classes} "
        f"classes, {packed.bytes / 2**20:,.1f} MiB"
    )
