"""Progress on the terminal: bars for downloads and measurements, and the progress of training."""

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import timedelta
from time import perf_counter
from typing import TYPE_CHECKING, Any

from .terminal import console

if TYPE_CHECKING:
    import torch

    from classicnets.api.train import Training
    from classicnets.training.run.state import Record

Show = Callable[["Record"], None]

MEASURED = 10  # seconds of training from which the remaining time is estimated
LONG = 60  # seconds left from which the estimate is printed
EVERY = 10  # seconds from line to line where there is no terminal
REFRESH = 0.1  # seconds; reading the figures of a record waits for the device


@contextmanager
def bars() -> Iterator[Callable[[str, int, int], None]]:
    """Yields a function of (name, done, total) that draws a bar on stderr.

    Downloads and the reading of images draw bars too, which vanish at the end. Where stderr is not
    a terminal these print a line now and then.
    """
    from classicnets.support.progress import progress

    drawn: Any = None  # before there is something to draw
    tasks = {}

    def update(name: str, done: int, total: int) -> None:
        nonlocal drawn
        if drawn is None:
            from rich.progress import Progress

            drawn = stack.enter_context(Progress(console=console(stderr=True), transient=True))
        if name not in tasks:
            tasks[name] = drawn.add_task(name, total=total)
        drawn.update(tasks[name], completed=done, total=total)

    terminal = sys.stderr.isatty()
    token = progress.set(update if terminal else _lines())
    try:
        with ExitStack() as stack:
            yield update if terminal else lambda name, done, total: None
    finally:
        progress.reset(token)


def _lines() -> Callable[[str, int, int], None]:
    """A function of (name, done, total) that prints a line on stderr every few seconds."""
    printed = perf_counter()

    def update(name: str, done: int, total: int) -> None:
        nonlocal printed
        if perf_counter() - printed >= EVERY:
            printed = perf_counter()
            print(f"{name}: {done:,} of {total:,}", file=sys.stderr, flush=True)

    return update


@contextmanager
def training_progress(training: "Training") -> Iterator[Show]:
    """Yields a function that shows each record: in one live line, or in a pipe one line per epoch.

    A long training prints an estimate of its remaining time once.
    """
    show: AbstractContextManager[Show] = _live_line() if console().is_terminal else _epoch_lines()
    estimate = _estimate(training.state.totals.device)
    with show as update:

        def report(record: "Record") -> None:
            update(record)
            estimate(record)

        yield report


@contextmanager
def _live_line() -> Iterator[Show]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column

    columns = (
        TextColumn("epoch {task.fields[epoch]}"),
        BarColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(table_column=Column(no_wrap=True, min_width=7)),
        TextColumn("left"),
    )
    with Progress(*columns, console=console()) as progress:
        task = progress.add_task("", epoch="", figures="", total=None)
        validation = ""
        next_read = 0.0

        def update(record: "Record") -> None:
            nonlocal validation, next_read
            if record.validation is not None:
                validation = f", validation {record.validation.top1_error:.1f} %"
            elif progress.get_time() < next_read:
                return
            next_read = progress.get_time() + REFRESH
            progress.update(
                task,
                completed=record.step,
                total=record.steps,
                epoch=f"{record.epoch}/{record.epochs}",
                figures=f"lr {_rates(record)}, loss {record.loss:.3g}, "
                f"error {record.error:.1f} %{validation}",
            )

        yield update


def _rates(record: "Record") -> str:
    """The learning rate at the first step of the epoch and now."""
    first, now = f"{record.first_lr:.4g}", f"{record.lr:.4g}"
    return now if first == now else f"{first} to {now}"


@contextmanager
def _epoch_lines() -> Iterator[Show]:
    def update(record: "Record") -> None:
        if (validation := record.validation) is not None:
            print(
                f"epoch {record.epoch}/{record.epochs}: lr {_rates(record)}, "
                f"loss {record.loss:.4f}, error {record.error:.2f} %, "
                f"validation loss {validation.loss:.4f}, error {validation.top1_error:.2f} %",
                flush=True,
            )

    yield update


def _estimate(device: "torch.device") -> Show:
    """Prints the remaining time once, after the first seconds of a long training."""
    began, first, done = 0.0, 0, False

    def update(record: "Record") -> None:
        nonlocal began, first, done
        if not first:  # the first step is slower than those that follow
            began, first = perf_counter(), record.step
        if done or perf_counter() - began < MEASURED or record.step < first + 5:
            return
        _ = record.loss  # waits for the device
        left = (perf_counter() - began) / (record.step - first) * (record.steps - record.step)
        done = True
        if left > LONG:
            time = timedelta(seconds=round(left))
            print(f"about {time} left{_peak_memory(device)}", flush=True)

    return update


def _peak_memory(device: "torch.device") -> str:
    """The peak memory so far, of the GPU or of this process; empty where it is unknown."""
    from classicnets.support.devices import peak_memory

    used = peak_memory(device)
    return "" if math.isnan(used) else f"; peak memory so far {used / 2**30:.2f} GiB"
