"""A search of the recipe by trials, and the comparison of the best with the recipe's own values."""

import csv
import io
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from time import monotonic

from classicnets.experiments import plan as planning
from classicnets.experiments.outcomes import RUNS, Outcome, outcome_of
from classicnets.experiments.plan import LEAST_SEEDS, SEARCH_SEED, TABLE, TRIALS, Member, Plan
from classicnets.experiments.report import ExperimentReport
from classicnets.experiments.space import Range, Space, Study, Trial, as_space, require_optuna
from classicnets.experiments.statistics import least_pairs
from classicnets.experiments.variants import Asked
from classicnets.support.files import lock_directory, write_atomic
from classicnets.support.names import file_names
from classicnets.support.units import format_seconds
from classicnets.training.run.directory import open_run

from .members import Job, Pool
from .paired import LOG, Experiment, Step, job_of
from .prepare import Terms, as_name, default_directory, make_directory, plan, prepare
from .pretrained import open_start
from .recipes import choose_recipe, resolve_network, with_overrides
from .rehearsal import content_of


@dataclass(repr=False)
class Sweep:
    """A search, as far as it is. Iterating it trains the trials that are left, and then the pairs
    of the best and the recipe's own values; `finish` does it all and returns the report.

    `best` is the best trial by validation, and `report` None until the pairs have ended, or where
    the best has the recipe's own values.
    """

    directory: Path
    plan: Plan
    space: Space
    trials: int
    terms: Terms

    def __post_init__(self) -> None:
        self.report: ExperimentReport | None = None
        self.best: tuple[Trial, Outcome] | None = None
        self.done: list[tuple[Trial, Outcome]] = []

    def __repr__(self) -> str:
        return repr(self.report) if self.report is not None else "\n".join(self.cost())

    @property
    def place(self) -> Path:
        """The directory of the trials."""
        return self.directory / TRIALS

    def cost(self) -> list[str]:
        """What it takes, in sentences."""
        plan, seeds = self.plan, self.terms.seeds or least_pairs()
        chosen = ", ".join(
            f"{name} {one}" if isinstance(one, Range) else f"{name} of {', '.join(one)}"
            for name, one in self.space.items()
        )
        ended = sum("ended" in run.notes for run in map(open_run, self._begun()))
        several = f"process{'es' * (plan.processes > 1)}"
        return [
            f"{self.trials} trials of {plan.names[0]} on {plan.data}, chosen by Optuna: {chosen}",
            f"then {seeds} seeds of the best and of the recipe's own values make {2 * seeds} runs, "
            f"in {plan.processes} {several}; {ended} trials have ended",
            f"about {format_seconds(self.seconds(self.trials, seeds))} in all, by a few steps; a "
            "trial worse than the median of the others is stopped early",
        ]

    def seconds(self, trials: int, seeds: int) -> float:
        """The predicted seconds of so many trials and pairs."""
        return (trials + 2 * seeds) * self.plan.variants[0].seconds / self.plan.processes

    def finish(self) -> ExperimentReport | None:
        """Trains what is left, and returns the report."""
        for _ in self:
            pass
        return self.report

    def __iter__(self) -> Iterator[Step]:
        yield from self.search()
        if experiment := self.compare():
            yield from experiment
            self.report = experiment.report

    def search(self) -> Iterator[Step]:
        """Trains the trials, in rounds of as many as there are processes."""
        lock_directory(self.directory)
        self._began, self.done = monotonic(), []
        study, count = Study(self.space), self.plan.processes
        with Pool(min(count, self.trials), self.plan.threads, self.place / LOG) as pool:
            for first in range(0, self.trials, count):
                if first and not self._allows_round():
                    break
                trials = study.ask(first, min(count, self.trials - first))
                for trial, outcome in (yield from self._train(pool, trials)):
                    study.tell(trial, outcome.validation)
                    self.done.append((trial, outcome))
        write_atomic(self.place / TABLE, self._csv().encode())
        eligible = [one for one in self.done if not one[0].pruned and not one[1].diverged]
        if not eligible:
            raise ValueError(f"all {len(self.done)} trials diverged; try other ranges")
        self.best = min(eligible, key=lambda one: one[1].rank)

    def compare(self) -> Experiment | None:
        """The experiment on the best trial and the recipe's own values; None where they are the
        same."""
        assert self.best
        (trial, outcome), own = self.best, self.plan.variants[0]
        values = {**own.overrides, **trial.values}
        if content_of(open_run(self._run(trial)).config.recipe) == own.recipe:
            return None
        named = " ".join([own.name, *(f"{name}={value}" for name, value in trial.values.items())])
        stopped = sum(one.pruned for one, _ in self.done)
        note = (
            f"{named} is the best of {len(self.done)} trials by validation error "
            f"({outcome.validation:.2f} %); {stopped} were stopped early."
        )
        terms = replace(
            self.terms,
            out=self.directory,
            budget=self._left(),
            search_lr=self.terms.search_lr and not _varies_lr(self.space),
        )
        asked = [Asked(own.name, own.network, own.overrides), Asked(named, own.network, values)]
        return prepare(asked, terms, note)

    def _left(self) -> float | None:
        limit = self.terms.limit
        return None if limit is None else max(1e-3, limit - (monotonic() - self._began))

    def _allows_round(self) -> bool:
        left = self._left()
        return left is None or self.seconds(self.plan.processes, LEAST_SEEDS) <= left

    def _train(
        self, pool: Pool, trials: Sequence[Trial]
    ) -> Generator[Step, None, list[tuple[Trial, Outcome]]]:
        """Trains those of these trials that have not ended, and returns what all came to."""
        for trial in trials:
            self._see(trial)
        ended = {trial.number: outcome for trial in trials if (outcome := self._outcome(trial))}
        missing = [trial for trial in trials if trial.number not in ended]
        by_place = {str(self._run(trial)): trial for trial in missing}
        for progress in pool.train(iter([self._job(trial) for trial in missing])):
            trial = by_place[progress.directory]
            if self._see(trial) and not progress.ended:
                pool.stop(progress.directory)
            if progress.ended and (outcome := self._outcome(trial)):
                ended[trial.number] = outcome
            done = len(self.done) + len(ended)
            left = self.seconds(self.trials - done, self.terms.seeds or least_pairs())
            diverged = ended[trial.number].diverged if progress.ended else ""
            yield Step(self._member(trial), progress, diverged, done, self.trials, left)
        return [(trial, ended[trial.number]) for trial in trials]

    def _see(self, trial: Trial) -> bool:
        """Shows a trial the epochs that have ended, and says whether it is to be stopped."""
        place = self._run(trial)
        if not (place / "run.json").exists():
            return False
        run = open_run(place)
        errors = [epoch.validation_top1_error for epoch in run.epochs]
        return trial.see(errors, run.config.epochs)

    def _member(self, trial: Trial) -> Member:
        values = "-".join(f"{name}={value}" for name, value in trial.values.items())
        (name,) = file_names([f"trial{trial.number + 1}-{values}"])
        return Member(name, 0, SEARCH_SEED)

    def _run(self, trial: Trial) -> Path:
        return self.place / RUNS / self._member(trial).name

    def _outcome(self, trial: Trial) -> Outcome | None:
        return outcome_of(self._member(trial), self.plan, self.place)

    def _begun(self) -> list[Path]:
        return [path.parent for path in self.place.glob(f"{RUNS}/*/run.json")]

    def _job(self, trial: Trial) -> Job:
        own = self.plan.variants[0]
        values, missing = {**own.overrides, **trial.values}, self.terms.allow_missing_classes
        return job_of(self._member(trial), self.plan, self.place, values, missing)

    def _csv(self) -> str:
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        heads = ("validation error", "best epoch", "epochs", "seconds", "stopped early", "diverged")
        writer.writerow(["trial", *self.space, *heads])
        for trial, one in self.done:
            figures = (f"{one.validation:.4f}", one.best_epoch, len(one.curve))
            ended = (f"{one.seconds:.3f}", "yes" * trial.pruned, one.diverged)
            writer.writerow([trial.number + 1, *trial.values.values(), *figures, *ended])
        return table.getvalue()


