"""To train, and to go on: a network, data and a recipe become a run directory."""

import platform
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import torch
from torch import nn

from classicnets import catalog
from classicnets.data.images import Splits
from classicnets.data.pixels import Scaling
from classicnets.data.sets import SETS, open_data
from classicnets.evaluation.metrics import Evaluation
from classicnets.layers.fit import scores_shape
from classicnets.recipes import FOR_SETS
from classicnets.recipes.fast import fast
from classicnets.training import checkpoint, loop
from classicnets.training.curve import Row
from classicnets.training.description import Own
from classicnets.training.init import AsBuilt
from classicnets.training.loop import Record, State
from classicnets.training.recipe import Recipe, differences
from classicnets.training.run import Facts, Run, create, open_run, require_free

from .judge import built, device_named, judged, require_unchanged


class Training:
    """A run under way. Iterating it trains, and yields a record per step; `finish` does it all.

    After the last record the network holds the weights that were best on validation, and `test`
    their evaluation on the test part, which has not been looked at before. The state on disk stays
    that of the last step.
    """

    def __init__(
        self, run: Run, recipe: Recipe, splits: Splits, scaling: Scaling, state: State
    ) -> None:
        self.run = run
        self.recipe = recipe
        self.splits = splits
        self.scaling = scaling
        self.state = state
        self.saved = state.step if run.last.exists() else None  # the step that is on disk
        self.test: Evaluation | None = None

    @property
    def directory(self) -> Path:
        return self.run.directory

    @property
    def network(self) -> nn.Module:
        return self.state.network

    def __iter__(self) -> Iterator[Record]:
        device = self.state.totals.device
        parts = (self.splits.train, self.splits.validation, self.splits.test)
        train, validation, test = (part.to(device) for part in parts)
        splits = replace(self.splits, train=train, validation=validation, test=test)
        began = perf_counter()
        try:
            for record in loop.train(self.state, self.recipe, splits, self.scaling):
                if record.validation is not None:
                    self._end_epoch(record, perf_counter() - began)
                    began = perf_counter()
                yield record
            self.run.load_weights(self.network)
            self.test = judged(
                self.network, splits.test, splits.classes, self.recipe.crop, self.scaling, "single"
            )
            self.run.note(test=self.test.as_json())
        except OSError as error:  # the disk is full
            held = "nothing" if self.saved is None else f"step {self.saved}"
            raise OSError(f"{error}; {self.directory} holds {held} to go on from") from error

    def finish(self) -> Evaluation:
        """Trains to the end and returns the evaluation on the test part."""
        for _ in self:
            pass
        assert self.test is not None
        return self.test

    def save(self) -> Path:
        """Writes the whole state, to be resumed from, and returns where it is.

        Raises a ValueError when the loss is no longer finite and an OSError when it cannot be
        written; both leave what was saved before.
        """
        loop.require_finite(self.state)
        if self.saved != self.state.step:
            checkpoint.save(self.state, self.run.last)
            self.saved = self.state.step
        return self.run.last

    def _end_epoch(self, record: Record, seconds: float) -> None:
        assert record.validation is not None
        if record.best:
            self.run.save_weights(self.network)
            self.run.note(best_epoch=record.epoch)
        self.run.add_row(
            Row(
                epoch=record.epoch,
                step=record.step,
                rate=record.rate,
                train_loss=record.loss,
                train_error=record.error,
                **{f"validation_{name}": v for name, v in asdict(record.validation).items()},
                images_per_second=record.images / seconds,
                seconds=seconds,
            )
        )
        self.save()


def train(
    network: str | nn.Module,
    data: str | Splits = "digits",
    recipe: str | Recipe | None = None,
    epochs: int | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    device: str = "auto",
) -> Training:
    """A training ready to be iterated; nothing is written before all of it has been prepared.

    `recipe` is "paper" (the default), "fast", or a Recipe; a module of one's own is trained by
    "fast" from the values it has. `epochs` makes the recipe shorter or longer in proportion. `out`
    is a new directory, `runs/<network>-<data>-<time>` if not given. Raises ValueError for an
    unknown name, recipe or device, for data that cannot be read or do not fit the network or the
    recipe, a seed that torch does not take, and a directory that is not empty or not writable.

    >>> from classicnets.data.synthetic import shapes
    >>> from tempfile import mkdtemp
    >>> net = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(48, 4))
    >>> train(net, shapes(), epochs=1, out=mkdtemp()).finish().images
    24
    """
    if not isinstance(seed, int) or not 0 <= seed < 2**64:
        raise ValueError(f"seed must be a whole number from 0 to 2**64 - 1, not {seed!r}")
    where = device_named(device)
    subject = _subject(network, data)
    chosen = _recipe(subject, recipe, data)
    if epochs is not None:
        chosen = replace(chosen, epochs=epochs)
    name = data if isinstance(data, str) else data.name
    directory = Path(out) if out is not None else _new_directory(subject.name, name)
    require_free(directory)
    splits = data if isinstance(data, Splits) else open_data(data, chosen.side, subject.channels)
    if (side := splits.train.pixels.shape[-1]) < chosen.crop:
        raise ValueError(f"pictures of {side} pixels are too small for a crop of {chosen.crop}")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = subject.build(classes=len(splits.classes), channels=splits.channels)
    shape = (splits.channels, chosen.crop, chosen.crop)
    _require_fit(module, shape, len(splits.classes))
    facts = Facts(
        network=subject.name,
        input=shape,
        side=chosen.side,
        classes=splits.classes,
        data=splits.name,
        pictures=splits.sizes,
        digest=splits.digest,
        recipe=chosen,
        differences=_differences(chosen, subject.recipe),
        scaling=chosen.pixels.fit(splits.train),
        seed=seed,
    )
    versions = {"python": platform.python_version(), "torch": str(torch.__version__)}
    versions |= {package: version(package) for package in ("classicnets", "numpy")}
    state = loop.start(module.to(where), chosen, seed)
    run = create(
        directory, facts, skipped=list(splits.skipped), device=str(where), versions=versions
    )
    return Training(run, chosen, splits, facts.scaling, state)


