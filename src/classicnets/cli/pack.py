"""The command `pack`: writes a data set into one file, or into shards."""

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
    out: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="new file, such as photos.pack, or folder of shards"),
    ],
    side: Annotated[
        int,
        typer.Option(
            metavar="N", rich_help_panel=OUTPUT, help="side in pixels, such as --side 224"
        ),
    ] = 256,
    channels: Annotated[
        int, typer.Option(metavar="N", rich_help_panel=OUTPUT, help="3, or 1 for grey")
    ] = 3,
    shards: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            rich_help_panel=OUTPUT,
            help="write a folder of N tar files for training, and more for the other splits",
        ),
    ] = None,
    unreadable: Unreadable = "skip",
    allow_missing_classes: MissingClasses = False,
    max_pixels: MaxPixels = "",
) -> None:
    """Pack a data set into one file that loads fast.

    Images become squares in one file, read without decoding; --data takes it like a folder.
    With --shards they stay as they are, in tar files for a cluster (WebDataset).

    \b
    Examples:
      classicnets pack path/to/folder photos.pack
      classicnets train resnet18 --data photos.pack
      classicnets pack path/to/folder photos --shards 100
      classicnets train resnet18 --data 'photos/train-{000000..000099}.tar'
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
            shards,
        )
    for reason in packed.skipped:
        print(sentence(f"skipped: {reason}"))
    what = f" of {channels}x{side}x{side}" if shards is None else ""
    print(
        f"{out}: {packed.images:,} images{what} in {packed.classes} classes, "
        f"{packed.bytes / 2**20:,.1f} MiB"
    )
