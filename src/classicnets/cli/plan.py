"""The verb `plan`."""

from pathlib import Path
from typing import Annotated

import typer

from .flags import BatchSize, Epochs, Freeze, ImageSize, recipe_changes
from .options import DATA, EXECUTION, OUTPUT, Json, RecipeName, terminal_width
from .terminal import print_json


def plan(
    network: Annotated[
        str,
        typer.Argument(
            metavar="NETWORK",
            help="name such as resnet20, a design such as my.net, or path/to/file.py:builder; "
            "with --review a run",
            show_default=False,
        ),
    ] = "",
    runs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RUN", help="with --review: more runs", show_default=False),
    ] = None,
    data: Annotated[
        str,
        typer.Option(
            metavar="NAME|PATH",
            rich_help_panel=DATA,
            help="data set, folder, CSV or .pack file, as for train",
            show_default="as many images as the paper had",
        ),
    ] = "",
    recipe: RecipeName = "",
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    img_size: ImageSize = None,
    freeze: Freeze = None,
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            rich_help_panel=EXECUTION,
            help="memory that may be used, such as --memory 8GB",
            show_default="what is free",
        ),
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            rich_help_panel=EXECUTION,
            help="time that there is, such as --time 2h",
        ),
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            rich_help_panel=EXECUTION,
            help="auto, cpu, cuda, ...; or one that is not here: h100, a100, v100, l4, t4, "
            "rtx4090, rtx3090, such as --device t4",
        ),
    ] = "auto",
    measure: Annotated[
        bool,
        typer.Option(
            "--measure",
            rich_help_panel=EXECUTION,
            help="time at least five real steps, where otherwise the time is predicted",
        ),
    ] = False,
    review: Annotated[
        bool,
        typer.Option(
            "--review",
            rich_help_panel=OUTPUT,
            help="what was predicted for runs beside what was measured, such as --review runs/*",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Predict the memory and the time of a training before it starts.

    \b
    Examples:
      classicnets plan resnet18 --batch-size 64 --memory 8GB
      classicnets plan resnet18 --data path/to/folder --measure
      classicnets plan vgg_d --device t4 --time 12h
      classicnets plan --review runs/*
    """
    from json import dumps

    import classicnets as cn
    from classicnets.api.planned import review as review_runs, review_text

    given = [*filter(None, [network]), *(runs or [])]
    if review:
        rows = review_runs(given)
        if json:
            print_json(dumps(rows, indent=2, ensure_ascii=False))
        else:
            print(review_text(rows), end="")
        return
    if runs:
        raise ValueError(f"plan takes one network, not {len(given)}; runs go with --review")
    if not network:
        raise ValueError("plan needs a network; `classicnets list` shows their names")
    changes = recipe_changes({"batch_size": batch_size, "img_size": img_size, "freeze": freeze}, [])
    planned = cn.plan(
        network, data or None, recipe or None, epochs, None, memory, time, device, measure, changes
    )
    if json:
        print_json(planned.json())
    else:
        print(planned.text(terminal_width()), end="")
