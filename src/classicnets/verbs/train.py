"""To train, and to go on: a network, data and a recipe become a run directory."""

import json
import platform
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import nn

from classicnets.data.images import Splits
from classicnets.data.sets import open_data
from classicnets.evaluation.metrics import Evaluation
from classicnets.evaluation.protocols import protocol
from classicnets.layers.fit import scores_shape
from classicnets.recipes.adapt import adapted
from classicnets.training import checkpoint, loop, parallel
from classicnets.training.changes import changed
from classicnets.training.curve import Row
from classicnets.training.description import Own, describe
from classicnets.training.disk import claim
from classicnets.training.init import AsBuilt
from classicnets.training.loop import Plan, Record, State
from classicnets.training.recipe import Recipe, differences
from classicnets.training.run import Facts, Run, create, open_run, require_free
from classicnets.training.step import Execution, elsewhere, settled

from .judge import built, device_named, judge, require_unchanged
from .recipe import Subject, chosen, load_recipe, subject

SAVE_EVERY = 600  # seconds; a pass may take hours


class Training:
    """A run under way. Iterating it trains, and yields a record per step; `finish` does it all.

    After the last record the network holds the weights that were best on validation, and `test`
    their evaluation on the test part, which has not been looked at before. The state on disk stays
    that of the last step. `adapted` says why fields of the recipe are not those that were asked
    for, and `picked` how steps are executed, and why.
    """

    def __init__(
        self, run: Run, plan: Plan, state: State, adapted: Mapping[str, str], picked: str
    ) -> None:
        self.run = run
        self.plan = plan
        self.state = state
        self.adapted = adapted
        self.picked = picked
        self.saved = state.step if run.last.exists() else None  # the step that is on disk
        self.test: Evaluation | None = None

    @property
    def directory(self) -> Path:
        return self.run.directory

    @property
    def network(self) -> nn.Module:
        return self.state.network

    @property
    def recipe(self) -> Recipe:
        return self.plan.recipe

    @property
    def splits(self) -> Splits:
        return self.plan.splits

    def __iter__(self) -> Iterator[Record]:
        began = kept = perf_counter()
        if parallel.rank() == 0:
            claim(self.directory)
        try:
            for record in loop.train(self.state, self.plan):
                if record.validation is not None:
                    self._end_epoch(record, perf_counter() - began)
                    began = kept = perf_counter()
                elif perf_counter() - kept > SAVE_EVERY:
                    self.save()
                    kept = perf_counter()
                yield record
            self.test = parallel.told(self._tested() if parallel.rank() == 0 else None)
        except loop.Diverged:
            raise
        except (ValueError, OSError) as error:  # a file has gone, or the disk is full
            with suppress(ValueError, OSError):
                self.save()
            held = "nothing" if self.saved is None else f"step {self.saved}"
            kind = OSError if isinstance(error, OSError) else ValueError
            raise kind(f"{error}; {self.directory} holds {held} to go on from") from error

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
        if self.saved != self.state.step and parallel.rank() == 0:
            checkpoint.save(self.state, self.run.last, _told(self.run.facts, self.recipe))
            self.saved = self.state.step
        return self.run.last

    def _end_epoch(self, record: Record, seconds: float) -> None:
        assert record.validation is not None
        if parallel.rank() > 0:
            return
        if record.best:
            self.run.save_weights(self.state.judged)
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

    def _tested(self) -> Evaluation:
        self.run.load_weights(self.network)
        test = judge(self.network, self.splits.test, self.run.facts)
        self.run.note(test=test.as_json())
        return test