def sweep(
    networks: Sequence[str], settings: Mapping[str, Sequence[str]], trials: int, terms: Terms
) -> Sweep:
    """Prepares a search of these settings by so many trials, new or as far as it is."""
    space = as_space(settings)
    if len(networks) != 1:
        raise ValueError(f"trials are of one network, not of {len(networks)}")
    if not space:
        raise ValueError(
            "trials need a range or several values, such as --set lr=0.003..0.3 or "
            "--set batch=16,64"
        )
    if trials < 2:
        raise ValueError(f"trials must be at least 2, not {trials}")
    require_optuna()
    (network,), limit = networks, terms.limit
    fixed = {name: values[0] for name, values in settings.items() if name not in space}
    for name, one in space.items():
        for value in (str(one.low), str(one.high)) if isinstance(one, Range) else one:
            _require_legal(network, terms, {**fixed, name: value})
    asked = [Asked(network, network, fixed)]
    seeds = least_pairs() if terms.seeds is None else terms.seeds
    wanted = plan(asked, replace(terms, seeds=seeds, search_lr=False))
    wanted = replace(
        wanted,
        seeds=LEAST_SEEDS,
        search=" ".join(f"{name}={','.join(settings[name])}" for name in space),
        versions={**wanted.versions, "optuna": version("optuna")},
    )
    directory = Path(terms.out) if terms.out is not None else default_directory(wanted)
    if not (directory / TRIALS).exists():
        planning.read_plan(directory)  # refuses one of something else
    stored = planning.read_plan(directory / TRIALS)
    kept = planning.continue_plan(stored, wanted, directory) if stored else wanted
    found = Sweep(directory, kept, space, trials, replace(terms, seeds=seeds))
    least = found.seconds(min(kept.processes, trials), LEAST_SEEDS)
    if limit is not None and not stored and least > limit:
        raise ValueError(
            f"a budget of {format_seconds(limit)} allows no search: the first trials and "
            f"{LEAST_SEEDS} seeds take about {format_seconds(least)}, and all about "
            f"{format_seconds(found.seconds(trials, seeds))}"
        )
    make_directory(directory)
    make_directory(found.place, kept)
    return found


def _varies_lr(space: Space) -> bool:
    return any(name.partition(".")[0] == "lr" for name in space)


def _require_legal(network: str, terms: Terms, overrides: Mapping[str, str]) -> None:
    """Raises a ValueError for settings that the recipe of the network does not take."""
    data = as_name("data", terms.data, "a name or a path")
    target = resolve_network(network, data)
    start = open_start(terms.init_from, target.name) if terms.init_from else None
    with_overrides(choose_recipe(target, terms.recipe, data, start), terms.epochs, overrides)
