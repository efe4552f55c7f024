"""Looks into many files on all cores: in processes, since Python does so on one core at a time.

As a program, `python -m classicnets.data.readers` answers each list of files, and `channels`, with
what `image_size` or `content_digest` says of each file, None where one fails. Other than
`multiprocessing` it does not run an unguarded script again, and starts from a daemon; and it
imports no torch, so that it starts at once.
"""

import os
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from subprocess import DEVNULL, PIPE, Popen
from typing import Any

from classicnets.support.files import content_digest
from classicnets.support.progress import progress

from .image_file import VARIABLE, image_size, max_pixels, reading
from .tar import Member

LEAST = 2_000  # files for each process; fewer are read as fast without
MOST = 64  # files that a thread takes at a time

File = str | Path | Member
Ask = Callable[[range], list[Any]]


@contextmanager
def asking(files: Sequence[File], channels: int | None, cores: int) -> Iterator[Ask]:
    """A function that asks processes for the `image_size` of some files with these `channels`, or
    with None for the `content_digest`. It gives None for files that they cannot read, that are too
    few, or where they do not start.
    """
    count = min(cores, len(files) // LEAST)
    started: list[Popen[bytes]] = []
    idle: SimpleQueue[Popen[bytes]] = SimpleQueue()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, filter(None, sys.path)))}
    environment["OMP_NUM_THREADS"] = "1"
    # together they decode no more at a time than one process; what is larger is left to that
    environment[VARIABLE] = str(max(1, max_pixels() // max(1, count)))
    command = [sys.executable, "-P", "-m", "classicnets.data.readers"]

    def ask(part: range) -> list[Any]:
        if started:
            process = idle.get()
            try:
                assert process.stdin
                assert process.stdout
                pickle.dump((channels, [files[i] for i in part]), process.stdin)
                process.stdin.flush()
                return pickle.load(process.stdout)  # of our own process
            except (OSError, EOFError, pickle.UnpicklingError):
                pass  # it was killed, or cannot start here
            finally:
                idle.put(process)
        return [None] * len(part)

    try:
        with suppress(OSError):
            for _ in range(count if count > 1 else 0):  # a session of its own: without Ctrl-C
                started.append(Popen(command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL,
                                     env=environment, start_new_session=True))  # fmt: skip
                idle.put(started[-1])
        yield ask
    finally:
        for process in started:
            process.kill()
            with suppress(OSError):  # what it has not taken
                process.communicate()


def for_each(
    look: Callable[[int], Any],
    keep: Callable[[int, Any], None],
    count: int,
    threads: int,
    task: str = "",
    ask: Ask = lambda part: [None] * len(part),
) -> dict[int, str]:
    """Keeps what is answered for 0 to count - 1, or what `look` returns where nothing is, in
    threads; index -> reason where that raises ValueError.

    The reasons are in order of the indices. Progress of a `task` is reported.
    """
    report = progress.get()
    at_once = max(1, min(MOST, count // (MOST * threads)))
    parts = [range(i, min(i + at_once, count)) for i in range(0, count, at_once)]

    def attempt(part: range) -> list[tuple[int, str]]:
        reasons = []
        for i, answer in zip(part, ask(part), strict=True):
            try:
                keep(i, answer or look(i))
            except ValueError as error:
                reasons.append((i, str(error)))
        return reasons

    def followed(outcomes: Iterator[list[tuple[int, str]]]) -> dict[int, str]:
        found: dict[int, str] = {}
        for part, reasons in zip(parts, outcomes, strict=True):
            found.update(reasons)
            if task:
                report(task, part.stop, count)
        return found

    max_pixels()  # refuses a wrong setting, which the files did not cause
    with reading:
        if threads == 1:  # as in a loader's worker process
            return followed(map(attempt, parts))
        pool = ThreadPoolExecutor(threads)
        try:
            return followed(pool.map(attempt, parts))
        finally:
            pool.shutdown(cancel_futures=True)


def _answer(file: File, channels: int | None) -> Any:
    try:
        return content_digest(str(file)) if channels is None else image_size(file, channels)
    except Exception:  # whoever asked finds out why
        return None


if __name__ == "__main__":
    with reading, suppress(EOFError):
        while True:
            channels, files = pickle.load(sys.stdin.buffer)  # of who has started this
            pickle.dump([_answer(file, channels) for file in files], sys.stdout.buffer)
            sys.stdout.buffer.flush()
