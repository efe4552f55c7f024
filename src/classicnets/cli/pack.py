"""The command `pack`: writes a data set into one file that is read without decoding."""

from pathlib import Path
from typing import Annotated

import typer

from .progress import bars


def pack(
    data: Annotated[str, typer.Argument(help="a folder, a CSV file, or another data set")],
    out: Annotated[Path, typer.Argument(help="the new file; its name ends with .pack")],
    side: Annotated[int, typer.Option(help="side of the squares in pixels")] = 256,
    channels: Annotated[int, typer.Option(help="3, or 1 for grey")] = 3,
) -> None:
    """Pack images into one file of squares, which --data accepts like a folder."""
    from classicnets.api.pack import pack

    with bars() as report:
        packed = pack(data, out, side, channels, lambda done, total: report(out.name, done, total))
    for reason in packed.skipped:
        print(f"skipped: {reason}")
    print(
        f"{out}: {packed.images:,} images of {channels}x{side}x{side} in {packed.classes} "
        f"classes, {packed.bytes / 2**20:,.1f} MiB"
    )
