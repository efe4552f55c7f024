"""An experiment under way: which of its runs are missing, training them, and the report."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

from classicnets.experiments.outcomes import RUNS, Outcome, outcome_of
from classicnets.experiments.plan import LEAST_SEEDS, Member, Plan
from classicnets.experiments.report import ExperimentReport, report
from classicnets.experiments.search import FACTORS, best_factor
from classicnets.experiments.statistics import least_pairs
from classicnets.support.files import lock_directory, write_atomic
from classicnets.support.names import encoded
from classicnets.support.tables import html_lines
from classicnets.support.units import format_seconds

from .members import Job, Pool, Progress

LOG = "processes.log"


@dataclass(frozen=True)
class Step:
    """How far an experiment is: `progress` of the run `member`, `done` of `total` runs, and about
    how many seconds are left. `diverged` is why a run has no result."""

    member: Member
    progress: Progress
    diverged: str
    done: int
    total: int
    left: float


@dataclass(repr=False)
class Experiment:
    """An experiment, as far as it is. Iterating it trains what is left, and yields how it comes on;
    `finish` does it all and returns the report, which stands in `directory` too.

    `budget` is in seconds, and begins with the iteration: no run of a further seed starts that is
    not expected to end within it.
    """

    directory: Path
    plan: Plan
    budget: float | None
    allow_missing_classes: bool = False

    def __post_init__(self) -> None:
        self.report: ExperimentReport | None = None
        self.comparisons = len(self.plan.variants) - 1  # with the first; a study makes its own
        self.outcomes: dict[str, Outcome] = {}
        self._taken: dict[int, float] = {}  # variant -> seconds of its last run here
        while missing := self._missing(self._searching()):
            self._collect(missing)
            if self._missing(missing):
                return
        self._collect(self._members())

    def __repr__(self) -> str:
        if self.report is not None:
            return repr(self.report)
        return "\n".join(self.cost())

    def _repr_html_(self) -> str:
        return self.report._repr_html_() if self.report is not None else html_lines(repr(self))

    @property
    def total(self) -> int:
        """The number of runs, also of those that search the learning rate, as far as is known."""
        return len(self._searching()) + len(self._members())

    def columns(self) -> dict[str, list[Member]]:
        """The runs of all variants at once: those of a learning rate that is tried, and of a seed.

        Keys such as "lr x0.5" and "seed 1".
        """
        found: dict[str, list[Member]] = {}
        for member in (*self._searching(), *self._members()):
            name = f"lr x{member.factor:g}" if member.searches else f"seed {member.seed}"
            found.setdefault(name, []).append(member)
        return found

    def cost(self) -> list[str]:
        """What it takes, in sentences: runs, time, and what a budget allows of it."""
        plan, total = self.plan, self.seconds(self.plan.seeds)
        search, bound = self._searching(), "at least " * (not self._searched())
        searched = f" and {bound}{len(search)} to choose the learning rates" * bool(search)
        count = len(plan.variants)
        runs, baseline = plan.seeds * count, self.comparisons == count - 1 > 0
        lines = [
            f"{count} variant{'s' * (count > 1)} on {plan.data}"
            f"{', the first is the baseline' * baseline}: {', '.join(plan.names)}",
            f"{plan.seeds} seeds make {runs} runs{searched}, in {plan.processes} "
            f"process{'es' * (plan.processes > 1)} of {plan.threads} "
            f"thread{'s' * (plan.threads > 1)}; {len(self.outcomes)} have ended",
            f"{bound}about {format_seconds(total)} from now, by a few steps of each" * bool(total),
        ]
        if plan.seeds < (least := least_pairs(self.comparisons)):
            lines.append(
                f"{plan.seeds} seeds are too few to tell: the least p of {plan.seeds} pairs is "
                f"{2 / 2**plan.seeds:.3f}; --seeds {least} can"
            )
        if self.budget is not None and total > self.budget:
            lines.append(self._short_of(total))
        return [line for line in lines if line]

    def seconds(self, seeds: int) -> float:
        """The predicted seconds of what is left of so many seeds."""
        left = self._missing([*self._searching(), *self._members(seeds)])
        return sum(self.plan.variants[m.variant].seconds for m in left) / self.plan.processes

    def allowed(self) -> int:
        """How many seeds the budget allows, by the prediction."""
        if self.budget is None:
            return self.plan.seeds
        fit = (n for n in range(self.plan.seeds, 0, -1) if self.seconds(n) <= self.budget)
        return next(fit, 0)

    def finish(self) -> ExperimentReport:
        """Trains what is left, and returns the report."""
        for _ in self:
            pass
        assert self.report is not None
        return self.report

    def __iter__(self) -> Iterator[Step]:
        lock_directory(self.directory)
        began = monotonic()
        plan = self.plan
        if missing := self._missing([*self._searching(), *self._members()]):
            count = min(plan.processes, len(missing))
            with Pool(count, plan.threads, self.directory / LOG) as pool:
                while searching := self._missing(self._searching()):
                    yield from self._train(pool, searching, began, limit=False)
                yield from self._train(pool, self._members(), began, limit=True)
        self.report = self._report()

    def _missing(self, members: Sequence[Member]) -> list[Member]:
        return [member for member in members if member.name not in self.outcomes]

    def _searching(self) -> list[Member]:
        """The runs that search the learning rates, as far as is known."""
        return self.plan.searching({name: one.rank for name, one in self.outcomes.items()})

    def _searched(self) -> bool:
        return not self._missing(self._searching())

    def _members(self, seeds: int | None = None) -> list[Member]:
        """The paired runs, seed by seed, at the learning rates that were chosen."""
        factors = self._factors()
        last = self.plan.seeds if seeds is None else seeds
        return [m for seed in range(1, last + 1) for m in self.plan.round(seed, factors)]

    def _factors(self) -> list[float]:
        if not self._searched():
            return [1.0] * len(self.plan.variants)
        searched = [self.outcomes[m.name] for m in self._searching()]
        return [
            best_factor(
                {one.member.factor: one.rank for one in searched if one.member.variant == k}
            )
            for k in range(len(self.plan.variants))
        ]

    def _collect(self, members: Sequence[Member]) -> None:
        for member in members:
            if outcome := outcome_of(member, self.plan, self.directory):
                self.outcomes[member.name] = outcome

    def _train(
        self, pool: Pool, members: Sequence[Member], began: float, limit: bool
    ) -> Iterator[Step]:
        """Trains the members that are missing, and yields how they come on."""
        missing = self._missing(members)
        by_place = {str(self.directory / RUNS / m.name): m for m in missing}
        started: dict[str, float] = {}

        def jobs() -> Iterator[Job]:
            for member in missing:
                begun = member.variant > 0  # the pairs of a seed are completed
                if limit and not begun and not self._allows_round(monotonic() - began):
                    return
                started[member.name] = monotonic()
                yield self._job(member)

        for progress in pool.train(jobs()):
            member = by_place[progress.directory]
            if progress.ended:
                self._collect([member])
                self._taken[member.variant] = monotonic() - started[member.name]
            diverged = self.outcomes[member.name].diverged if progress.ended else ""
            yield Step(member, progress, diverged, len(self.outcomes), self.total, self._left())

    def _run_seconds(self, variant: int) -> float:
        """What a run takes: the last one in this process, or what was predicted."""
        return self._taken.get(variant, self.plan.variants[variant].seconds)

    def _left(self) -> float:
        left = self._missing([*self._searching(), *self._members()])
        return sum(self._run_seconds(m.variant) for m in left) / self.plan.processes

    def _allows_round(self, passed: float) -> bool:
        each = [self._run_seconds(k) for k in range(len(self.plan.variants))]
        takes = max(*each, sum(each) / self.plan.processes)
        return self.budget is None or passed + takes <= self.budget

    def _job(self, member: Member) -> Job:
        variant = self.plan.variants[member.variant]
        overrides = dict(variant.overrides)
        if member.factor != 1:
            overrides["lr"] = variant.rates[FACTORS.index(member.factor)]
        return job_of(member, self.plan, self.directory, overrides, self.allow_missing_classes)

    def so_far(self) -> ExperimentReport | None:
        """The report on the pairs that are complete, not written anywhere; None of too few."""
        factors, done = self._factors(), self.outcomes
        rounds = [self.plan.round(seed, factors) for seed in range(1, self.plan.seeds + 1)]
        complete = [
            [done[m.name] for m in one] for one in rounds if all(m.name in done for m in one)
        ]
        if len(complete) < LEAST_SEEDS:
            return None
        return report(self.plan, complete, [done[m.name] for m in self._searching()])

    def _report(self) -> ExperimentReport:
        """The report on the complete pairs, written to the directory."""
        found = self.so_far()
        if found is None:
            raise ValueError(
                f"fewer than {LEAST_SEEDS} pairs ended within the budget of "
                f"{format_seconds(self.budget or 0)}, and a report needs {LEAST_SEEDS}; the same "
                "command continues"
            )
        looked = tuple(sorted({*self.plan.looked, len(found.runs) // len(found.rows)}))
        self.plan = replace(self.plan, looked=looked)
        self.plan.save(self.directory)
        write_atomic(self.directory / "report.json", encoded(found.json()))
        write_atomic(self.directory / "results.csv", encoded(found.csv(), "surrogateescape"))
        write_atomic(self.directory / "report.html", encoded(found.html()))
        return found

    def _short_of(self, total: float) -> str:
        allowed, seeds = self.allowed(), self.plan.seeds
        share = (self.budget or 0.0) / total
        fewer = f"; with --epochs {math.floor(share * self._epochs())} all would" * (
            share * self._epochs() >= 1
        )
        return (
            f"the budget of {format_seconds(self.budget or 0)} allows about {allowed} of {seeds} "
            f"seeds{fewer}"
        )

    def _epochs(self) -> int:
        return max(v.recipe.get("epochs") or 1 for v in self.plan.variants)


def job_of(
    member: Member, plan: Plan, directory: Path, overrides: dict[str, str], missing: bool
) -> Job:
    """The training of a member of the experiment in this directory; `missing` allows classes."""
    return Job(
        directory=str(directory / RUNS / member.name),
        network=plan.network(plan.variants[member.variant], directory),
        data=plan.data,
        recipe=plan.recipe or None,
        epochs=plan.epochs,
        overrides=overrides,
        seed=member.seed,
        device=plan.device,
        tests=not member.searches,
        allow_missing_classes=missing,
        init_from=plan.init_from or None,
    )
