"""The verb train: a live line on a terminal, a plain line per pass where there is none."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from classicnets.evaluation.metrics import Evaluation
    from classicnets.training.loop import Record
    from classicnets.verbs.train import Training

ENDED_BY = 128  # and the number of the signal is what a shell reports for a command ended by one
SHOWN_CLASSES = 20  # beyond, a confusion table is no longer readable


def train(
    network: Annotated[str, typer.Argument(help="a name, or path/to/file.py:builder")] = "",
    data: Annotated[str, typer.Option(help="digits (the default), or a folder of folders")] = "",
    recipe: Annotated[str, typer.Option(help="paper, or fast")] = "",
    epochs: Annotated[
        int | None, typer.Option(help="passes; the schedule keeps its proportions")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="a new directory for the run")] = None,
    seed: Annotated[
        int | None, typer.Option(help="of initial values, order and augmentation; else 0")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    resume: Annotated[Path | None, typer.Option(help="a run to go on with")] = None,
) -> None:
    """Train a network by its paper's recipe, on digits or on your own pictures."""
    import classicnets as cn

    if resume is not None:
        fixed = {
            "the network's name": network,
            "--data": data,
            "--recipe": recipe,
            "--epochs": epochs,
            "--out": out,
            "--seed": seed,
        }
        if given := [name for name, value in fixed.items() if value not in ("", None)]:
            raise ValueError(f"--resume goes on as the run began; leave {', '.join(given)} away")
        training = cn.resume(resume, device=device)
    elif not network:
        raise ValueError("train needs the name of a network; `classicnets list` has them")
    else:
        training = cn.train(
            network,
            data or "digits",
            recipe=recipe or None,
            epochs=epochs,
            out=out,
            seed=seed or 0,
            device=device,
        )
    introduce(training)
    follow(training)
    conclude(training)


def introduce(training: "Training") -> None:
    """What is about to be trained, by which recipe, on how many pictures."""
    recipe, splits = training.recipe, training.splits
    parts = splits.sizes
    print(f"{training.run.facts.network} by {recipe.cite}")
    print(
        f"{recipe.epochs} passes in batches of {recipe.batch}, {recipe.optimizer}, {recipe.rate}, "
        f"{recipe.loss}"
    )
    for name, reason in recipe.assumed.items():
        print(f"  assumed {name}: {reason}")
    for name, (ours, paper) in training.run.facts.differences.items():
        print(f"  not the paper's {name}: {ours} for {paper}")
    print(
        f"{splits.name}: {len(splits.classes)} classes; {parts[0]} pictures for training, "
        f"{parts[1]} for validation, {parts[2]} for test"
    )
    for name, counts in list(splits.counts().items())[:SHOWN_CLASSES]:
        print(f"  {name}: {' + '.join(map(str, counts))}")
    if (more := len(splits.classes) - SHOWN_CLASSES) > 0:
        print(f"  and {more} classes more")
    for reason in splits.skipped:
        print(f"warning: left out: {reason}", file=sys.stderr)


def follow(training: "Training") -> None:
    """Trains to the end. Ctrl-C and SIGTERM save first, then end the program."""
    from rich.console import Console

    show = _live if Console().is_terminal else _plain
    with _stop_requests() as stop, show(training) as report:
        for record in training:
            report(record)
            if stop:
                break
    if stop and training.test is None:
        saved = training.save()
        print(
            f"stopped; step {training.state.step} is saved in {saved}; go on with: "
            f"{command()} train --resume {training.directory}"
        )
        raise typer.Exit(ENDED_BY + stop[0])


def conclude(training: "Training") -> None:
    """The test error, what is taken for what, and where the run is."""
    assert training.test is not None
    print_evaluation(training.test)
    print(f"\nrun: {training.directory}")


def command() -> str:
    """This program as it must be typed here: by its name where it is found, else by its path."""
    from shutil import which

    here = Path(sys.argv[0])
    if which(here.name):
        return here.name
    beside = here.absolute()
    return str(beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd()) else beside)


def print_evaluation(evaluation: "Evaluation") -> None:
    """Errors and the confusion table, or of many classes those that are worst."""
    print(
        f"\ntest error {evaluation.top1_error:.2f} % (top-5 {evaluation.top5_error:.2f} %) "
        f"of {evaluation.images} pictures, {evaluation.protocol} view, {evaluation.seconds:.1f} s"
    )
    if len(evaluation.classes) > SHOWN_CLASSES:
        _print_worst(evaluation)
    else:
        _print_confusion(evaluation)


def _print_confusion(evaluation: "Evaluation") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    print("rows: what it is; columns: what it was called")
    table = Table(box=None, padding=(0, 1))
    table.add_column("")
    for i in range(len(evaluation.classes)):
        table.add_column(str(i), justify="right", no_wrap=True)
    table.add_column("recall %", justify="right", no_wrap=True)
    for i, (name, row) in enumerate(zip(evaluation.classes, evaluation.confusion, strict=True)):
        cells = [str(count or "·") for count in row]
        cells[i] = f"[bold]{cells[i]}[/]"
        label = name if name == str(i) else f"{i} {escape(name)}"
        table.add_row(label, *cells, f"{evaluation.recall[i]:.1f}")
    Console().print(table)


def _print_worst(evaluation: "Evaluation") -> None:
    worst = sorted(zip(evaluation.recall, evaluation.classes, strict=True))[:10]
    print("classes least often recognised:")
    for recall, name in worst:
        print(f"  {recall:5.1f} %  {name}")


@contextmanager
def _live(training: "Training") -> Iterator[Any]:
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("pass {task.fields[epoch]}"),
        BarColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns) as progress:
        task = progress.add_task("", epoch="", figures="", total=None)
        validated = ""
        next_read = 0.0

        def report(record: "Record") -> None:
            nonlocal validated, next_read
            if record.validation is not None:
                validated = f", validation {record.validation.top1_error:.2f} %"
            elif progress.get_time() < next_read:  # reading the figures waits for the device
                return
            next_read = progress.get_time() + 0.1
            progress.update(
                task,
                completed=record.step,
                total=record.steps,
                epoch=f"{record.epoch}/{record.epochs}",
                figures=f"rate {record.rate:.2g}, loss {record.loss:.3f}, "
                f"error {record.error:.2f} %{validated}",
            )

        yield report


@contextmanager
def _plain(training: "Training") -> Iterator[Any]:
    def report(record: "Record") -> None:
        if (validation := record.validation) is not None:
            print(
                f"pass {record.epoch}/{record.epochs}: rate {record.rate:.2g}, "
                f"loss {record.loss:.4f}, error {record.error:.2f} %, "
                f"validation loss {validation.loss:.4f}, error {validation.top1_error:.2f} %",
                flush=True,
            )

    yield report


@contextmanager
def _stop_requests() -> Iterator[list[int]]:
    """Where Ctrl-C and SIGTERM leave their number; a second one ends the program as usual."""
    requested: list[int] = []
    before: dict[int, Any] = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}

    def request(number: int, frame: object) -> None:
        requested.append(number)
        signal.signal(number, before[number])

    for number in before:
        signal.signal(number, request)
    try:
        yield requested
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
