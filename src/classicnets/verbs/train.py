"""To train, and to go on: a network, data and a recipe become a run directory."""

import platform
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import torch
from torch import nn

from classicnets import catalog
from classicnets.data.images import Splits
from classicnets.data.pixels import Scaling
from classicnets.data.sets import SETS, open_data
from classicnets.evaluation.metrics import Evaluation
from classicnets.layers.fit import explain, meta_copy
from classicnets.recipes import lenet
from classicnets.recipes.fast import fast
from classicnets.training import checkpoint, loop
from classicnets.training.init import AsBuilt
from classicnets.training.loop import Record, State
from classicnets.training.recipe import Recipe, describe, differences, from_description
from classicnets.training.run import Run, create, open_run, require_free

from .judge import built, device_named, judged, scaling_of

# Where a paper's recipe would not do for a set, the set's own: (network, data) -> recipe
OWN_RECIPES = {("lenet5", "digits"): lenet.DIGITS}


class Training:
    """A run under way. Iterating it trains, and yields a record per step; `finish` does it all.

    After the last record the network holds the weights that were best on validation, and `test`
    their evaluation on the test part, which has not been looked at before.
    """

    def __init__(
        self, run: Run, recipe: Recipe, splits: Splits, scaling: Scaling, state: State
    ) -> None:
        self.run = run
        self.recipe = recipe
        self.splits = splits
        self.scaling = scaling
        self.state = state
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

    def finish(self) -> Evaluation:
        """Trains to the end and returns the evaluation on the test part."""
        for _ in self:
            pass
        assert self.test is not None
        return self.test

    def save(self) -> Path:
        """Writes the whole state, to be resumed from, and returns where it is.

        Raises a ValueError, and leaves what was saved before, when the loss is no longer finite.
        """
        loop.require_finite(self.state)
        checkpoint.save(self.state, self.run.last)
        return self.run.last

    def _end_epoch(self, record: Record, seconds: float) -> None:
        assert record.validation is not None
        if record.best:
            self.run.save_weights(self.network)
        self.run.add_row(
            {
                "epoch": record.epoch,
                "step": record.step,
                "rate": record.rate,
                "train_loss": record.loss,
                "train_error": record.error,
                **{f"validation_{name}": v for name, v in asdict(record.validation).items()},
                "images_per_second": record.images / seconds,
                "seconds": seconds,
            }
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
    """A training ready to be iterated; everything a user can get wrong has been checked.

    `recipe` is "paper" (the default), "fast", or a Recipe; a module of one's own is trained by
    "fast" from the values it has. `epochs` makes the recipe shorter or longer in proportion. `out`
    is a new directory, `runs/<network>-<data>-<time>` if not given.

    >>> from classicnets.data.synthetic import shapes
    >>> from tempfile import mkdtemp
    >>> net = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(48, 4))
    >>> train(net, shapes(), epochs=1, out=mkdtemp()).finish().images
    24
    """
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
    torch.manual_seed(seed)
    module = network if isinstance(network, nn.Module) else _build(network, splits)
    _require_fit(module, (splits.channels, chosen.crop, chosen.crop), len(splits.classes))
    scaling = chosen.pixels.fit(splits.train)
    facts = {
        "network": subject.name,
        "input": [splits.channels, chosen.crop, chosen.crop],
        "classes": list(splits.classes),
        "data": name if name in SETS or not isinstance(data, str) else str(Path(name).resolve()),
        "skipped": list(splits.skipped),
        "recipe": describe(chosen),
        "differences": _differences(chosen, subject.recipe),
        "scaling": asdict(scaling),
        "seed": seed,
        "device": str(where),
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in ("classicnets", "torch", "numpy")},
        },
    }
    run = create(directory, facts)
    return Training(run, chosen, splits, scaling, loop.start(module.to(where), chosen, seed))


def resume(
    run: str | Path,
    network: nn.Module | None = None,
    data: Splits | None = None,
    device: str = "auto",
) -> Training:
    """The training of this run, exactly where it was saved.

    A run of one's own module needs that module again, and one of data made in Python the data.
    """
    found = open_run(Path(run))
    recipe = from_description(found.facts["recipe"])
    splits = data or open_data(found.facts["data"], recipe.side, found.facts["input"][0])
    if list(splits.classes) != found.facts["classes"]:
        raise ValueError(
            f"{found.facts['data']} now has the classes {', '.join(splits.classes)}; "
            f"the run was trained on {', '.join(found.facts['classes'])}"
        )
    module = built(found, network).to(device_named(device))
    state = loop.start(module, recipe, found.facts["seed"])
    checkpoint.restore(state, found.last)
    if len(state.order) != len(splits.train):
        raise ValueError(
            f"{found.facts['data']} now has {len(splits.train)} pictures for training; "
            f"the run was trained on {len(state.order)}"
        )
    found.forget_rows_after(state.step)
    return Training(found, recipe, splits, scaling_of(found), state)


class _Subject(NamedTuple):
    """What is trained: its name, its recipe, and how many channels it reads."""

    name: str
    recipe: Recipe
    channels: int


def _subject(network: str | nn.Module, data: str | Splits) -> _Subject:
    if isinstance(network, str):
        entry = catalog.find(network)
        path, _, builder = entry.name.rpartition(":")
        name = f"{Path(path).resolve()}:{builder}" if path else entry.name
        return _Subject(name, entry.recipe, entry.input[0])
    kernels = next((p for p in network.parameters() if p.ndim == 4), None)
    channels = (
        data.channels if isinstance(data, Splits) else 3 if kernels is None else kernels.shape[1]
    )
    side = data.train.pixels.shape[-1] if isinstance(data, Splits) else 224
    return _Subject(type(network).__name__, replace(fast(side), init=AsBuilt()), channels)


def _recipe(subject: _Subject, recipe: str | Recipe | None, data: str | Splits) -> Recipe:
    if isinstance(recipe, Recipe):
        return recipe
    if recipe == "fast":
        return fast(subject.recipe.crop)
    if recipe not in (None, "paper"):
        raise ValueError(f"there is no recipe {recipe!r}; there is paper, fast")
    own = OWN_RECIPES.get((subject.name, data)) if isinstance(data, str) else None
    return own if own and recipe is None else subject.recipe


def _differences(recipe: Recipe, paper: Recipe) -> dict[str, list[Any]]:
    return {
        name: [describe(ours), describe(theirs)]
        for name, (ours, theirs) in differences(recipe, paper).items()
    }


def _build(name: str, splits: Splits) -> nn.Module:
    return catalog.find(name).build(classes=len(splits.classes), channels=splits.channels)


def _require_fit(network: nn.Module, shape: tuple[int, int, int], classes: int) -> None:
    """Raises a ValueError, before anything is written, when the network and the data do not fit."""
    if reason := explain(network, (2, *shape)):
        raise ValueError(reason)
    try:
        scores = meta_copy(network).eval()(torch.empty(2, *shape, device="meta"))
    except NotImplementedError:  # it depends on values, so there is no saying beforehand
        return
    if tuple(scores.shape) != (2, classes):
        raise ValueError(
            f"the network gives {tuple(scores.shape)} for two pictures of {classes} classes; "
            f"it should give (2, {classes})"
        )


def _new_directory(network: str, data: str) -> Path:
    names = (Path(name.partition(":")[0]).stem for name in (network, data))
    return Path("runs") / f"{'-'.join(names)}-{datetime.now():%Y%m%d-%H%M%S}"