def train(
    network: str | nn.Module,
    data: str | Splits = "digits",
    recipe: str | Recipe | None = None,
    epochs: int | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    device: str = "auto",
    changes: Mapping[str, str] | None = None,
    execution: Execution | None = None,
    workers: int | None = None,
    unreadable: str = "skip",
) -> Training:
    """A training ready to be iterated; nothing is written before all of it has been prepared.

    `recipe` is "paper" (the default), "fast", `FILE.py` or `FILE.py:NAME`, or a Recipe; a module of
    one's own is trained by "fast" from the values it has. `epochs` makes the recipe shorter or
    longer in proportion, and `changes` changes any other field, name -> value as in
    `training.changes`. `out` is a new directory, `runs/<network>-<data>-<time>` if not given.
    `workers` processes read ahead what does not lie in memory; if not given, one for each processor
    where a GPU computes, and else none: the threads that compute read in between. Files that are
    `unreadable` are left out ("skip"), or refused ("refuse").

    Raises ValueError for an unknown name, recipe, field or device, for data that cannot be read or
    do not fit the network or the recipe, a seed that torch does not take, and a directory that is
    not empty or not writable.

    >>> from classicnets.data.synthetic import shapes
    >>> from tempfile import mkdtemp
    >>> net = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(48, 4))
    >>> train(net, shapes(), epochs=1, out=mkdtemp()).finish().images
    24
    """
    if not isinstance(seed, int) or not 0 <= seed < 2**64:
        raise ValueError(f"seed must be a whole number from 0 to 2**64 - 1, not {seed!r}")
    if workers is not None and workers < 0:
        raise ValueError(f"workers must be at least 0, not {workers}")
    where = parallel.join(device_named(device))
    origin = {"recipe": recipe if isinstance(recipe, str) else "", "epochs": epochs}
    origin |= {"changes": dict(changes or {})}
    of = subject(network, data)
    wanted = _wanted(of, recipe, data, epochs, changes)
    protocol(wanted.protocol)
    name = data if isinstance(data, str) else data.name
    directory = Path(out) if out is not None else parallel.told(_new_directory(of.name, name))
    if parallel.rank() == 0:
        require_free(directory)
    whole = wanted.window.whole
    splits = (
        data
        if isinstance(data, Splits)
        else open_data(data, wanted.side, of.channels, whole=whole, unreadable=unreadable)
    )
    wanted, reasons = adapted(wanted, splits)
    parallel.require_shares(len(splits.train), wanted.batch)
    module = _module(of, splits, seed)
    shape = (splits.channels, wanted.crop, wanted.crop)
    _require_fit(module, shape, len(splits.classes))
    wanted, fixed = _growing(wanted, module, shape)
    reasons |= fixed
    module.to(where)
    execution, picked = settled(
        execution or Execution(), module, shape, wanted.batch, wanted.optimizer
    )
    facts = Facts(
        network=of.name,
        input=shape,
        side=wanted.side,
        classes=splits.classes,
        data=splits.name,
        pictures=splits.sizes,
        digest=splits.digest,
        recipe=wanted,
        differences=_differences(wanted, of.recipe),
        scaling=wanted.pixels.fit(splits.train, wanted.side, wanted.crop),
        augment=tuple(part.fit(splits.train) for part in wanted.augment),
        execution=execution,
        seed=seed,
    )
    plan = _plan(facts, wanted, splits, where, workers)
    state = loop.start(module, plan)
    loop.rehearse(state, plan)
    versions = {"python": platform.python_version(), "torch": str(torch.__version__)}
    versions |= {package: version(package) for package in ("classicnets", "numpy")}
    notes = {"skipped": list(splits.skipped), "device": str(where), "versions": versions}
    notes |= {"origin": origin, "adapted": reasons, "parameters": _count(module)}
    run = create(directory, facts, **notes) if parallel.rank() == 0 else Run(directory, facts)
    return Training(run, plan, state, reasons, picked)


