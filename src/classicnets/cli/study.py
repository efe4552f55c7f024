"""The verb `study`."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .experiment import Processes, shown
from .options import EXECUTION, OUTPUT, Device, Json, terminal_width
from .terminal import console, print_json

if TYPE_CHECKING:
    from classicnets.api.paired import Experiment
    from classicnets.studies.study import Study

Seeds = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        rich_help_panel=EXECUTION,
        help="pairs of runs of a training study, such as --seeds 12",
        show_default="the least for its verdict: 6 or more",
    ),
]
OwnData = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="NAME|PATH",
        rich_help_panel=EXECUTION,
        help="data of a training study, such as --data path/to/cifar10",
        show_default="the study's own",
    ),
]


def study(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="studies to run; none lists them", show_default=False),
    ] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="run all, or all of --kind and --family")
    ] = False,
    kind: Annotated[
        str,
        typer.Option(metavar="KIND", help="structure, history or training, such as --kind history"),
    ] = "",
    family: Annotated[
        str, typer.Option(metavar="FAMILY", help="those of one family, such as --family vgg")
    ] = "",
    seeds: Seeds = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", rich_help_panel=EXECUTION, help="train a quarter of the epochs, at least 1"
        ),
    ] = False,
    data: OwnData = None,
    processes: Processes = None,
    device: Device = "auto",
    out: Annotated[
        Path,
        typer.Option(
            metavar="DIRECTORY",
            rich_help_panel=OUTPUT,
            help="where results are kept, a directory each, such as --out studies",
        ),
    ] = Path("studies"),
    json: Json = False,
) -> None:
    """Confirm or correct a claim about the networks: list the studies, or run some.

    Each has a criterion that was stated before its result. Ctrl-C stops one that trains; the same
    command continues.

    \b
    Examples:
      classicnets study --family vgg
      classicnets study vgg-memory lenet5-layers
      classicnets study --all --kind structure
      classicnets study alexnet-relu --seeds 8
    """
    from classicnets.studies import index

    chosen = index.select(names or [], kind, family)
    if not names and not all_:
        _list(chosen, out, json)
        return
    if long := [one.name for one in chosen if one.needs_gpu and not names]:
        print(f"left out, for a GPU and by name: {', '.join(long)}", file=sys.stderr)
        chosen = [one for one in chosen if one.name not in long]
    given: dict[str, Any] = {"seeds": seeds, "quick": quick, "data": data}
    train = partial(_train, json=json)
    kept = []
    for one in chosen:
        how = given if names else index.taken(one, given)
        found = index.study(one.name, out, **how, device=device, processes=processes, train=train)
        kept.append(found)
        if not json:
            print(f"{found.text()}\nkept in {index.place(out, one.name, quick)}\n", flush=True)
    if json:
        print_json(f"[{','.join(found.json() for found in kept)}]")


def _train(experiment: "Experiment", json: bool) -> None:
    """Trains what is left, and shows how it comes on beside what is printed as JSON."""
    write = partial(print, file=sys.stderr if json else sys.stdout, flush=True)
    shown(experiment, write, console(stderr=json))


def _list(studies: "list[Study]", out: Path, json: bool) -> None:
    from json import dumps

    from classicnets.studies.index import state

    if json:
        facts = ("name", "family", "kind", "claim", "by", "source", "criterion")
        facts += ("minutes", "shrunk", "data")
        rows = [{f: getattr(s, f) for f in facts} | {"verdict": state(s, out)} for s in studies]
        print_json(dumps(rows, indent=2))
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("study", no_wrap=True)
    table.add_column("kind", no_wrap=True)
    table.add_column("minutes", justify="right")
    table.add_column("verdict", max_width=22)
    table.add_column("claim, and who makes it")
    for one in studies:
        minutes = f"{one.minutes:g}" if one.minutes >= 1 else "<1"
        told = f"{one.claim} ({one.by})"
        table.add_row(one.name, one.kind, minutes, state(one, out), told)
    console(width=max(80, terminal_width())).print(table)
    print(f"\n{len(studies)} studies; `classicnets study NAME` runs one, --all all of them.")
    print(f"Verdicts are those kept in {out}, else those that come with classicnets.")
