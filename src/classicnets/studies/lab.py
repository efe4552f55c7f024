"""Training studies: networks compared by paired runs of the experiment machinery."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from classicnets.api.evaluate import evaluate
from classicnets.api.paired import Experiment
from classicnets.api.prepare import Terms, prepare
from classicnets.data.sets import open_test
from classicnets.experiments.outcomes import RUNS, Outcome
from classicnets.experiments.search import EDGES
from classicnets.experiments.statistics import least_pairs
from classicnets.experiments.variants import Asked
from classicnets.experiments.verdicts import BETTER, WORSE, Comparison
from classicnets.training.run.directory import Run, open_run

from . import verdicts
from .charts import Differences
from .keeping import EXPERIMENT
from .study import Finding
from .verdicts import CANNOT_TELL, Expected

Measure = Callable[[Outcome, Run], float]
Pair = tuple[str, str]  # two variants: the second minus the first
QUICK = 4  # by which --quick divides the epochs
NOTHING = "learnt nothing, at least half of the runs guess"


@dataclass(frozen=True)
class Variant:
    """A network, by name or as the text of a design, with its settings of the recipe."""

    network: str
    settings: Mapping[str, str] = field(default_factory=dict)

    def asked(self, name: str) -> Asked:
        """As an experiment takes it."""
        if "\n" in self.network:
            return Asked(name, f"{name.replace(' ', '-')}.net", self.settings, self.network)
        return Asked(name, self.network, self.settings)


@dataclass(frozen=True)
class Lab:
    """Where and how a training study trains: in `directory`, with `seeds` pairs or as many as its
    verdict needs, on `data`. `quick` divides the epochs by four. `train` finishes an experiment,
    and may show how it comes on.
    """

    name: str
    directory: Path
    seeds: int | None = None
    quick: bool = False
    data: str = "digits"
    device: str = "auto"
    processes: int | None = None
    train: Callable[[Experiment], Any] = Experiment.finish

    def compare(
        self,
        variants: Mapping[str, Variant],
        expected: Mapping[Pair, Expected],
        *,
        measure: Measure | None = None,
        unit: str = "test error, points",
        limits: Mapping[str, float | int] | None = None,
        may_fail: Collection[str] = (),
        **how: Any,
    ) -> Finding:
        """Trains the variants by pairs of seeds, and decides on the differences between them.

        `expected` says of pairs of variants what the claim does, `limits` of single ones the most
        that the mean of `measure` may be, by default the test error in %. Where a variant learns
        nothing nothing is decided, unless the claim is that it `may_fail`. `how` they are trained,
        and what is raised, is as in `trained`.
        """
        experiment = self.trained(variants, len(expected), **how)
        values = measured(experiment, measure or centre_error)
        runs, failed = runs_of(experiment, values), at_chance(experiment) - {*may_fail}
        return conclude(values, expected, unit, limits, runs, at_edge(experiment), failed)

    def within(
        self,
        variant: Variant,
        measures: Mapping[str, Measure],
        expected: Mapping[Pair, Expected],
        *,
        epochs: int,
        unit: str = "test error, points",
    ) -> Finding:
        """Trains one variant with each seed, and decides on the differences between several
        measures of the same run; `expected` says of pairs of them what the claim does.

        Where it learns nothing nothing is decided. Raises what `trained` does.
        """
        one = {"network": variant}
        experiment = self.trained(one, len(expected), epochs=epochs, search_lr=False)
        values = {name: measured(experiment, each)["network"] for name, each in measures.items()}
        failed = measures if at_chance(experiment) else ()
        return conclude(values, expected, unit, runs=runs_of(experiment, values), failed=failed)

    def trained(
        self,
        variants: Mapping[str, Variant],
        comparisons: int,
        *,
        recipe: str | None = "fast",
        epochs: int | None = None,
        search_lr: bool = True,
    ) -> Experiment:
        """The experiment on these variants, finished, with the seeds that so many comparisons need.

        Each variant chooses its learning rate with `search_lr`. Raises a ValueError where
        `experiment` does, and for fewer seeds than a verdict needs.
        """
        seeds = least_pairs(comparisons) if self.seeds is None else self.seeds
        verdicts.require_pairs(seeds, comparisons, self.name)
        terms = Terms(
            data=self.data,
            recipe=recipe,
            seeds=seeds,
            epochs=max(1, epochs // QUICK) if epochs and self.quick else epochs,
            processes=self.processes,
            out=self.directory / EXPERIMENT,
            search_lr=search_lr,
            device=self.device,
        )
        experiment = prepare([one.asked(name) for name, one in variants.items()], terms)
        experiment.comparisons = comparisons
        self.train(experiment)
        return experiment


def train_error(outcome: Outcome, run: Run) -> float:
    """The error in % on the training images, as seen in the last epoch."""
    return 100.0 if outcome.diverged else run.epochs[-1].train_error


def evaluated(protocol: str) -> Measure:
    """The test error in % by one of the protocols of `evaluate`."""

    def error(outcome: Outcome, run: Run) -> float:
        if outcome.diverged:
            return 100.0
        return evaluate(run.directory, protocol=protocol).top1_error

    return error


def epochs_to(error: float | int) -> Measure:
    """How many epochs a run takes to a training error in %; one more than it has if it does not."""

    def count(outcome: Outcome, run: Run) -> float:
        reached = (e.epoch for e in run.epochs if e.train_error <= error)
        return float(next(reached, len(run.epochs) + 1))

    return count


def centre_error(outcome: Outcome, run: Run) -> float:
    """The test error in % by one centre crop, which a training ends with."""
    return outcome.error


def measured(experiment: Experiment, measure: Measure) -> dict[str, list[float]]:
    """Variant -> what was measured of its runs, in the order of the seeds."""
    assert experiment.report is not None
    names, found = experiment.plan.names, {}
    for outcome in experiment.report.runs:
        run = open_run(experiment.directory / RUNS / outcome.member.name)
        found.setdefault(names[outcome.member.variant], []).append(measure(outcome, run))
    return found


def runs_of(experiment: Experiment, values: Mapping[str, Sequence[float | int]]) -> dict[str, Any]:
    """What data.json holds of the runs: nothing that differs when they are repeated."""
    plan = experiment.plan
    assert experiment.report is not None
    return {
        "data": Path(plan.data).name,
        "digest": plan.digest,
        "images": plan.images,
        "epochs": plan.epochs,
        "seeds": plan.seeds,
        "variants": {
            row.variant: {
                "parameters": row.parameters,
                "macs": row.macs,
                "lr": row.lr,
                "steps": row.steps,
                "network": variant.digest,
                "test_errors": row.test_errors,
            }
            for row, variant in zip(experiment.report.rows, plan.variants, strict=True)
        },
        "values": values,
        "notes": experiment.report.notes,
    }


def at_edge(experiment: Experiment) -> set[str]:
    """The variants whose search of the learning rate ended at a limit: one beyond may be better."""
    assert experiment.report is not None
    searched = zip(experiment.report.rows, experiment.plan.variants, strict=True)
    return {row.variant for row, one in searched if one.rates and row.factor in EDGES}


def at_chance(experiment: Experiment) -> set[str]:
    """The variants that have learnt nothing: on these data guessing does as well."""
    plan, report = experiment.plan, experiment.report
    assert report is not None
    run = open_run(experiment.directory / RUNS / report.runs[0].member.name)
    channels, side, _ = run.config.input
    labels = open_test(plan.data, side, channels, plan.classes).images.labels
    chance = 100 - 100 * float(labels.bincount().max() / len(labels))
    return {one.variant for one in report.rows
            if verdicts.learnt_nothing(one.counted, chance, plan.images[2])}  # fmt: skip


def conclude(
    values: Mapping[str, Sequence[float | int]],
    expected: Mapping[Pair, Expected],
    unit: str,
    limits: Mapping[str, float | int] | None = None,
    runs: Mapping[str, Any] | None = None,
    edge: Collection[str] = (),
    failed: Collection[str] = (),
) -> Finding:
    """The finding from the values of each variant, one for each seed.

    `edge` is as in `at_edge`; values of networks that have `failed` to learn decide nothing.
    """
    named = {f"{b} - {a}": (a, b) for a, b in expected}
    differences = {
        name: [y - x for x, y in zip(values[a], values[b], strict=True)]
        for name, (a, b) in named.items()
    }
    wanted = {name: expected[pair] for name, pair in named.items()}
    tuned = {name: (a not in edge, b not in edge) for name, (a, b) in named.items()}
    _, each, compared = verdicts.effects(differences, wanted, tuned)
    each = {name: verdicts.guarded(one, {*named[name]} & {*failed}) for name, one in each.items()}
    kept = {name: verdicts.guarded(verdicts.at_most(limit, values[name]), {name} & {*failed})
            for name, limit in (limits or {}).items()}  # fmt: skip
    verdict = verdicts.guarded(verdicts.together([*each.values(), *kept.values()]), failed)
    sentences = [
        _sentence(one, each[one.variant], [name for name in named[one.variant] if name in edge])
        for one in compared
    ]
    sentences += [
        f"{name}: {fmean(values[name]):.2f}, at most {limit:g} {kept[name]}"
        for name, limit in (limits or {}).items()
    ]
    if failed:
        sentences.append(f"{', '.join(sorted(failed))}: {NOTHING}")
    figures: dict[str, Any] = {
        f"{name} ({unit.partition(',')[0]})": f"{fmean(v):.2f} ± {stdev(v):.2f}"
        for name, v in values.items()
    }
    figures |= {one.variant: _interval(one) for one in compared}
    means = {one.variant: (one.mean, one.low, one.high) for one in compared}
    chart = Differences(differences, means, f"difference in {unit}")
    return Finding(verdict, "; ".join(sentences), figures, chart, runs or {"values": values})


def _sentence(one: Comparison, verdict: str, edge: Sequence[str]) -> str:
    """A difference, its side of 0 where the test tells one, and what that makes of the claim."""
    told = "not distinguishable" if verdict == CANNOT_TELL else verdict
    side = {BETTER: "lower, ", WORSE: "higher, "}.get(one.verdict, "")
    reason = f" (learning rate at the edge of those tried: {', '.join(edge)})" if edge else ""
    return f"{one.variant}: {_interval(one)}, {side}{told}{reason}"


def _interval(one: Comparison) -> str:
    return f"{one.mean:+.2f} ({one.low:+.2f} to {one.high:+.2f})"