def resume(
    run: str | Path,
    network: nn.Module | None = None,
    data: Splits | None = None,
    device: str = "auto",
    workers: int | None = None,
) -> Training:
    """The training of this run, exactly where it was saved, or from its beginning if nowhere.

    A run of one's own module needs that module again, and one of data made in Python the data.
    Raises ValueError when the run is missing, damaged, of another network, when its recipe, data
    or the file of its recipe have changed since, and for an unknown device.
    """
    where = parallel.join(device_named(device))
    found = open_run(Path(run))
    facts = found.facts
    recipe = facts.recipe if isinstance(facts.recipe, Recipe) else _own_recipe(found)
    splits = data or open_data(facts.data, facts.side, facts.input[0], whole=recipe.window.whole)
    require_unchanged(facts, splits)
    if network is None:
        built(found, None)  # refuses a run of a module that only Python has
        module = _module(subject(facts.network, splits), splits, facts.seed)
    else:
        module = network
    saved = found.last.exists()
    if not saved and network is not None:
        raise ValueError(f"there is no {found.last}, so nothing to go on from; train anew")
    plan = _plan(facts, recipe, splits, where, workers)
    plan = replace(plan, execution=elsewhere(facts.execution, where))
    # what the recipe would draw is read instead
    begin = replace(recipe, init=AsBuilt()) if saved else recipe
    state = loop.start(module.to(where), replace(plan, recipe=begin))
    if saved:
        checkpoint.restore(state, found.last, _told(facts, recipe))
    if parallel.rank() == 0:
        found.forget_rows_after(state.step)
    return Training(found, plan, state, {}, "")


def _wanted(
    of: Subject,
    recipe: str | Recipe | None,
    data: str | Splits,
    epochs: int | None,
    changes: Mapping[str, str] | None,
) -> Recipe:
    """The recipe as it was asked for."""
    wanted = chosen(of, recipe, data)
    if epochs is not None:
        wanted = replace(wanted, epochs=epochs, steps=None)
    return changed(wanted, changes) if changes else wanted


def _own_recipe(run: Run) -> Recipe:
    """The recipe of a run that has parts from a file of one's own, read from that file again."""
    origin = run.notes.get("origin", {})
    file = str(origin.get("recipe", ""))
    held = run.facts.recipe
    assert isinstance(held, Own)
    if ".py" not in file:
        raise ValueError(
            f"the recipe of {run.directory} has a part of your own, {held.source}, which a run "
            "does not keep: it can be evaluated, and not gone on with"
        )
    recipe = load_recipe(file)
    if origin.get("epochs") is not None:
        recipe = replace(recipe, epochs=origin["epochs"], steps=None)
    recipe = changed(recipe, origin.get("changes", {}))
    then = json.loads((run.directory / "run.json").read_text(encoding="utf-8"))["recipe"]
    now = json.loads(json.dumps(describe(recipe)))
    for name in then:
        if name not in run.notes.get("adapted", {}) and then[name] != now.get(name):
            raise ValueError(
                f"{file} has changed since the run: {name} was {then[name]} and is {now.get(name)}"
            )
    return recipe


def _plan(
    facts: Facts, recipe: Recipe, splits: Splits, where: torch.device, workers: int | None
) -> Plan:
    train, validation, test = (p.to(where) for p in (splits.train, splits.validation, splits.test))
    augment = facts.augment
    if isinstance(augment, Own):
        augment = tuple(part.fit(splits.train) for part in recipe.augment)
    return Plan(
        recipe=recipe,
        splits=replace(splits, train=train, validation=validation, test=test),
        scaling=facts.scaling.to(where),
        augment=augment,
        execution=facts.execution,
        seed=facts.seed,
        workers=workers,
    )


def _module(of: Subject, splits: Splits, seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return of.build(classes=len(splits.classes), channels=splits.channels)


def _count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def _told(facts: Facts, recipe: Recipe) -> dict[str, Any]:
    """What of a run must stay as it is, field by field."""
    fixed = ("input", "side", "scaling", "execution", "seed")
    return {f"recipe.{name}": part for name, part in describe(recipe).items()} | {
        name: describe(getattr(facts, name)) for name in fixed
    }


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


def _growing(
    recipe: Recipe, network: nn.Module, shape: tuple[int, int, int]
) -> tuple[Recipe, dict[str, str]]:
    """The recipe without growth, and why, where the network takes no other size."""
    if recipe.growth is None:
        return recipe, {}
    small = recipe.growth(recipe.crop, 0.0)
    try:
        scores_shape(network, (2, shape[0], small, small))
    except ValueError:
        reason = f"the network takes {recipe.crop} pixels, and not the {small} of the first passes"
        return replace(recipe, growth=None), {"growth": reason}
    return recipe, {}


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
