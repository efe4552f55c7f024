"""The verb train: a live line on a terminal, a plain line per pass where there is none."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from datetime import timedelta
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import torch

    from classicnets.api.train import Training
    from classicnets.evaluation.metrics import Evaluation
    from classicnets.training.run.loop import Record

ENDED_BY = 128  # and the number of the signal is what a shell reports for a command ended by one
MEASURED = 10  # seconds of a long training, before it is said how long it will be
SHOWN_CLASSES = 20  # beyond, a confusion table is no longer readable


def train(
    network: Annotated[str, typer.Argument(help="a name, or path/to/file.py:builder")] = "",
    data: Annotated[str, typer.Option(help="digits (the default), another set, or a path")] = "",
    recipe: Annotated[str, typer.Option(help="paper, fast, or your FILE.py[:NAME]")] = "",
    epochs: Annotated[
        int | None, typer.Option(help="passes; the schedule keeps its proportions")
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="field=value of the recipe; once or more")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="a new directory for the run")] = None,
    resume: Annotated[Path | None, typer.Option(help="a run to go on with")] = None,
    seed: Annotated[
        int | None, typer.Option(help="of initial values, order and augmentation; else 0")
    ] = None,
    unreadable: Annotated[str, typer.Option(help="skip or refuse files that are; else skip")] = "",
    track: Annotated[
        list[str] | None, typer.Option(help="tensorboard, trackio or wandb; once or more")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    workers: Annotated[int | None, typer.Option(help="processes that read ahead")] = None,
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16")] = "",
    layout: Annotated[str, typer.Option(help="auto, channels_first or channels_last")] = "",
    compiled: Annotated[
        bool | None, typer.Option("--compile/--no-compile", help="by torch.compile; else not")
    ] = None,
    graph: Annotated[
        bool | None, typer.Option("--graph/--no-graph", help="each step a CUDA graph; else auto")
    ] = None,
) -> None:
    """Train a network by its paper's recipe, on digits or on your own pictures."""
    import classicnets as cn
    from classicnets.training.execution.execution import Execution

    from .progress import bars
    from .track import require, tracking

    overrides = _overrides(changes or [])
    require(track or [])
    if resume is not None:
        fixed = {
            "the network's name": network,
            "--data": data,
            "--recipe": recipe,
            "--epochs": epochs,
            "--set": changes,
            "--out": out,
            "--seed": seed,
            "--unreadable": unreadable,
            "--precision": precision,
            "--layout": layout,
            "--compile": compiled,
            "--graph": graph,
        }
        if given := [name for name, value in fixed.items() if value not in ("", None)]:
            raise ValueError(f"--resume goes on as the run began; leave {', '.join(given)} away")
        start = partial(cn.resume, resume, device=device, workers=workers)
    elif not network:
        raise ValueError("train needs the name of a network; `classicnets list` has them")
    else:
        start = partial(
            cn.train,
            network,
            data or "digits",
            recipe=recipe or None,
            epochs=epochs,
            out=out,
            seed=seed or 0,
            device=device,
            overrides=overrides,
            execution=Execution(precision or "auto", layout or "auto", bool(compiled), graph),
            workers=workers,
            unreadable=unreadable or "skip",
        )
    with _said_once():
        with bars():  # of what has to be downloaded first
            training = start()
        with tracking([] if _is_helper() else track or [], training) as write:
            introduce(training)
            follow(training, write)
            conclude(training)


def _overrides(given: list[str]) -> dict[str, str]:
    changes: dict[str, str] = {}
    for change in given:
        name, sign, value = change.partition("=")
        if not sign or not name:
            raise ValueError(f"--set takes field=value, such as batch=64, not {change!r}")
        if name in changes:
            raise ValueError(f"--set {name} is given twice")
        changes[name] = value
    return changes


def _is_helper() -> bool:
    """Whether torchrun started this process beside the first one, which speaks for all."""
    return int(os.environ.get("RANK", "0")) > 0


@contextmanager
def _said_once() -> Iterator[None]:
    with ExitStack() as stack:
        if _is_helper():
            nowhere = stack.enter_context(Path(os.devnull).open("w"))
            stack.enter_context(redirect_stdout(nowhere))
            stack.enter_context(redirect_stderr(nowhere))
        yield


def introduce(training: "Training") -> None:
    """What is about to be trained, by which recipe, on how many pictures."""
    recipe, splits = training.recipe, training.splits
    parts = splits.sizes
    number, unit = (recipe.steps, "step") if recipe.steps else (recipe.epochs or 0, "epoch")
    length = f"{number:,} {unit}{'s' * (number != 1)}"
    print(f"{training.config.network} by {recipe.cite}")
    print(f"{length} in batches of {recipe.batch}, {recipe.optimizer}, {recipe.lr}, {recipe.loss}")
    for name, reason in recipe.assumed.items():
        print(f"  assumed {name}: {reason}")
    for name, reason in (training.adapted or {}).items():
        print(f"  adapted {name}: {reason}")
    for name, (ours, paper) in training.config.differences.items():
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
    for pair in splits.duplicates:
        print(f"warning: {pair}", file=sys.stderr)
    if training.chosen:
        print(f"steps: {training.chosen}")


