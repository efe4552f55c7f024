"""The verb pack: a data set in one file, read without decoding."""

from pathlib import Path
from typing import Annotated

import typer

from .progress import bars


def pack(
    data: Annotated[str, typer.Argument(help="a folder, a CSV file, or another set")],
    out: Annotated[Path, typer.Argument(help="the new file; its name ends with .pack")],
    side: Annotated[int, typer.Option(help="pixels of the squares")] = 256,
    channels: Annotated[int, typer.Option(help="3, or 1 for grey")] = 3,
) -> None:
    """Pack pictures into one file of squares, which --data takes like a folder."""
    from classicnets.api.pack import pack

    with bars() as tell:
        packed = pack(data, out, side, channels, lambda done, total: tell(out.name, done, total))
    for reason in packed.skipped:
        print(f"left out: {reason}")
    print(
        f"{out}: {packed.pictures:,} pictures of {channels}x{side}x{side} in {packed.classes} "
        f"classes, {packed.bytes / 2**20:,.1f} MiB"
    )
