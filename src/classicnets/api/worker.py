"""A process that trains runs for an experiment; see `members`."""

import json
import os
import queue
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from threading import Event, Thread
from time import perf_counter
from typing import Any

import torch
from filelock import FileLock

from classicnets.data.sets import keep_data
from classicnets.support.errors import on_command_line, one_line
from classicnets.support.files import LOCK
from classicnets.support.machine import keep_memory
from classicnets.training.recipe.recipe import custom_parts
from classicnets.training.run import loop
from classicnets.training.run.directory import open_run
from classicnets.training.run.state import Record

from .members import PATIENCE, TYPED, Job
from .resume import resume
from .train import Training, train

EVERY = 0.5  # seconds between two reports of the same run


def main() -> None:
    """What one of the processes does: it trains the jobs it reads."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a network of your own prints does not answer
    keep_memory()
    torch.set_num_threads(int(sys.argv[1]))
    jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
    stop = Event()
    ended: set[str] = set()  # directories of runs that are to end before their length

    def answer(**content: Any) -> None:
        try:
            print(json.dumps(content), file=answers, flush=True)
        except OSError:  # nobody reads any more
            stop.set()

    Thread(target=_listen, args=(jobs, stop, ended), daemon=True).start()
    with keep_data(), on_command_line() if TYPED in sys.argv[2:] else nullcontext():
        for job in iter(jobs.get, None):
            try:
                _train(job, stop, ended, answer)
            except (ValueError, OSError) as error:
                where = "" if job.directory in str(error) else f"{job.directory}: "
                answer(failed=f"{where}{error}")
            except Exception as error:  # anything can happen in a network of your own
                answer(failed=f"{job.directory}: {one_line(error)}")
            if stop.is_set():
                break
    with suppress(OSError):
        answers.close()


def _listen(jobs: "queue.SimpleQueue[Job | None]", stop: Event, ended: set[str]) -> None:
    for line in sys.stdin:
        content = json.loads(line)
        if "stop" in content:
            ended.add(content["stop"])
        else:
            jobs.put(Job(**content))
    stop.set()
    jobs.put(None)


def _train(job: Job, stop: Event, ended: set[str], answer: Callable[..., None]) -> None:
    """Trains one run to its end, or until it is to stop, and notes that it has ended."""
    training, reported = _begin(job), perf_counter()
    training.run.draws = False
    epochs = training.run.epochs
    validation = epochs[-1].validation_top1_error if epochs else None
    try:
        for record in _records(job, training):
            if record.validation is not None:
                validation = record.validation.top1_error
            if stop.is_set():
                training.save()
                return
            if job.directory in ended:
                training.save()
                break
            if record.validation is not None or perf_counter() - reported > EVERY:
                reported = perf_counter()
                place = {"step": record.step, "steps": record.steps, "validation": validation}
                answer(directory=job.directory, **place)
        training.run.note(ended=True)
    except loop.Diverged as error:
        training.run.note(ended=True, diverged=str(error))
    answer(directory=job.directory, validation=validation, ended=True)


def _records(job: Job, training: Training) -> Iterator[Record]:
    """The records of a run, which looks at the test images after the last one if it is to."""
    if job.tests:
        yield from training
        return
    steps = iter(training)
    while not loop.has_ended(training.state, training.config):
        yield next(steps)


def _begin(job: Job) -> Training:
    """The training of a run, new or as far as it is."""
    directory = Path(job.directory)
    if (directory / "run.json").exists():
        with FileLock(directory / LOCK, timeout=PATIENCE):
            pass  # a process of an experiment that was killed may still be saving
        own = next(custom_parts(open_run(directory).config.recipe), None) is not None
        network = job.network if ".py" in job.network else None
        recipe = job.recipe if own else None
        return resume(directory, network, device=job.device, recipe=recipe)
    return train(
        job.network,
        job.data,
        recipe=job.recipe,
        epochs=job.epochs,
        out=directory,
        seed=job.seed,
        device=job.device,
        overrides=job.overrides,
        allow_missing_classes=job.allow_missing_classes,
        init_from=job.init_from,
    )


if __name__ == "__main__":
    main()
