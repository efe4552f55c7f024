"""The verb `suggest`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .commands import command
from .experiment import Budget, Processes, SearchLr, Seeds, run
from .flags import Epochs, parsed_settings
from .options import (
    BATCH_SIZE,
    DATA,
    OUTPUT,
    RECIPE,
    Device,
    Input,
    Json,
    MissingClasses,
    Network,
    RecipeName,
    ReplaceFile,
    parsed_size,
)
from .report import warn_of_design
from .startup import without_compiler
from .terminal import print_json

if TYPE_CHECKING:  # or --help would import torch
    from classicnets.api.suggest import Suggestion, Suggestions

BUDGET, MEASURED = "Budget", "Measurement"


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
            help="most memory for a training step of --batch-size images, such as --max-memory 2GB",
        ),
    ] = None,
    batch: Annotated[
        int,
        typer.Option(
            *BATCH_SIZE,
            metavar="N",
            rich_help_panel=DATA,
            help="images in the training step whose memory is shown",
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
            help="with --apply: write the design to a new file, such as --out better.net; with "
            "--measure: the directory of the experiment",
        ),
    ] = None,
    exist_ok: ReplaceFile = False,
    measure: Annotated[
        bool,
        typer.Option(
            "--measure",
            rich_help_panel=MEASURED,
            help="train the network and each of the moves in pairs, as `experiment` does, and say "
            "which are better",
        ),
    ] = False,
    moves: Annotated[
        str,
        typer.Option(
            metavar="MOVE,...",
            rich_help_panel=MEASURED,
            help="measure these moves only, such as --moves batch-norm,he-initialisation",
            show_default="all that apply within the budget",
        ),
    ] = "",
    data: Annotated[
        str,
        typer.Option(
            metavar="NAME|PATH",
            rich_help_panel=MEASURED,
            help="data set or folder to measure on, as in `train`, such as --data path/to/folder",
            show_default="digits",
        ),
    ] = "",
    allow_missing_classes: MissingClasses = False,
    recipe: RecipeName = "",
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            rich_help_panel=RECIPE,
            help="change a field of the recipe of all variants, such as --set batch=32",
        ),
    ] = None,
    epochs: Epochs = None,
    search_lr: SearchLr = True,
    seeds: Seeds = None,
    budget: Budget = None,
    processes: Processes = None,
    device: Device = "auto",
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
      classicnets suggest my.net --measure --data path/to/folder --budget 2h
    """
    import classicnets as cn

    from .progress import bars

    ranking = {"--by": by, "--max-params": max_params, "--max-macs": max_macs}
    ranking |= {"--max-memory": max_memory, "--all": every}
    if apply and (given := [name for name, value in ranking.items() if value]):
        raise ValueError(f"{given[0]} is for the list of moves; leave it out with --apply")
    if apply and measure:
        raise ValueError("--apply and --measure exclude each other; give one")
    if out is not None and not (apply or measure):
        raise ValueError("--out goes with --apply MOVE, whose design it writes, or with --measure")
    if exist_ok and not (apply and out):
        raise ValueError("--exist-ok goes with --apply MOVE --out FILE.net, whose file it replaces")
    terms = {"seeds": seeds, "epochs": epochs, "budget": budget, "processes": processes}
    terms |= {"recipe": recipe or None, "search_lr": search_lr, "device": device, "out": out}
    terms |= {"allow_missing_classes": allow_missing_classes}
    _require_measure(measure, {"--moves": moves, "--data": data, "--set": overrides}, terms)
    with without_compiler():
        entry = cn.find(network)
        image = parsed_size(size, entry)
        if apply:
            _apply(cn.apply_move(entry, apply, at, image, batch), out, exist_ok, json)
        else:
            limits = (max_params, max_macs, max_memory)
            with bars():
                found = cn.suggest(entry, by or "params", *limits, at, batch, image)
            if measure:
                names = [name.strip() for name in moves.split(",") if name.strip()]
                _measure(found, data or "digits", names, overrides or [], terms, json)
            elif json:
                print_json(found.json())
            else:
                print(found.text(every))
    warn_of_design(entry)


def _require_measure(measure: bool, given: dict[str, Any], terms: dict[str, Any]) -> None:
    """Raises a ValueError for an option of the measurement without --measure."""
    defaults = {"search_lr": True, "device": "auto", "allow_missing_classes": False}
    changed = (
        "--no-lr-search" if name == "search_lr" else f"--{name.replace('_', '-')}"
        for name, value in terms.items()
        if name != "out" and value != defaults.get(name)
    )
    named = [*(name for name, value in given.items() if value), *changed]
    if named and not measure:
        raise ValueError(f"{named[0]} is for the measurement of moves; it goes with --measure")


def _measure(
    found: "Suggestions",
    data: str,
    moves: list[str],
    overrides: list[str],
    terms: dict[str, Any],
    json: bool,
) -> None:
    from .progress import bars

    with bars():
        experiment = found.measure(data, moves, parsed_settings(overrides), **terms)
    run(experiment, json)


def _apply(found: "Suggestion", out: Path | None, exist_ok: bool, json: bool) -> None:
    if out is not None:
        found.save(out, exist_ok)
    if json:
        print_json(found.json())
        return
    print(found.text())
    if out is not None:
        print(f"\n{out}: written; next: {command('suggest', out)}")
