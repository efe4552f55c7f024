"""Experiments: variants of a network or recipe, compared over paired runs."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from classicnets.data.images import Splits
from classicnets.data.sets import keep_data, resolve
from classicnets.experiments import plan as planning
from classicnets.experiments.plan import LEAST_SEEDS, MOST_SEEDS, Plan, Variant
from classicnets.experiments.statistics import least_pairs
from classicnets.experiments.variants import as_settings, ask, require_different
from classicnets.support.devices import free_memory, select_device
from classicnets.support.errors import plain_reason
from classicnets.support.files import lock_directory
from classicnets.support.machine import cpu_count
from classicnets.support.names import file_names, short
from classicnets.support.units import format_seconds, parse_seconds
from classicnets.training.recipe.recipe import Recipe

from .paired import Experiment
from .rehearsal import rehearse
from .train import versions


def experiment(
    networks: str | Path | Sequence[Any],
    data: str | Path | Splits = "digits",
    recipe: str | Recipe | None = None,
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
    legal = "a name, a design or path/to/file.py:builder"
    given = [networks] if isinstance(networks, str | Path) else networks
    names = [_name("network", network, legal) for network in given]
    data = _name("data", data, "a name or a path")
    recipe = None if recipe is None else _name("recipe", recipe, "a name or path/to/file.py:name")
    settings = as_settings(overrides or {})
    asked = ask(names, settings)
    seeds = least_pairs(len(asked) - 1) if seeds is None else seeds
    _require_counts(seeds, processes)
    where = select_device(device)
    searching = search_lr and not any(
        n.partition(".")[0] == "lr" and len(v) > 1 for n, v in settings.items()
    )
    threads = max(1, cpu_count() // (processes or cpu_count()))
    options = {"recipe": recipe, "epochs": epochs, "device": device}
    options["allow_missing_classes"] = allow_missing_classes
    with keep_data():
        rehearsed = [rehearse(one, data, searching, threads, **options) for one in asked]
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
        versions=versions(),
        processes=count,
        threads=max(1, cpu_count() // count),
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


def _name(what: str, value: object, legal: str) -> str:
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


def _directory(plan: Plan) -> Path:
    """One that the same command finds again."""
    names = [Path(plan.names[0]).name, Path(plan.data).name]
    key = [plan.names, plan.data, plan.recipe, plan.epochs, [bool(v.rates) for v in plan.variants]]
    key += [dict(v.overrides) for v in plan.variants]
    digest = planning.digest_of(key)
    (safe,) = file_names([f"{'-'.join(names)}-{digest[:8]}"])
    return Path("experiments") / safe
