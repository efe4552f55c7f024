"""The verb speed: a network measured on this machine."""

import shutil
from typing import Annotated

import typer

from .progress import bars
from .read import parsed_size


def speed(
    network: Annotated[str, typer.Argument(help="a name, or path/to/file.py:builder")],
    size: Annotated[str, typer.Option("--input", help="channels x height x width, 3x224x224")] = "",
    batch: Annotated[
        list[int] | None, typer.Option(help="images in a batch; once or more; else two sizes")
    ] = None,
    precision: Annotated[
        list[str] | None, typer.Option(help="fp32 or bf16; once or more; else what there is")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    seconds: Annotated[float, typer.Option(help="of work for each row, at least")] = 1.5,
    json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """How fast a network infers and trains on this machine, beside the floor of its arithmetic."""
    import classicnets as cn

    with bars() as tell:
        report = cn.speed(
            network,
            parsed_size(size) if size else None,
            batch or (),
            precision or (),
            device,
            seconds,
            lambda done, total: tell(network, done, total),
        )
    if json:
        print(report.json())
    else:
        width = shutil.get_terminal_size((120, 24)).columns  # of what is no terminal, 120
        print(report.text(width), end="")
