"""What a variant is and takes: its recipe on these data, its memory, and the time of some steps."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import fields
from hashlib import sha256
from itertools import islice, pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, NamedTuple

import torch

from classicnets import catalog
from classicnets.experiments.plan import SEARCH_SEED, Variant
from classicnets.experiments.search import FACTORS
from classicnets.experiments.variants import Asked
from classicnets.measure import measure
from classicnets.support.names import as_path
from classicnets.training.recipe.recipe import ABOUT_PAPER, Recipe
from classicnets.training.recipe.schedules import Schedule, rate_of, scaled
from classicnets.training.recipe.serialization import to_json
from classicnets.training.run import loop
from classicnets.training.run.config import RunConfig

from .train import Training, train

STEPS = 6  # that are timed, the first of them apart
FORWARD = 1 / 3  # of the time of a training step


class Rehearsal(NamedTuple):
    """A variant, and the configuration of its runs."""

    variant: Variant
    config: RunConfig


def rehearse(asked: Asked, data: str, search_lr: bool, threads: int, **options: Any) -> Rehearsal:
    """Prepares a variant as `train` does, and times some steps, in a directory that is removed.

    Raises a ValueError where `train` does.
    """
    with TemporaryDirectory() as scratch, _threads(threads):
        began, place = perf_counter(), Path(scratch) / "run"
        settings = {"seed": SEARCH_SEED, "overrides": dict(asked.overrides), **options}
        network = asked.network
        if asked.design:
            network = str(Path(scratch) / network)
            Path(as_path(network)).write_text(asked.design)
        training = train(network, data, out=place, **settings)
        digest = _digest(network)
        prepared = perf_counter() - began
        seconds = prepared + _training_seconds(training)
    recipe = training.recipe
    lr = recipe.lr if isinstance(recipe.lr, Schedule) else None  # not one of your own
    rate = rate_of(lr) if lr else None
    rates = tuple(repr(scaled(lr, f)) for f in FACTORS) if lr and rate and search_lr else ()
    variant = Variant(
        name=asked.name,
        network=asked.network,
        overrides=asked.overrides,
        digest=digest,
        recipe=content_of(recipe),
        rate=rate,
        rates=rates,
        parameters=training.run.notes["parameters"],
        steps=training.config.total_steps,
        seconds=seconds,
        peak=(training.run.notes.get("plan") or {}).get("peak_bytes", 0),
        macs=_macs(training),
        design=asked.design,
    )
    return Rehearsal(variant, training.config)


def _training_seconds(training: Training) -> float:
    """The predicted seconds of a whole run, from a few steps."""
    config, times = training.config, [perf_counter()]
    steps = min(STEPS, config.total_steps)
    with suppress(loop.Diverged):
        for record in islice(training, steps):
            _ = record.loss  # waits for the device
            times.append(perf_counter())
            if record.validation is not None:
                break
    each = [b - a for a, b in pairwise(times)]
    if not each:
        return 0.0
    step = median(each[1:] or each)
    evaluated = config.images[1] * config.epochs + config.images[2]
    return step * (config.total_steps + FORWARD * evaluated / config.recipe.batch)


def _macs(training: Training) -> int | None:
    """The multiply-adds for one image; None for a network whose forward cannot be followed."""
    config = training.config
    with suppress(ValueError):
        size = (training.splits.channels, config.recipe.crop, config.recipe.crop)
        return measure(training.network, size).totals.macs
    return None


def content_of(recipe: Recipe) -> Mapping[str, Any]:
    """The recipe as JSON, as it is after a round trip through a file."""
    kept = {f.name for f in fields(recipe)} - set(ABOUT_PAPER)
    return json.loads(json.dumps({k: v for k, v in to_json(recipe).items() if k in kept}))


def _digest(network: str) -> str:
    """A hash of the text that describes a network: its design, its file, or its name."""
    entry = catalog.find(network)
    if entry.design:
        return sha256(entry.design.encode()).hexdigest()
    path, colon, builder = network.rpartition(":")
    if entry.paper is None:
        file = Path(as_path(path if colon and not network.endswith(".py") else network))
        return sha256(file.read_bytes() + builder.encode()).hexdigest()
    return sha256(entry.name.encode()).hexdigest()


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