def follow(training: "Training", write: "Callable[[Record], None]" = lambda record: None) -> None:
    """Trains to the end, and writes records. Ctrl-C and SIGTERM save first, then end the program.

    Of several processes the first one stops and saves; the others end when it has left.
    """
    from rich.console import Console

    show = _live if Console().is_terminal else _plain
    forecast = _forecast(training)
    with _stop_requests() as stop:
        with show(training) as report:
            try:
                for record in training:
                    report(record)
                    forecast(record)
                    write(record)
                    if stop and not _is_helper():
                        break
            except RuntimeError:  # the first process has left
                if not (stop and _is_helper()):
                    raise
        if stop and training.test is None:
            if not _is_helper():
                saved = training.save()
                print(
                    f"stopped; step {training.state.step} is saved in {saved}; go on with: "
                    f"{command()} train --resume {training.directory}"
                )
            raise typer.Exit(ENDED_BY + stop[0])


def _forecast(training: "Training") -> "Callable[[Record], None]":
    """Says once, after the first seconds of a long training, what it will take."""
    device = training.state.totals.device
    began, first = 0.0, 0

    def forecast(record: "Record") -> None:
        nonlocal began, first
        if not first:  # the first step is slower than those that follow
            began, first = perf_counter(), record.step
        if began < 0 or perf_counter() - began < MEASURED or record.step < first + 5:
            return
        _ = record.loss  # waits for the device
        left = (perf_counter() - began) / (record.step - first) * (record.steps - record.step)
        began = -1.0
        if left > 60:
            time = timedelta(seconds=round(left))
            print(f"about {time} left{_peak_memory(device)}", flush=True)

    return forecast


def _peak_memory(device: "torch.device") -> str:
    """The most memory in use until now, of the GPU or of this process, where that is known."""
    if device.type == "cuda":
        import torch

        used = torch.cuda.max_memory_allocated(device)
    elif sys.platform == "linux":
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    else:
        return ""
    return f"; at most {used / 2**30:.2f} GiB of memory so far"


def conclude(training: "Training") -> None:
    """The test error, what is taken for what, and where the run is."""
    assert training.test is not None
    print_evaluation(training.test)
    print(f"\nrun: {training.directory}")


def command() -> str:
    """This program as it must be typed here: by its name where it is found, else by its path."""
    from shutil import which

    here = Path(sys.argv[0])
    if here.name == "__main__.py":
        return "python -m classicnets"
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
    from rich.table import Column

    columns = (
        TextColumn("epoch {task.fields[epoch]}"),
        BarColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(table_column=Column(no_wrap=True, min_width=7)),
        TextColumn("left"),
    )
    with Progress(*columns) as progress:
        task = progress.add_task("", epoch="", figures="", total=None)
        validated = ""
        next_read = 0.0

        def report(record: "Record") -> None:
            nonlocal validated, next_read
            if record.validation is not None:
                validated = f", validation {record.validation.top1_error:.1f} %"
            elif progress.get_time() < next_read:  # reading the figures waits for the device
                return
            next_read = progress.get_time() + 0.1
            progress.update(
                task,
                completed=record.step,
                total=record.steps,
                epoch=f"{record.epoch}/{record.epochs}",
                figures=f"lr {record.lr:.2g}, loss {record.loss:.3g}, "
                f"error {record.error:.1f} %{validated}",
            )

        yield report


@contextmanager
def _plain(training: "Training") -> Iterator[Any]:
    def report(record: "Record") -> None:
        if (validation := record.validation) is not None:
            print(
                f"epoch {record.epoch}/{record.epochs}: lr {record.lr:.2g}, "
                f"loss {record.loss:.4f}, error {record.error:.2f} %, "
                f"validation loss {validation.loss:.4f}, error {validation.top1_error:.2f} %",
                flush=True,
            )

    yield report


@contextmanager
def _stop_requests() -> Iterator[list[int]]:
    """Where Ctrl-C and SIGTERM leave their number; a second one ends the program as usual.

    Not under torchrun, which passes on what a scheduler has sent to every process already.
    """
    requested: list[int] = []
    before: dict[int, Any] = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}

    def request(number: int, frame: object) -> None:
        requested.append(number)
        if "RANK" not in os.environ:
            signal.signal(number, before[number])

    for number in before:
        signal.signal(number, request)
    try:
        yield requested
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
