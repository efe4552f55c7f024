"""The report of an experiment: what was compared, the verdicts, and every run."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev

from classicnets.support.errors import first_few
from classicnets.support.tables import align, finite, html_page, html_table, html_text
from classicnets.support.units import format_change, format_seconds

from .figure import STYLE, draw
from .outcomes import DIVERGED, Outcome
from .plan import Plan
from .search import EDGES
from .statistics import least_pairs
from .verdicts import Comparison, decide

LEFT = ("variant", "against the baseline", "learning rate")
HEADS = ("variant", "parameters", "learning rate", "steps", "test error", "validation", "time")
COMPARED = ("against the baseline", "difference", "95 % interval", "p", "Holm's p", "verdict")
COSTS = ("params", "multiply-adds")


@dataclass(frozen=True)
class Row:
    """A variant: means over the pairs, and each of them in the order of the seeds; errors in %.

    The test error of a run that diverged is None, and counts as 100 %.
    """

    variant: str
    network: str
    parameters: int
    macs: int | None
    lr: float | None
    factor: float
    steps: int
    test_error: float
    test_errors: tuple[float | None, ...]
    validation_error: float
    validation_errors: tuple[float, ...]
    seconds: tuple[float, ...]
    diverged: int

    def cells(self) -> tuple[str, ...]:
        spread = f" ± {stdev(self.counted):.2f}" if len(self.counted) > 1 else ""
        rate = "its own" if self.lr is None else f"{self.lr:.3g}"
        return (
            self.variant,
            f"{self.parameters:,}",
            f"{rate} (x{self.factor:g})" if self.factor != 1 else rate,
            f"{self.steps:,}",
            f"{self.test_error:.2f}{spread} %",
            f"{self.validation_error:.2f} %",
            format_seconds(fmean(self.seconds)),
        )

    @property
    def counted(self) -> list[float]:
        return [DIVERGED if error is None else error for error in self.test_errors]


@dataclass(frozen=True, repr=False)
class ExperimentReport:
    """The result of an experiment: a row for each variant, the first the baseline's, a comparison
    for each of the others, notes, and the runs themselves.

    A row's `macs` are multiply-adds for one image. `equal_seconds` has the mean difference of the
    validation errors at equal seconds of training, None where no epoch ended so early.
    """

    title: str
    seeds: int
    rows: tuple[Row, ...]
    comparisons: tuple[Comparison, ...]
    equal_seconds: Mapping[str, float | None]
    notes: tuple[str, ...]
    runs: tuple[Outcome, ...]
    searched: tuple[Outcome, ...]

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from classicnets.support.plots import html_image

        pairs = html_table(self._compared(), LEFT) if self.comparisons else ""
        return (
            html_text(self.title, "p")
            + pairs
            + "".join(html_text(note, "p") for note in self.sentences())
            + html_table([HEADS, *(row.cells() for row in self.rows)], LEFT)
            + html_image(self.png(), "the test error of each run, paired by seed")
            + html_table([SEED_HEADS, *self._per_run()], SEED_HEADS[:1])
        )

    def text(self) -> str:
        """Two tables, variants and verdicts, and the notes below them."""
        lines = [self.title, "", *align([HEADS, *(row.cells() for row in self.rows)], LEFT)]
        if self.comparisons:
            lines += ["", *align(self._compared(), LEFT)]
        return "\n".join([*lines, "", *self.sentences()])

    def json(self) -> str:
        """All of it, named as in the classes, with the runs and their curves."""
        content = {name: value for name, value in asdict(self).items() if name != "comparisons"}
        content["comparisons"] = [
            asdict(one) | {"sentence": one.sentence, "costs": self._ratios(row)}
            for one, row in zip(self.comparisons, self.rows[1:], strict=False)
        ]
        return json.dumps(finite(content), indent=2, ensure_ascii=False)

    def csv(self) -> str:
        """A row for each run, also for those that searched the learning rate."""
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(SEED_HEADS)
        writer.writerows(self._per_run())
        return table.getvalue()

    def png(self) -> bytes:
        """The test error of each run, the runs of a seed joined by a line."""
        return draw(self)

    def html(self) -> str:
        """A page that needs nothing else."""
        baseline, *others = (row.variant for row in self.rows)
        title = f"{baseline} and {first_few(others)}" if others else baseline
        return html_page(title, STYLE, f"{html_text(title, 'h1')}\n{self._repr_html_()}")

    def sentences(self) -> Iterator[str]:
        """What the tables do not say."""
        baseline = self.rows[0].variant
        for one in self.comparisons:
            yield (
                f"{one.variant} is {one.verdict} than {baseline}: {_signed(one.mean)} of test error"
                if one.verdict in ("better", "worse")
                else f"{one.variant} against {baseline}: {one.sentence}"
            ) + "."
            equal = self.equal_seconds[one.variant]
            if equal is not None:
                yield f"{one.variant}, validation error at equal seconds: {_signed(equal)}."
        yield from self.notes

    def _ratios(self, row: Row) -> dict[str, float | None]:
        """What a variant costs, as a multiple of the baseline."""
        found = {}
        for name in ("parameters", "macs"):
            before, after = getattr(self.rows[0], name), getattr(row, name)
            found[name] = after / before if before and after else None
        return found

    def _costs(self, row: Row) -> tuple[str, ...]:
        """The changes in parameters and multiply-adds; none where all variants cost the same."""
        if len({(one.parameters, one.macs) for one in self.rows}) == 1:
            return ()
        a, b = self.rows[0], row
        macs = "?" if a.macs is None or b.macs is None else format_change(a.macs, b.macs)
        return format_change(a.parameters, b.parameters), macs

    def _compared(self) -> list[tuple[str, ...]]:
        """The table of comparisons: predicted costs beside the measured difference."""
        costs = [self._costs(row) for row in self.rows[1:]]
        rows = [
            (
                one.variant,
                *cost,
                _signed(one.mean),
                f"{one.low:+.2f} to {one.high:+.2f}",
                f"{one.p:.3f}",
                f"{one.adjusted_p:.3f}",
                one.sentence,
            )
            for one, cost in zip(self.comparisons, costs, strict=True)
        ]
        name, *measured = COMPARED
        return [(name, *COSTS[: len(costs[0])], *measured), *rows]

    def _per_run(self) -> list[tuple[str, ...]]:
        names = [row.variant for row in self.rows]
        return [
            (
                names[run.member.variant],
                "search" if run.member.searches else str(run.member.seed),
                f"{run.member.factor:g}",
                f"{run.validation:.4f}",
                "" if run.test is None else f"{run.test:.4f}",
                str(run.best_epoch),
                f"{run.seconds:.3f}",
                run.diverged,
            )
            for run in (*self.searched, *self.runs)
        ]


SEED_HEADS = ("variant", "seed", "lr factor", "validation error", "test error", "best epoch")
SEED_HEADS += ("seconds", "diverged")


def report(
    plan: Plan, rounds: Sequence[Sequence[Outcome]], searched: Sequence[Outcome]
) -> ExperimentReport:
    """The report on these complete rounds, each with the runs of one seed in the order of variants.

    Needs two.
    """
    runs = tuple(run for one in rounds for run in one)
    columns = list(zip(*rounds, strict=True))
    rows = tuple(_row(plan, k, column) for k, column in enumerate(columns))
    first, *others = columns
    differences = {
        plan.names[k]: [b.error - a.error for a, b in zip(first, column, strict=True)]
        for k, column in enumerate(others, 1)
    }
    equal = {plan.names[k]: _at_equal_seconds(first, column) for k, column in enumerate(others, 1)}
    lasting = "" if plan.epochs is None else f", {plan.epochs} epochs"
    title = (
        f"{len(rounds)} pairs on {plan.data}: {plan.images[0]:,} images for training, "
        f"{plan.images[1]:,} for validation, {plan.images[2]:,} for test; "
        f"{plan.recipe or 'the default'} recipe{lasting}"
    )
    compared = decide(differences) if len(rounds) > 1 else ()
    notes = tuple(_notes(plan, rows, len(rounds), searched))
    return ExperimentReport(title, plan.seeds, rows, compared, equal, notes, runs, tuple(searched))


def _row(plan: Plan, k: int, column: Sequence[Outcome]) -> Row:
    variant, factor = plan.variants[k], column[0].member.factor
    return Row(
        variant=variant.name,
        network=variant.network,
        parameters=variant.parameters,
        macs=variant.macs,
        lr=None if variant.rate is None else variant.rate * factor,
        factor=factor,
        steps=variant.steps,
        test_error=fmean(run.error for run in column),
        test_errors=tuple(None if run.diverged else run.test for run in column),
        validation_error=fmean(run.validation for run in column),
        validation_errors=tuple(run.validation for run in column),
        seconds=tuple(run.seconds for run in column),
        diverged=sum(bool(run.diverged) for run in column),
    )


def _at_equal_seconds(first: Sequence[Outcome], column: Sequence[Outcome]) -> float | None:
    """The mean difference of validation errors, each pair as far as the faster of the two went."""
    found = []
    for a, b in zip(first, column, strict=True):
        limit = min(a.seconds, b.seconds)
        errors = a.validation_within(limit), b.validation_within(limit)
        if errors[0] is None or errors[1] is None:
            return None
        found.append(errors[1] - errors[0])
    return fmean(found)


def _notes(
    plan: Plan, rows: Sequence[Row], pairs: int, searched: Sequence[Outcome]
) -> Iterator[str]:
    if plan.note:
        yield plan.note
    least = least_pairs(len(rows) - 1)
    if pairs < least:
        several = f"{len(rows) - 1} comparisons need"
        comparisons = "one comparison needs" if len(rows) == 2 else several
        yield f"{pairs} pairs are too few to tell: {comparisons} {least}."
    if pairs < plan.seeds:
        yield f"{pairs} of {plan.seeds} seeds are done: the same command continues."
    for row in rows:
        if row.diverged:
            yield (
                f"{row.variant} diverged in {row.diverged} of {pairs} runs, "
                "each of which counts with a test error of 100 %."
            )
        if searched and row.factor in EDGES:
            yield (
                f"The learning rate of {row.variant} is the "
                f"{'smallest' if row.factor < 1 else 'largest'} of those tried: one beyond may be "
                "better."
            )
    if earlier := [count for count in plan.looked if count < pairs]:
        yield (
            f"A report on {earlier[-1]} pairs was made before: where results decide how many pairs "
            "follow, a verdict is wrong in more than 5 of 100 cases."
        )


def _signed(points: float) -> str:
    return f"{points:+.2f} points"
