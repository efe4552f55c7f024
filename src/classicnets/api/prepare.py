"""What an experiment is prepared from: its variants, and what they have in common."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from classicnets.data.sets import keep_data, resolve
from classicnets.experiments import plan as planning
from classicnets.experiments.plan import LEAST_SEEDS, MOST_SEEDS, Plan, Variant
from classicnets.experiments.statistics import least_pairs
from classicnets.experiments.variants import Asked, distinct, require_different
from classicnets.support.devices import free_memory, select_device
from classicnets.support.errors import plain_reason
from classicnets.support.files import lock_directory
from classicnets.support.machine import cpu_count
from classicnets.support.names import file_names, short
from classicnets.support.units import format_seconds, parse_seconds

from .paired import Experiment
from .rehearsal import Rehearsal, rehearse
from .train import versions

NETWORKS = "a name, a design or path/to/file.py:builder"


@dataclass(frozen=True)
class Terms:
    """What all variants of an experiment have in common, as `experiment` takes it."""

    data: Any = "digits"
    recipe: Any = None
    seeds: int | None = None
    epochs: int | None = None
    budget: str | float | int | None = None
    processes: int | None = None
    out: str | Path | None = None
    search_lr: bool = True
    device: str = "auto"
    allow_missing_classes: bool = False
    init_from: str | Path | None = None

    @property
    def limit(self) -> float | None:
        """The budget in seconds."""
        return None if self.budget is None else parse_seconds(self.budget)


def prepare(
    asked: Sequence[Asked], terms: Terms, note: str = "", only_new: bool = False
) -> Experiment:
    """The experiment on these variants, new or as far as it is; `note` goes into its report.

    With `only_new` it leaves out those that are the same as one before on these data. Raises a
    ValueError where `experiment` does.
    """
    limit, wanted = terms.limit, plan(asked, terms, note, only_new)
    require_different(wanted.variants)
    directory = Path(terms.out) if terms.out is not None else default_directory(wanted)
    return _open(directory, wanted, limit, terms.allow_missing_classes)


def plan(asked: Sequence[Asked], terms: Terms, note: str = "", only_new: bool = False) -> Plan:
    """The plan of these variants: each is prepared as `train` does, and some steps are timed."""
    data = as_name("data", terms.data, "a name or a path")
    recipe = None
    if terms.recipe is not None:
        recipe = as_name("recipe", terms.recipe, "a name or path/to/file.py:name")
    _require_counts(least_pairs() if terms.seeds is None else terms.seeds, terms.processes)
    where = select_device(terms.device)
    threads = max(1, cpu_count() // (terms.processes or cpu_count()))
    options = {"recipe": recipe, "epochs": terms.epochs, "device": terms.device}
    options["allow_missing_classes"] = terms.allow_missing_classes
    start = str(terms.init_from or "")
    start = str(Path(start).resolve()) if start and Path(start).exists() else start
    options["init_from"] = start or None
    with keep_data():
        rehearsed = list(_rehearsed(asked, data, terms.search_lr, threads, options))
    variants = [one.variant for one in rehearsed]
    if only_new:
        variants = distinct(variants)
    seeds = least_pairs(len(variants) - 1) if terms.seeds is None else terms.seeds
    count, config = terms.processes or _processes(where, variants), rehearsed[0].config
    return Plan(
        data=resolve(data),
        digest=config.digest,
        images=config.images,
        classes=config.classes,
        recipe=recipe or "",
        init_from=start,
        epochs=terms.epochs,
        seeds=seeds,
        variants=tuple(variants),
        versions=versions(),
        processes=count,
        threads=max(1, cpu_count() // count),
        device=str(where),
        note=note,
    )


def _rehearsed(
    asked: Sequence[Asked], data: str, search_lr: bool, threads: int, options: dict[str, Any]
) -> Iterator[Rehearsal]:
    """Each variant prepared. Once the first fits the data, what is wrong is the variant's own."""
    for one in asked:
        try:
            yield rehearse(one, data, search_lr, threads, **options)
        except ValueError as error:
            if one is asked[0] or one.network in str(error):
                raise
            raise ValueError(f"{one.name}: {error}") from error


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
    make_directory(directory, plan)
    return found


def make_directory(directory: Path, plan: Plan | None = None) -> None:
    """Makes the directory of an experiment, with its plan if there is one."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock_directory(directory)
        if plan:
            plan.save(directory)
    except OSError as error:
        reason = plain_reason(error)
        raise ValueError(f"cannot write the experiment to {directory}: {reason}") from error


def as_name(what: str, value: object, legal: str) -> str:
    """A name or path as text. Raises a ValueError for an object made in Python."""
    if not isinstance(value, str | Path):
        raise ValueError(
            f"{what} cannot be {short(repr(value), 60)}: an experiment trains in processes of its "
            f"own, which take {legal}"
        )
    return str(value)


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
    return max(1, int(min(cpu_count(), fit)))


def default_directory(plan: Plan) -> Path:
    """One that the same command finds again."""
    names = [Path(plan.names[0]).name, Path(plan.data).name]
    key = [plan.names, plan.data, plan.recipe, plan.epochs, [bool(v.rates) for v in plan.variants]]
    key += [dict(v.overrides) for v in plan.variants]
    key += [part for part in (plan.search, plan.init_from) if part]
    digest = planning.digest_of(key)
    (safe,) = file_names([f"{'-'.join(names)}-{digest[:8]}"])
    return Path("experiments") / safe