def resume(
    run: str | Path,
    network: nn.Module | None = None,
    data: Splits | None = None,
    device: str = "auto",
) -> Training:
    """The training of this run, exactly where it was saved.

    A run of one's own module needs that module again, and one of data made in Python the data.
    Raises ValueError when the run is missing, damaged, of another network or of a recipe with a
    part of one's own, when its data are missing or have changed since, and for an unknown device.
    """
    where = device_named(device)
    found = open_run(Path(run))
    facts = found.facts
    recipe = facts.recipe
    if isinstance(recipe, Own):
        raise ValueError(
            f"the recipe of {run} has a part of your own, {recipe.source}, which a run does not "
            "keep: it can be evaluated, and not gone on with"
        )
    splits = data or open_data(facts.data, facts.side, facts.input[0])
    require_unchanged(facts, splits)
    module = built(found, network).to(where)
    state = loop.start(module, replace(recipe, init=AsBuilt()), facts.seed)
    checkpoint.restore(state, found.last)
    found.forget_rows_after(state.step)
    return Training(found, recipe, splits, facts.scaling, state)


class _Subject(NamedTuple):
    """What is trained: its name, its recipe, how many channels it reads, and how it is made."""

    name: str
    recipe: Recipe
    channels: int
    build: Callable[..., nn.Module]


def _subject(network: str | nn.Module, data: str | Splits) -> _Subject:
    if isinstance(network, str):
        entry = catalog.find(network)
        if entry.paper:
            return _Subject(entry.name, entry.recipe, entry.input[0], entry.build)
        path, _, builder = entry.name.rpartition(":")
        channels, side, _ = entry.input
        name, recipe = f"{Path(path).resolve()}:{builder}", _fast(side, channels, data)
        return _Subject(name, recipe, channels, entry.build)
    kernels = next((p for p in network.parameters() if p.ndim == 4), None)
    channels = (
        data.channels if isinstance(data, Splits) else 3 if kernels is None else kernels.shape[1]
    )
    side = data.train.pixels.shape[-1] if isinstance(data, Splits) else 224
    recipe = replace(_fast(side, channels, data), init=AsBuilt())
    return _Subject(type(network).__name__, recipe, channels, lambda **_: network)


def _recipe(subject: _Subject, recipe: str | Recipe | None, data: str | Splits) -> Recipe:
    if isinstance(recipe, Recipe):
        return recipe
    if recipe == "fast":
        return _fast(subject.recipe.crop, subject.channels, data)
    if recipe not in (None, "paper"):
        raise ValueError(f"there is no recipe {recipe!r}; there is paper, fast")
    own = FOR_SETS.get((subject.name, data)) if isinstance(data, str) else None
    return own if own and recipe is None else subject.recipe


def _fast(side: int, channels: int, data: str | Splits) -> Recipe:
    """It flips neither grey pictures nor a named set: these may be digits or letters."""
    name = data if isinstance(data, str) else data.name
    return fast(side, flip=channels > 1 and name not in SETS)


def _differences(recipe: Recipe, paper: Recipe) -> dict[str, tuple[int | str, int | str]]:
    def told(value: object) -> int | str:
        return value if isinstance(value, int) else str(value)

    found = differences(recipe, paper)
    return {name: (told(ours), told(theirs)) for name, (ours, theirs) in found.items()}


def _require_fit(network: nn.Module, shape: tuple[int, int, int], classes: int) -> None:
    """Raises a ValueError, before anything is written, when the network and the data do not fit."""
    given = scores_shape(network, (2, *shape)) or _tried(network, (2, *shape))
    if given != (2, classes):
        raise ValueError(
            f"the network gives {given} for two pictures of {classes} classes; "
            f"it should give (2, {classes})"
        )


@torch.no_grad()
def _tried(network: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of what it gives for blank pictures, where shapes alone do not tell."""
    try:
        return tuple(network.cpu().eval()(torch.zeros(shape)).shape)
    except Exception as error:  # whatever is in a network of one's own
        raise ValueError(f"the network fails on blank pictures of {shape}: {error}") from error


def _new_directory(network: str, data: str) -> Path:
    names = (Path(name.partition(":")[0]).stem for name in (network, data))
    return Path("runs") / f"{'-'.join(names)}-{datetime.now():%Y%m%d-%H%M%S}"
