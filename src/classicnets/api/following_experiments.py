"""Experiments followed from outside: how far each is, and what it has come to.

All of it is read from their directories, as `following` does for runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from classicnets.experiments.outcomes import RUNS
from classicnets.experiments.plan import PLAN, TABLE, TRIALS, read_plan
from classicnets.experiments.report import ExperimentReport
from classicnets.support.errors import plain_reason
from classicnets.support.files import lock_holder

from .following import DAMAGED, DIVERGED, ENDED, STOPPED, TRAINING, Followed, list_runs
from .paired import Experiment


@dataclass(frozen=True)
class FollowedExperiment:
    """An experiment: what it compares on what, and how many of its runs have ended.

    `state` is as in `Followed`, and so are `process` and `reason`; `runs` are those in training
    now. While values are searched, `searching` is true, the runs are trials of which `best` is the
    best so far by validation, and `total` is 0: how many there will be is not kept.
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
    searching: bool = False
    best: Followed | None = None

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
    searching = not (directory / PLAN).exists()
    place = directory / TRIALS if searching else directory
    if not (place / PLAN).exists():
        raise ValueError(f"no experiment at {directory}")
    process = lock_holder(directory)
    runs = list_runs(place / RUNS)
    done = sum(run.state in (ENDED, DIVERGED) for run in runs)
    begun = tuple(run for run in runs if run.state in (TRAINING, STOPPED))
    try:
        if searching:
            return _search(directory, runs, done, begun, process)
        experiment = _read(directory, _changed(directory / PLAN), done)
    except (ValueError, OSError) as error:
        reason = plain_reason(error)
        return FollowedExperiment(directory, DAMAGED, process=process, reason=reason)
    plan, total = experiment.plan, experiment.total
    state = TRAINING if process else ENDED if done >= total else STOPPED
    names = tuple(plan.names)
    return FollowedExperiment(directory, state, names, plan.data, done, total, begun, process)


def _search(
    directory: Path, runs: Sequence[Followed], done: int, begun: tuple[Followed, ...], process: int
) -> FollowedExperiment:
    """A search as it is now, before its best values are compared with the recipe's own."""
    plan = read_plan(directory / TRIALS)
    assert plan is not None
    over = (directory / TRIALS / TABLE).exists()
    return FollowedExperiment(
        directory,
        TRAINING if process else ENDED if over else STOPPED,
        (plan.names[0], plan.search),
        plan.data,
        done,
        runs=begun,
        process=process,
        searching=True,
        best=min(
            (run for run in runs if run.state == ENDED and run.epochs),
            key=lambda run: run.best_error or 0.0,
            default=None,
        ),
    )


def list_experiments(folder: str | Path) -> list[FollowedExperiment]:
    """The experiments in a folder, also those that search, the one that changed last first."""
    folder = Path(folder)
    plans = [*folder.glob(f"*/{PLAN}"), *folder.glob(f"*/{TRIALS}/{PLAN}")]
    plans.sort(key=_changed, reverse=True)
    names = dict.fromkeys(path.relative_to(folder).parts[0] for path in plans)
    return [follow_experiment(folder / name) for name in names]


def report_of(directory: str | Path) -> ExperimentReport | None:
    """The report on the pairs that have ended, anew from their runs; None where they are too few.

    Raises a ValueError for an experiment that is damaged.
    """
    directory = Path(directory)
    found = follow_experiment(directory)
    if found.searching:
        return None
    return _read(directory, _changed(directory / PLAN), found.done).so_far()


@lru_cache(16)
def _read(directory: Path, changed: int, done: int) -> Experiment:
    """An experiment with what has ended of it; `changed` and `done` tell whether that is new."""
    plan = read_plan(directory)
    assert plan is not None
    return Experiment(directory, plan, None)


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns
