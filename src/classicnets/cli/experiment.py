"""The verb `experiment`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .flags import Epochs, InitFrom, parsed_settings, refuse_other_settings
from .options import (
    EXECUTION,
    OUTPUT,
    RECIPE,
    Data,
    Device,
    Json,
    MaxPixels,
    MissingClasses,
    RecipeName,
)
from .terminal import console, print_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console
    from rich.table import Table

    from classicnets.api.paired import Experiment, Step
    from classicnets.api.sweep import Sweep


SearchLr = Annotated[
    bool,
    typer.Option(
        "--lr-search/--no-lr-search",
        rich_help_panel=RECIPE,
        help="train every variant once with 0.5, 1 and 2 times the learning rate, and with more "
        "while the best is at an edge, 1/16 to 16 at most; go on with the best on the validation "
        "images; off where the learning rate is what varies",
    ),
]
Seeds = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        rich_help_panel=EXECUTION,
        help="runs of each variant, such as --seeds 8",
        show_default="the least for a verdict: 6 to 8",
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        rich_help_panel=EXECUTION,
        help="no seed is begun that would end after this time, such as --budget 30min",
    ),
]
Processes = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        rich_help_panel=EXECUTION,
        help="runs at the same time, such as --processes 4",
        show_default="one per CPU core, as far as memory allows; 1 with a GPU",
    ),
]


def experiment(
    context: typer.Context,
    networks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NETWORK",
            help="the baseline, then what is compared with it: names, designs such as my.net, or "
            "path/to/file.py:builder",
            show_default=False,
        ),
    ] = None,
    data: Data = "digits",
    allow_missing_classes: MissingClasses = False,
    max_pixels: MaxPixels = "",
    recipe: RecipeName = "",
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE,...",
            rich_help_panel=RECIPE,
            help="change a field of every recipe; several values make a variant each, the first "
            "the baseline, such as --set batch=16,64",
        ),
    ] = None,
    init_from: InitFrom = None,
    trials: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            rich_help_panel=RECIPE,
            help="search the ranges and values of --set by N runs, whose values Optuna chooses, "
            "and compare the best with the recipe's own, such as --set lr=0.003..0.3 --trials 20",
            show_default="no search",
        ),
    ] = None,
    epochs: Epochs = None,
    search_lr: SearchLr = True,
    seeds: Seeds = None,
    budget: Budget = None,
    processes: Processes = None,
    device: Device = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIRECTORY",
            rich_help_panel=OUTPUT,
            help="directory of the experiment, new or stopped, such as --out experiments/width",
            show_default="experiments/NETWORK-DATA-KEY",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Compare variants by paired runs, with a verdict: better, worse, or cannot tell.

    Ctrl-C stops it; the same command continues.

    \b
    Examples:
      classicnets experiment a.net b.net --data path/to/folder
      classicnets experiment resnet20 plain20 --data cifar10 --epochs 20 --seeds 6
      classicnets experiment lenet5 --set lr=0.01,0.03 --budget 30min
      classicnets experiment lenet5 --set lr=0.003..0.3 --trials 20
    """
    import classicnets as cn
    from classicnets.api.sweep import Sweep

    from .progress import bars

    settings = parsed_settings(overrides or [])
    refuse_other_settings(context, settings.items())
    with bars():
        found = cn.experiment(
            networks or [],
            data,
            recipe=recipe or None,
            overrides=settings,
            seeds=seeds,
            epochs=epochs,
            budget=budget,
            processes=processes,
            out=out,
            search_lr=search_lr,
            device=device,
            allow_missing_classes=allow_missing_classes,
            trials=trials,
            init_from=init_from,
        )
    if isinstance(found, Sweep):
        _search(found, json)
    else:
        run(found, json)


def _search(found: "Sweep", json: bool) -> None:
    """Trains the trials, a line for each, and compares the best with the recipe's own values."""
    write = _writer(json)
    write("\n".join(found.cost()))
    with _stoppable(lambda: f"the trials are in {found.place}"), _lines(write) as show:
        for step in found.search():
            show(step)
    if (experiment := found.compare()) is None:
        write("the best of the trials has the recipe's own values: there is nothing to compare")
        return
    write(f"\n{experiment.plan.note}")
    run(experiment, json)


def run(found: "Experiment", json: bool) -> None:
    """Says what an experiment costs, trains what is left of it, and prints its report."""
    shown(found, _writer(json), console(stderr=json))
    assert found.report is not None
    if json:
        print_json(found.report.json())
        return
    print(f"\n{found.report.text()}\n\nreport: {found.directory / 'report.html'}")


def shown(found: "Experiment", write: "Callable[[str], None]", screen: "Console") -> None:
    """Says what an experiment costs, and trains what is left of it, showing how it comes on."""
    write("\n".join(found.cost()))
    table = _table(found, screen) if screen.is_terminal else _lines(write)
    with _stoppable(lambda: _ended(found)), table as show:
        for step in found:
            show(step)


def _ended(found: "Experiment") -> str:
    return f"{len(found.outcomes)} of {found.total} runs have ended in {found.directory}"


def _writer(json: bool) -> "Callable[[str], None]":
    """Prints how it comes on, beside what is printed as JSON."""
    return partial(print, file=sys.stderr if json else sys.stdout, flush=True)


@contextmanager
def _stoppable(kept: "Callable[[], str]") -> Iterator[None]:
    """Ends at Ctrl-C with a line that says what is kept."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"stopped; {kept()}; the same command continues", file=sys.stderr)
        raise typer.Exit(130) from None


@contextmanager
def _lines(write: "Callable[[str], None]") -> "Iterator[Callable[[Step], None]]":
    """A line for each run that has ended."""

    def show(step: "Step") -> None:
        if not step.progress.ended:
            return
        figure = _error(step.diverged, step.progress.validation)
        figure = figure if step.diverged else f"validation error {figure}"
        line = f"{step.done}/{step.total} {step.member.name}: {figure}"
        write(", ".join(filter(None, [line, _left(step)])))

    yield show


@contextmanager
def _table(found: "Experiment", screen: "Console") -> "Iterator[Callable[[Step], None]]":
    """A table that is drawn anew: a row for each variant, a column for each seed."""
    from rich.live import Live

    cells = {
        outcome.member.name: _error(outcome.diverged, outcome.validation)
        for outcome in found.outcomes.values()
    }
    with Live(console=screen, refresh_per_second=4) as live:
        live.update(_drawn(found, cells, ""))

        def show(step: "Step") -> None:
            at = step.progress
            cells[step.member.name] = (
                _error(step.diverged, at.validation)
                if at.ended
                else f"{100 * at.step // max(1, at.steps)} %"
            )
            live.update(_drawn(found, cells, f"{step.done} of {step.total} runs; {_left(step)}"))

        yield show


def _error(diverged: str, validation: float | None) -> str:
    """The validation error of a run that has ended."""
    return "diverged" if diverged else f"{validation:.1f} %"


def _left(step: "Step") -> str:
    from classicnets.support.units import format_seconds

    return f"about {format_seconds(step.left)} left" if step.left else ""


def _drawn(found: "Experiment", cells: dict[str, str], caption: str) -> "Table":
    from rich.table import Table

    from .terminal import cell

    plan, columns = found.plan, found.columns()
    table = Table(caption=caption, caption_justify="left")
    table.add_column("validation error")
    for name in columns:
        table.add_column(name, justify="right")
    for k, name in enumerate(plan.names):
        row = [next((m.name for m in some if m.variant == k), "") for some in columns.values()]
        table.add_row(cell(name), *(cells.get(place, "") for place in row))
    return table
