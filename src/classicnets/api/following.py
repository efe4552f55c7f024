"""Runs followed from outside: how far each is, and whether a process trains it now.

All of it is read from their directories, so it does not matter who began them.
"""

import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from typing import Any

from classicnets.support.errors import plain_reason
from classicnets.support.files import lock_holder
from classicnets.training.run.curves import EpochMetrics
from classicnets.training.run.directory import Run, open_run

TRAINING, STOPPED, ENDED, DIVERGED, DAMAGED = "training", "stopped", "ended", "diverged", "damaged"


@dataclass(frozen=True)
class Followed:
    """A run: what it is, its epochs so far, and its state, one of those above.

    Errors are in %. `test` has the fields of an `Evaluation` once the run has ended. `process` is
    the id of the one that trains it, 0 where there is none. A damaged run has only its `reason`.
    """

    directory: Path
    state: str
    network: str = ""
    data: str = ""
    recipe: str = ""
    length: int = 0
    epochs: tuple[EpochMetrics, ...] = ()
    test: Mapping[str, Any] = field(default_factory=dict)
    parameters: int | None = None
    process: int = 0
    reason: str = ""

    @property
    def name(self) -> str:
        return self.directory.name

    @property
    def test_error(self) -> float | None:
        """The error on the test part; None until the run has ended."""
        return self.test.get("top1_error")

    @property
    def has_weights(self) -> bool:
        """Whether it can predict: the best weights so far are there."""
        return (self.directory / "weights.safetensors").exists()

    @property
    def best_error(self) -> float | None:
        """The best error on validation."""
        return (
            min(self.epochs, key=attrgetter("rank")).validation_top1_error if self.epochs else None
        )

    @property
    def seconds_left(self) -> float | None:
        """What the epochs to come take if they take as long as the last ones; None at first."""
        last = [epoch.seconds for epoch in self.epochs[-3:]]
        return (self.length - len(self.epochs)) * sum(last) / len(last) if last else None


def follow(directory: str | Path) -> Followed:
    """A run as it is now. Raises a ValueError where there is none."""
    directory = Path(directory)
    if not (directory / "run.json").exists():
        raise ValueError(f"no run at {directory}")
    process = lock_holder(directory)
    try:
        run = _opened(directory, _times(directory))
    except (ValueError, OSError) as error:
        return Followed(directory, DAMAGED, process=process, reason=plain_reason(error))
    config, test = run.config, run.notes.get("test") or {}
    state = TRAINING if process else ENDED if run.ended else STOPPED
    return Followed(
        directory,
        DIVERGED if run.notes.get("diverged") else state,
        network=config.network,
        data=config.data,
        recipe=config.recipe.cite,
        length=config.epochs,
        epochs=tuple(run.epochs),
        test=test,
        parameters=run.notes.get("parameters"),
        process=process,
        reason=str(run.notes.get("diverged") or run.notes.get("stopped_early") or ""),
    )


def list_runs(folder: str | Path) -> Sequence[Followed]:
    """The runs in a folder, the one that changed last first."""
    found = [file.parent for file in Path(folder).glob("*/run.json")]
    return [follow(one) for one in sorted(found, key=_times, reverse=True)]


def stop(directory: str | Path) -> None:
    """Asks the process that trains a run to save it and end, as Ctrl-C does.

    Raises a ValueError where none does.
    """
    process = lock_holder(Path(directory))
    if not process:
        raise ValueError(f"no process trains in {directory}")
    os.kill(process, signal.SIGINT)


def _times(directory: Path) -> tuple[int, ...]:
    """When the files of a run changed last, the later of both first."""
    files = [directory / name for name in ("run.json", "metrics.jsonl")]
    times = [file.stat().st_mtime_ns for file in files if file.exists()]
    return tuple(sorted(times, reverse=True))


@lru_cache(1000)
def _opened(directory: Path, times: tuple[int, ...]) -> Run:
    """A run as it is at these times."""
    return open_run(directory)
