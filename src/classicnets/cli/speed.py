"""The verb `speed`."""

from typing import Annotated

import typer

from .options import (
    BATCH_SIZE,
    DATA,
    EXECUTION,
    Device,
    Input,
    Json,
    Network,
    parsed_size,
    terminal_width,
)
from .progress import bars
from .terminal import print_json


def speed(
    network: Network,
    size: Input = "",
    batch: Annotated[
        list[int] | None,
        typer.Option(
            *BATCH_SIZE,
            metavar="N",
            rich_help_panel=DATA,
            help="images per batch; may be repeated, such as -b 1 -b 64",
            show_default="1 and 16, or 1 and 128 for small images",
        ),
    ] = None,
    precision: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            rich_help_panel=EXECUTION,
            help="fp32 or bf16; may be repeated, such as --precision bf16",
            show_default="all that the device supports",
        ),
    ] = None,
    device: Device = "auto",
    seconds: Annotated[
        float,
        typer.Option(
            metavar="S", rich_help_panel=EXECUTION, help="run time per row, such as --seconds 5"
        ),
    ] = 1.5,
    json: Json = False,
) -> None:
    """Time inference and training steps on this machine.

    Each row is compared with the peak rate of this machine, measured in between.

    \b
    Examples:
      classicnets speed resnet18
      classicnets speed lenet5 -b 1 -b 256 --seconds 0.5
    """
    import classicnets as cn

    with bars() as progress:
        report = cn.speed(
            network,
            parsed_size(size, network),
            batch or (),
            precision or (),
            device,
            seconds,
            lambda done, total: progress(network, done, total),
        )
    if json:
        print_json(report.json())
    else:
        print(report.text(terminal_width()), end="")
