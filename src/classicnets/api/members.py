"""Training many runs in processes of their own: the engine of an experiment.

A process (`worker`) reads jobs, a line of JSON each, and answers with lines of JSON. When its input
ends, as when this process is killed, it saves a checkpoint and ends too. A faster way to train
several runs at once would be another `Pool` with the same `train`.
"""

import json
import os
import queue
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from subprocess import PIPE, Popen
from threading import Lock, Thread
from typing import IO, Any

from classicnets.support.errors import is_typed

TYPED = "typed"  # says to a process that its messages are for the command line
PATIENCE = 60  # seconds that a process has to save its state and end


@dataclass(frozen=True)
class Job:
    """A run to train, with what `train` takes; begun before, it resumes from its checkpoint.

    Unless it `tests` the test images are not looked at.
    """

    directory: str
    network: str
    data: str
    recipe: str | None
    epochs: int | None
    overrides: dict[str, str]
    seed: int
    device: str
    tests: bool
    allow_missing_classes: bool
    init_from: str | None = None


@dataclass(frozen=True)
class Progress:
    """How far a run is; `validation` is the error in % of its last epoch, `ended` whether it has
    come to its end or diverged."""

    directory: str
    step: int = 0
    steps: int = 0
    validation: float | None = None
    ended: bool = False


class Pool:
    """Processes that train runs, `threads` threads each. What they print goes into a file."""

    def __init__(self, processes: int, threads: int, log: Path):
        self.log = log.open("ab")
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        command = [sys.executable, "-P", "-m", "classicnets.api.worker", str(threads)]
        command += [TYPED] * is_typed()
        self.processes = [
            # a session of its own: Ctrl-C is for this process only
            Popen(
                command,
                stdin=PIPE,
                stdout=PIPE,
                stderr=self.log,
                env=environment,
                start_new_session=True,
            )
            for _ in range(processes)
        ]

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the processes, each with a checkpoint of what it trains."""
        for process in self.processes:
            with suppress(OSError):
                _pipe(process.stdin).close()
        for process in self.processes:
            try:
                process.wait(PATIENCE)
            except BaseException:
                process.kill()
                process.wait()
                raise
            finally:
                _pipe(process.stdout).close()
        self.log.close()

    def stop(self, directory: str) -> None:
        """Ends the training of a run before its length, after the step that it is at."""
        for process in self.processes:
            with suppress(BrokenPipeError):
                _pipe(process.stdin).write(json.dumps({"stop": directory}).encode() + b"\n")
                _pipe(process.stdin).flush()

    def train(self, jobs: Iterable[Job]) -> Iterator[Progress]:
        """Trains these runs, each as soon as a process is free, and yields how they come on.

        Raises a ValueError with the reason of the first that fails, but not for one that diverges.
        """
        pending, lock = iter(jobs), Lock()
        answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        for process in self.processes:
            arguments = (process, pending, lock, answers.put)
            Thread(target=_drive, args=arguments, daemon=True).start()
        left = len(self.processes)
        while left:
            answer = answers.get()
            if "idle" in answer:
                left -= 1
            elif "failed" in answer:
                raise ValueError(answer["failed"])
            else:
                yield Progress(**answer)


def _drive(
    process: "Popen[bytes]",
    pending: Iterator[Job],
    lock: Lock,
    put: Callable[[dict[str, Any]], None],
) -> None:
    """Gives a process one job after another, and passes on what it answers."""
    try:
        while True:
            with lock:
                job = next(pending, None)
            if job is None:
                break
            _require_answers(process, job, put)
    except Exception as error:  # whatever it is, the main thread has to know
        put({"failed": str(error)})
    put({"idle": True})


def _require_answers(
    process: "Popen[bytes]", job: Job, put: Callable[[dict[str, Any]], None]
) -> None:
    with suppress(BrokenPipeError):
        _pipe(process.stdin).write(json.dumps(asdict(job)).encode() + b"\n")
        _pipe(process.stdin).flush()
    for line in _pipe(process.stdout):
        put(answer := json.loads(line))
        if answer.get("ended") or "failed" in answer:
            return
    raise ValueError(
        f"the process that trained {job.directory} ended with status {process.wait()}; "
        "it may have run out of memory; with fewer --processes each has more"
    )


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream
