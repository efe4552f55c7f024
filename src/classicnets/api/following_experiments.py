"""Experiments followed from outside: how far each is, and what it has come to.

All of it is read from their directories, as `following` does for runs.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from classicnets.experiments.outcomes import RUNS
from classicnets.experiments.plan import PLAN, read_plan
from classicnets.experiments.report import ExperimentReport
from classicnets.support.errors import plain_reason
from classicnets.support.files import lock_holder

from .following import DAMAGED, DIVERGED, ENDED, STOPPED, TRAINING, Followed, list_runs
from .paired import Experiment


@dataclass(frozen=True)
class FollowedExperiment:
    """An experiment: what it compares on what, and how many of its runs have ended.

    `state` is as in `Followed`, and so are `process` and `reason`; `runs` are those in training
    now.
    """

    directory: Path
    state: str
    variants: tuple[str, ...] = ()
    data: str = ""
    done: int = 0
    total: int = 0
    runs: tuple[Followed, ...] = ()
    process: int = 0
    reason: str = ""

    @property
    def name(self) -> str:
        return self.directory.name

    @property
    def fraction(self) -> float:
        """How much of all its runs has been trained."""
        begun = sum(len(run.epochs) / max(1, run.length) for run in self.runs)
        return min(1.0, (self.done + begun) / max(1, self.total))


def follow_experiment(directory: str | Path) -> FollowedExperiment:
    """An experiment as it is now. Raises a ValueError where there is none."""
    directory = Path(directory)
    if not (directory / PLAN).exists():
        raise ValueError(f"no experiment at {directory}")
    process = lock_holder(directory)
    runs = list_runs(directory / RUNS)
    done = sum(run.state in (ENDED, DIVERGED) for run in runs)
    try:
        experiment = _read(directory, _changed(directory / PLAN), done)
    except (ValueError, OSError) as error:
        reason = plain_reason(error)
        return FollowedExperiment(directory, DAMAGED, process=process, reason=reason)
    plan, total = experiment.plan, experiment.total
    state = TRAINING if process else ENDED if done >= total else STOPPED
    begun = tuple(run for run in runs if run.state in (TRAINING, STOPPED))
    names = tuple(plan.names)
    return FollowedExperiment(directory, state, names, plan.data, done, total, begun, process)


def list_experiments(folder: str | Path) -> list[FollowedExperiment]:
    """The experiments in a folder, the one that changed last first."""
    plans = sorted(Path(folder).glob(f"*/{PLAN}"), key=_changed, reverse=True)
    return [follow_experiment(path.parent) for path in plans]


def report_of(directory: str | Path) -> ExperimentReport | None:
    """The report on the pairs that have ended, anew from their runs; None where they are too few.

    Raises a ValueError for an experiment that is damaged.
    """
    directory = Path(directory)
    done = follow_experiment(directory).done
    return _read(directory, _changed(directory / PLAN), done).so_far()


@lru_cache(16)
def _read(directory: Path, changed: int, done: int) -> Experiment:
    """An experiment with what has ended of it; `changed` and `done` tell whether that is new."""
    plan = read_plan(directory)
    assert plan is not None
    return Experiment(directory, plan, None)


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns
