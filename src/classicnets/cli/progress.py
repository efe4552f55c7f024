"""Bars on a terminal for what takes long before there is anything to print."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def bars() -> Iterator[Callable[[str, int, int], None]]:
    """What is called with a name, how much of it is done, and of how much; downloads call it too.

    Nothing is drawn where there is no terminal, and nothing stays on it.
    """
    from rich.console import Console
    from rich.progress import Progress

    from classicnets.data import download

    drawn = Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    tasks = {}

    def tell(name: str, done: int, total: int) -> None:
        if name not in tasks:
            tasks[name] = drawn.add_task(name, total=total)
        drawn.update(tasks[name], completed=done, total=total)

    before = download.progress.set(tell)
    try:
        with drawn:
            yield tell
    finally:
        download.progress.reset(before)
