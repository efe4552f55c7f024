"""The verb `suggest`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .commands import command
from .options import BATCH_SIZE, DATA, OUTPUT, Input, Json, Network, parsed_size
from .report import warn_of_design
from .startup import without_compiler
from .terminal import print_json

if TYPE_CHECKING:  # or --help would import torch
    from classicnets.api.suggest import Suggestion

BUDGET = "Budget"


def suggest(
    network: Network,
    by: Annotated[
        str,
        typer.Option(
            metavar="FIGURE",
            rich_help_panel=OUTPUT,
            help="rank by params, macs or memory, the least first, or by receptive-field, the "
            "largest first, such as --by macs",
            show_default="params",
        ),
    ] = "",
    max_params: Annotated[
        str | None,
        typer.Option(
            metavar="N", rich_help_panel=BUDGET, help="most parameters, such as --max-params 1M"
        ),
    ] = None,
    max_macs: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            rich_help_panel=BUDGET,
            help="most multiply-adds for one image, such as --max-macs 50M",
        ),
    ] = None,
    max_memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            rich_help_panel=BUDGET,
            help="most memory for a training step, such as --max-memory 2GB",
        ),
    ] = None,
    batch: Annotated[
        int,
        typer.Option(
            *BATCH_SIZE, metavar="N", rich_help_panel=DATA, help="images per training step"
        ),
    ] = 1,
    size: Input = "",
    at: Annotated[
        str,
        typer.Option(
            metavar="LAYER",
            rich_help_panel=DATA,
            help="this layer or block only, by its name in `show`, such as --at conv2",
            show_default="everywhere",
        ),
    ] = "",
    apply: Annotated[
        str,
        typer.Option(
            "--apply",
            metavar="MOVE",
            rich_help_panel=OUTPUT,
            help="show the lines that one move changes, such as --apply two-3x3",
        ),
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.net",
            rich_help_panel=OUTPUT,
            help="with --apply: write the design to a new file, such as --out better.net",
        ),
    ] = None,
    every: Annotated[
        bool,
        typer.Option(
            "--all", rich_help_panel=OUTPUT, help="also what the moves look for that do not apply"
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Suggest changes to a network that the papers made to theirs, with what each would cost.

    A move is one lesson of one paper, as a rewriting of a design; docs/moves.md lists them.

    \b
    Examples:
      classicnets suggest alexnet
      classicnets suggest my.net --by macs --max-params 1M
      classicnets suggest my.net --apply two-3x3 --at conv2 --out better.net
    """
    import classicnets as cn

    ranking = {"--by": by, "--max-params": max_params, "--max-macs": max_macs}
    ranking |= {"--max-memory": max_memory, "--all": every}
    if apply and (given := [name for name, value in ranking.items() if value]):
        raise ValueError(f"{given[0]} is for the list of moves; leave it out with --apply")
    if out is not None and not apply:
        raise ValueError("--out goes with --apply MOVE, whose design it writes")
    with without_compiler():
        entry = cn.find(network)
        image = parsed_size(size, entry)
        if apply:
            _apply(cn.apply_move(entry, apply, at, image, batch), out, json)
        else:
            budget = (max_params, max_macs, max_memory)
            found = cn.suggest(entry, by or "params", *budget, at, batch, image)
            if json:
                print_json(found.json())
            else:
                print(found.text(every))
    warn_of_design(entry)


def _apply(found: "Suggestion", out: Path | None, json: bool) -> None:
    if out is not None:
        found.save(out)
    if json:
        print_json(found.json())
        return
    print(found.text())
    if out is not None:
        print(f"\n{out}: written; next: {command('suggest', out)}")
