"""The plan of an experiment: its variants, the runs they take, and the file that says so."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from classicnets.support.errors import plain_reason
from classicnets.support.files import read_named, write_atomic
from classicnets.support.names import as_path, encoded, file_names
from classicnets.training.recipe.serialization import from_json, parse_json, to_json

from .search import FACTORS, Rank, factors_to_try

PLAN = "plan.json"
DESIGNS, TRIALS = "designs", "trials"
TABLE = "trials.csv"  # once a search is over
SEARCH_SEED = 0  # the pairs have the seeds 1, 2, ...
LEAST_SEEDS, MOST_SEEDS = 2, 1000


@dataclass(frozen=True)
class Variant:
    """A network with its recipe.

    `network`, `overrides` as `train` takes them; `digest` is of the network's text, `recipe` the
    whole recipe as JSON, adapted to the data, `rate` its learning rate, None where it has no single
    one. `rates` are the schedules of all `FACTORS`, each as the text of an override; none where
    none is searched. `seconds` and `peak` (bytes) are those of one run of so many `steps`, as
    measured by a few and predicted. `macs` are the multiply-adds for one image, None where they
    cannot be counted. With the text of a `design`, `network` is a file in the experiment's
    directory.
    """

    name: str
    network: str
    overrides: Mapping[str, str]
    digest: str
    recipe: Mapping[str, Any]
    rate: float | None
    rates: tuple[str, ...]
    parameters: int
    steps: int
    seconds: float
    peak: int
    macs: int | None = None
    design: str = ""


@dataclass(frozen=True)
class Member:
    """One run: a variant with a seed and, where it differs from the recipe's, a learning rate.

    `name` is its directory below runs/. Of those that search the learning rate the test images are
    not looked at; `factor` is that of the rate.
    """

    name: str
    variant: int
    seed: int
    factor: float = 1.0

    @property
    def searches(self) -> bool:
        return self.seed == SEARCH_SEED


@dataclass(frozen=True)
class Plan:
    """What is compared, on what. The first variant is the baseline.

    `digest` is that of the data, `looked` the numbers of pairs of former reports of this
    experiment, `threads` those of each process; `note` is a sentence for the report,
    `search` what trials of its only variant choose from; `init_from` is what all start from.
    """

    data: str
    digest: str
    images: tuple[int, int, int]
    classes: tuple[str, ...]
    recipe: str
    epochs: int | None
    seeds: int
    variants: tuple[Variant, ...]
    versions: Mapping[str, str]
    processes: int
    threads: int
    device: str
    looked: tuple[int, ...] = ()
    note: str = ""
    search: str = ""
    init_from: str = ""

    @property
    def names(self) -> list[str]:
        return [variant.name for variant in self.variants]

    def searching(self, ranks: Mapping[str, Rank]) -> list[Member]:
        """The runs that search the learning rate, all variants in turn.

        Those that are known to be needed, by the ranks of those that have ended, by their names.
        """
        return [
            self._searches(k, factor)
            for factor in FACTORS
            for k, variant in enumerate(self.variants)
            if variant.rates and factor in factors_to_try(self._ranks(k, ranks))
        ]

    def _searches(self, k: int, factor: float) -> Member:
        return Member(f"{self._safe(k)}-lr-x{factor:g}", k, SEARCH_SEED, factor)

    def _ranks(self, k: int, ranks: Mapping[str, Rank]) -> dict[float, Rank]:
        """Factor -> the rank of the run of a variant that has tried it."""
        names = {factor: self._searches(k, factor).name for factor in FACTORS}
        return {factor: ranks[name] for factor, name in names.items() if name in ranks}

    def round(self, seed: int, factors: Sequence[float]) -> list[Member]:
        """The runs of a seed, one of each variant at its learning rate."""
        return [
            Member(f"{self._safe(k)}-seed{seed}", k, seed, factor)
            for k, factor in enumerate(factors)
        ]

    def _safe(self, k: int) -> str:
        return f"{k + 1}-{file_names([self.names[k]])[0]}"

    def save(self, directory: Path) -> None:
        """Writes the plan, and then the designs that it has."""
        content = json.dumps(to_json(self), indent=2, ensure_ascii=False)
        write_atomic(directory / PLAN, encoded(content))
        for variant in self.variants:
            if variant.design:
                place = Path(as_path(self.network(variant, directory)))
                place.parent.mkdir(exist_ok=True)
                write_atomic(place, variant.design.encode())

    def network(self, variant: Variant, directory: Path) -> str:
        """The network of a variant as `train` takes it, in an experiment in this directory."""
        own = directory / DESIGNS / variant.network
        return str(own) if variant.design else variant.network


def digest_of(content: object) -> str:
    """A hash of what JSON can hold."""
    return sha256(json.dumps(content).encode()).hexdigest()


def read_plan(directory: Path) -> Plan | None:
    """The plan of the experiment in a directory; None where there is none.

    Raises a ValueError for a plan that is damaged, and a directory of something else.
    """
    path = directory / PLAN
    if not path.exists():
        if directory.exists() and (not directory.is_dir() or _holds_other(directory)):
            raise ValueError(f"{directory} is not empty, and no experiment: it has no {PLAN}")
        return None
    content = read_named(path)
    try:
        plan = from_json(parse_json(content.decode()), Plan)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {plain_reason(error)}") from error
    others = len(plan.variants) - 1 + bool(plan.search)
    least = (plan.processes, plan.threads, others, plan.seeds - 1)
    if min(least) < 1:
        raise ValueError(f"{path} is damaged: its variants, seeds or processes are too few")
    return plan


def _holds_other(directory: Path) -> bool:
    names = (path.name for path in directory.iterdir())
    return any(name != TRIALS and not name.startswith(".") for name in names)


def continue_plan(stored: Plan, wanted: Plan, directory: Path) -> Plan:
    """The stored plan, to go on with, of as many seeds as are wanted now.

    Raises a ValueError where the directory has another experiment.
    """
    if difference := next(_differences(stored, wanted), ""):
        raise ValueError(f"{directory} holds another experiment: {difference}; give another --out")
    if wanted.seeds < stored.seeds:
        raise ValueError(
            f"{directory} holds an experiment with {stored.seeds} seeds, and {wanted.seeds} would "
            "leave out runs; give another --out"
        )
    return replace(stored, seeds=wanted.seeds)


def _differences(stored: Plan, wanted: Plan) -> Iterator[str]:
    """In what two plans differ, the most telling first."""
    then, now = asdict(stored), asdict(wanted)
    if stored.names != wanted.names:
        yield f"of {', '.join(stored.names)}, not of {', '.join(wanted.names)}"
        return
    for name, version in wanted.versions.items():
        if version != (before := stored.versions.get(name)):
            yield f"made with {name} {before}, and this is {name} {version}"
    for name in ("data", "epochs", "recipe", "init_from", "device", "search"):
        if then[name] != now[name]:
            yield f"its {name} was {then[name] or 'the default'}, not {now[name] or 'the default'}"
    for name in ("digest", "images", "classes"):
        if then[name] != now[name]:
            yield f"{stored.data} has changed since ({name})"
    for before, after in zip(stored.variants, wanted.variants, strict=True):
        yield from _changes(before, after)


def _changes(before: Variant, after: Variant) -> Iterator[str]:
    if (before.network, before.digest) != (after.network, after.digest):
        yield f"{before.name} has changed since"
    if bool(before.rates) != bool(after.rates):
        yield f"its learning rates were {'' if before.rates else 'not '}searched"
    for field in before.recipe:
        if before.recipe[field] != after.recipe.get(field):
            yield f"the recipe of {before.name} has changed since ({field})"
    if before.overrides != after.overrides or before.rates != after.rates:
        yield f"the settings of {before.name} have changed since"
