"""Experiments: variants of a network or recipe, compared over paired runs."""

import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from time import monotonic
from typing import Any

import torch

from classicnets.data.sets import keep_data, resolve
from classicnets.experiments import plan as planning
from classicnets.experiments.outcomes import RUNS, Outcome, choose_factor, outcome_of
from classicnets.experiments.plan import LEAST_SEEDS, MOST_SEEDS, Member, Plan, Variant
from classicnets.experiments.report import ExperimentReport, report
from classicnets.experiments.statistics import least_pairs
from classicnets.experiments.variants import as_settings, ask, require_different
from classicnets.support.devices import free_memory, select_device
from classicnets.support.errors import plain_reason
from classicnets.support.files import lock_directory, write_atomic
from classicnets.support.names import file_names, short
from classicnets.support.tables import html_lines
from classicnets.support.units import format_seconds, parse_seconds

from .members import Job, Pool, Progress
from .rehearsal import cores, rehearse

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
        self.outcomes: dict[str, Outcome] = {}
        self._taken: dict[int, float] = {}  # variant -> seconds of its last run here
        self._collect(self.plan.searching())
        if self._searched():
            self._collect(self._members())

    def __repr__(self) -> str:
        if self.report is not None:
            return repr(self.report)
        return "\n".join(self.cost())

    def _repr_html_(self) -> str:
        return self.report._repr_html_() if self.report is not None else html_lines(repr(self))

    @property
    def total(self) -> int:
        """The number of runs, also of those that search the learning rate."""
        return len(self.plan.searching()) + len(self._members())

    def columns(self) -> dict[str, list[Member]]:
        """The runs of all variants at once: those of a learning rate that is tried, and of a seed.

        Keys such as "lr x0.5" and "seed 1".
        """
        found: dict[str, list[Member]] = {}
        for member in (*self.plan.searching(), *self._members()):
            name = f"lr x{member.factor:g}" if member.searches else f"seed {member.seed}"
            found.setdefault(name, []).append(member)
        return found

    def cost(self) -> list[str]:
        """What it takes, in sentences: runs, time, and what a budget allows of it."""
        plan, total = self.plan, self.seconds(self.plan.seeds)
        search = plan.searching()
        searched = f" and {len(search)} to choose the learning rates" * bool(search)
        runs = plan.seeds * len(plan.variants)
        lines = [
            f"{len(plan.variants)} variants on {plan.data}, the first is the baseline: "
            f"{', '.join(plan.names)}",
            f"{plan.seeds} seeds make {runs} runs{searched}, in {plan.processes} "
            f"process{'es' * (plan.processes > 1)} of {plan.threads} "
            f"thread{'s' * (plan.threads > 1)}; {len(self.outcomes)} have ended",
            f"about {format_seconds(total)} from now, by a few steps of each" if total else "",
        ]
        if plan.seeds < (least := least_pairs(len(plan.variants) - 1)):
            lines.append(
                f"{plan.seeds} seeds are too few to tell: the least p of {plan.seeds} pairs is "
                f"{2 / 2**plan.seeds:.3f}; --seeds {least} can"
            )
        if self.budget is not None and total > self.budget:
            lines.append(self._short_of(total))
        return [line for line in lines if line]

    def seconds(self, seeds: int) -> float:
        """The predicted seconds of what is left of so many seeds."""
        variants, done = self.plan.variants, self.outcomes
        left = [m for m in self._members(seeds) if m.name not in done]
        left += [m for m in self.plan.searching() if m.name not in done]
        return sum(variants[m.variant].seconds for m in left) / self.plan.processes

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
        if missing := [*self._missing(plan.searching()), *self._missing(self._members())]:
            count = min(plan.processes, len(missing))
            with Pool(count, plan.threads, self.directory / LOG) as pool:
                yield from self._train(pool, plan.searching(), began, limit=False)
                yield from self._train(pool, self._members(), began, limit=True)
        self.report = self._report()

    def _missing(self, members: Sequence[Member]) -> list[Member]:
        return [member for member in members if member.name not in self.outcomes]

    def _searched(self) -> bool:
        return all(member.name in self.outcomes for member in self.plan.searching())

    def _members(self, seeds: int | None = None) -> list[Member]:
        """The paired runs, seed by seed, at the learning rates that were chosen."""
        factors = self._factors()
        last = self.plan.seeds if seeds is None else seeds
        return [m for seed in range(1, last + 1) for m in self.plan.round(seed, factors)]

    def _factors(self) -> list[float]:
        if not self._searched():
            return [1.0] * len(self.plan.variants)
        searched = [self.outcomes[m.name] for m in self.plan.searching()]
        count = len(self.plan.variants)
        return [choose_factor([o for o in searched if o.member.variant == k]) for k in range(count)]

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
        left = self._missing([*self.plan.searching(), *self._members()])
        return sum(self._run_seconds(m.variant) for m in left) / self.plan.processes

    def _allows_round(self, passed: float) -> bool:
        each = [self._run_seconds(k) for k in range(len(self.plan.variants))]
        takes = max(*each, sum(each) / self.plan.processes)
        return self.budget is None or passed + takes <= self.budget

    def _job(self, member: Member) -> Job:
        plan, variant = self.plan, self.plan.variants[member.variant]
        overrides = dict(variant.overrides)
        if member.factor != 1:
            overrides["lr"] = variant.rates[planning.FACTORS.index(member.factor)]
        return Job(
            directory=str(self.directory / RUNS / member.name),
            network=variant.network,
            data=plan.data,
            recipe=plan.recipe or None,
            epochs=plan.epochs,
            overrides=overrides,
            seed=member.seed,
            device=plan.device,
            tests=not member.searches,
            allow_missing_classes=self.allow_missing_classes,
        )

    def _report(self) -> ExperimentReport:
        """The report on the complete pairs, written to the directory."""
        factors, done = self._factors(), self.outcomes
        rounds = [self.plan.round(seed, factors) for seed in range(1, self.plan.seeds + 1)]
        complete = [
            [done[m.name] for m in one] for one in rounds if all(m.name in done for m in one)
        ]
        if len(complete) < LEAST_SEEDS:
            raise ValueError(
                f"{len(complete)} pairs ended within the budget of "
                f"{format_seconds(self.budget or 0)}, and a report needs {LEAST_SEEDS}; the same "
                "command goes on"
            )
        searched = [done[m.name] for m in self.plan.searching()]
        found = report(self.plan, complete, searched)
        looked = tuple(sorted({*self.plan.looked, len(complete)}))
        self.plan = replace(self.plan, looked=looked)
        self.plan.save(self.directory)
        write_atomic(self.directory / "report.json", found.json().encode(errors="backslashreplace"))
        write_atomic(self.directory / "results.csv", found.csv().encode(errors="surrogateescape"))
        write_atomic(self.directory / "report.html", found.html().encode(errors="backslashreplace"))
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


