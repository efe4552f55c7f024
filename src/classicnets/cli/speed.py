"""The verb `speed`."""

import shutil
from typing import Annotated

import typer

from .progress import bars
from .show import parse_size


def speed(
    network: Annotated[str, typer.Argument(help="a name, or path/to/file.py:builder")],
    size: Annotated[str, typer.Option("--input", help="channels x height x width, 3x224x224")] = "",
    batch: Annotated[
        list[int] | None, typer.Option(help="images per batch; may be repeated; default: two sizes")
    ] = None,
    precision: Annotated[
        list[str] | None, typer.Option(help="fp32 or bf16; may be repeated; default: all supported")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    seconds: Annotated[float, typer.Option(help="minimum run time of each row")] = 1.5,
    json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Time inference and training steps on this machine, compared with its peak rates."""
    import classicnets as cn

    with bars() as progress:
        report = cn.speed(
            network,
            parse_size(size) if size else None,
            batch or (),
            precision or (),
            device,
            seconds,
            lambda done, total: progress(network, done, total),
        )
    if json:
        print(report.json())
    else:
        print(report.text(shutil.get_terminal_size((120, 24)).columns), end="")