def experiment(
    networks: str | Path | Sequence[str | Path],
    data: str | Path = "digits",
    recipe: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    seeds: int | None = None,
    epochs: int | None = None,
    budget: str | float | int | None = None,
    processes: int | None = None,
    out: str | Path | None = None,
    search_lr: bool = True,
    device: str = "auto",
    allow_missing_classes: bool = False,
) -> Experiment:
    """Prepares a comparison of variants by paired runs, to be iterated or finished.

    `networks` are names, designs or `path/to/file.py:builder`. A list in `overrides`, or a text
    with commas, makes a variant of each value: `{"lr": [0.01, 0.03]}`. The first variant is the
    baseline. All have the same data, splits, seeds and order of images; each chooses from half, the
    whole and twice the recipe's learning rate on the validation images, with a seed of its own,
    unless `search_lr` is off or the learning rate is what varies.

    `seeds` is by default the least number that allows a verdict: 6 for one comparison. Within
    `budget` (seconds, or "30min") fewer may end. `out` is the directory, by default one below
    `experiments` that depends on the variants; with one of the same experiment that was stopped
    this goes on, and nothing is trained twice.

    Raises a ValueError where `train` does for one of the variants; for one variant only, and for
    two that are the same; for fewer than 2 seeds; for a budget that allows no comparison; and for a
    directory of something else, of other data, variants or versions, or with a damaged plan.

    >>> experiment("lenet5", overrides={"lr": [0.1]})
    Traceback (most recent call last):
    ValueError: lenet5 is one variant only; compare it with another network, or sweep a field of \
the recipe, as in --set lr=0.01,0.03
    """
    limit = parse_seconds(budget) if budget is not None else None
    given = [networks] if isinstance(networks, str | Path) else networks
    for network in given:
        _require_name("network", network, "a name, a design or path/to/file.py:builder")
    _require_name("data", data, "a name or a path")
    if recipe is not None:
        _require_name("recipe", recipe, "a name, FILE.py or FILE.py:NAME")
    settings = as_settings(overrides or {})
    asked = ask([str(network) for network in given], settings)
    seeds = least_pairs(len(asked) - 1) if seeds is None else seeds
    _require_counts(seeds, processes)
    where = select_device(device)
    searching = search_lr and not any(
        n.partition(".")[0] == "lr" and len(v) > 1 for n, v in settings.items()
    )
    threads = max(1, cores() // (processes or cores()))
    options = {"recipe": recipe, "epochs": epochs, "device": device}
    options["allow_missing_classes"] = allow_missing_classes
    with keep_data():
        rehearsed = [rehearse(one, str(data), searching, threads, **options) for one in asked]
    variants = [one.variant for one in rehearsed]
    require_different(variants)
    count, config = processes or _processes(where, variants), rehearsed[0].config
    wanted = Plan(
        data=resolve(data),
        digest=config.digest,
        images=config.images,
        classes=config.classes,
        recipe=recipe or "",
        epochs=epochs,
        seeds=seeds,
        variants=tuple(variants),
        versions=_versions(),
        processes=count,
        threads=max(1, cores() // count),
        device=str(where),
    )
    directory = Path(out) if out is not None else _directory(wanted)
    return _open(directory, wanted, limit, allow_missing_classes)


def _open(directory: Path, wanted: Plan, limit: float | None, missing: bool) -> Experiment:
    """The experiment in its directory, new or as far as it is."""
    stored = planning.read_plan(directory)
    plan = planning.continue_plan(stored, wanted, directory) if stored else wanted
    found = Experiment(directory, plan, limit, missing)
    left = found.seconds(LEAST_SEEDS)
    if limit is not None and left > limit:
        whole = found.seconds(plan.seeds)
        raise ValueError(
            f"a budget of {format_seconds(limit)} allows no comparison: {LEAST_SEEDS} seeds take "
            f"about {format_seconds(left)}, and {plan.seeds} about {format_seconds(whole)}"
        )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock_directory(directory)
        plan.save(directory)
    except OSError as error:
        reason = plain_reason(error)
        raise ValueError(f"cannot write the experiment to {directory}: {reason}") from error
    return found


def _require_name(what: str, value: object, legal: str) -> None:
    if not isinstance(value, str | Path):
        raise ValueError(
            f"{what} cannot be {short(repr(value), 60)}: an experiment trains in processes of its "
            f"own, which take {legal}"
        )


def _require_counts(seeds: int, processes: int | None) -> None:
    if not LEAST_SEEDS <= seeds <= MOST_SEEDS:
        raise ValueError(
            f"seeds must be {LEAST_SEEDS} to {MOST_SEEDS}, not {seeds}; {least_pairs()} are the "
            "least for a verdict"
        )
    if processes is not None and processes < 1:
        raise ValueError(f"processes must be at least 1, not {processes}")


def _processes(device: torch.device, variants: Sequence[Variant]) -> int:
    """As many as there are cores, or as fit into memory; one where a GPU computes."""
    if device.type != "cpu":
        return 1
    peak = max(variant.peak for variant in variants)
    fit = free_memory(device) // peak if peak else math.inf
    return max(1, int(min(cores(), fit)))


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "torch": str(torch.__version__)}
    return versions | {package: version(package) for package in ("classicnets", "numpy")}


def _directory(plan: Plan) -> Path:
    """One that the same command finds again."""
    names = [Path(plan.names[0]).name, Path(plan.data).name]
    key = [plan.names, plan.data, plan.recipe, plan.epochs, [bool(v.rates) for v in plan.variants]]
    key += [dict(v.overrides) for v in plan.variants]
    digest = planning.digest_of(key)
    (safe,) = file_names([f"{'-'.join(names)}-{digest[:8]}"])
    return Path("experiments") / safe
