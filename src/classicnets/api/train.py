"""Training: a network, data and a recipe become a run directory."""

import platform
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import nn

from classicnets.data.images import Splits
from classicnets.data.listing import training_digests
from classicnets.data.sets import open_data
from classicnets.evaluation.metrics import Evaluation
from classicnets.evaluation.protocols import find_protocol
from classicnets.measure.live import Live
from classicnets.recipes.adapt import adapt
from classicnets.support.arguments import answering
from classicnets.support.devices import select_device
from classicnets.support.errors import TrainingAdvice, first_few, warn_user
from classicnets.support.files import lock_directory
from classicnets.support.names import file_names
from classicnets.support.rng import require_seed
from classicnets.support.tables import html_text
from classicnets.training.execution import distributed
from classicnets.training.execution.batches import images_needed
from classicnets.training.execution.execution import Execution, resolve_execution
from classicnets.training.recipe.overrides import as_text, override
from classicnets.training.recipe.recipe import Recipe, differences, shown
from classicnets.training.run import checkpoint, loop
from classicnets.training.run.config import RunConfig
from classicnets.training.run.curves import EpochMetrics
from classicnets.training.run.directory import Run, create, require_free
from classicnets.training.run.stages import freeze, require_start
from classicnets.training.run.state import Record, TrainingState

from .evaluate import evaluate_network
from .finetune import from_run
from .introduction import advice, introduction
from .planned import run_measured, run_peaks, run_seconds
from .pretrained import open_start
from .recipes import (
    SETTINGS,
    Target,
    adaptable,
    choose_recipe,
    fit_to_network,
    macs_on_cpu,
    recognised,
    resolve_network,
    set_by_hand,
    with_overrides,
)
from .runs import build_seeded

_OWN = (
    "and is trained like one of your own, from the values it has and by the recipe 'fast'; "
    "train({like!r}, ...) takes its paper's recipe, and recipe='fast' says that this one is meant"
)
SAVE_EVERY = 600  # seconds; an epoch may take hours
QUICK = 0.1  # seconds; a checkpoint that takes longer is written in a tenth of the time at most


@dataclass(repr=False)
class Training:
    """A run in progress. Iterating it trains, and yields a record per step; `finish` does it all.

    `run` is its directory; `config` is the run's, on the device used here, with a recipe of your
    own as it stands in your file. Printed, it says all that the command line does before the first
    step. After the last record the network holds the weights with the best validation, and `test`
    their evaluation on the test part, which has not been looked at before. The state on disk stays
    that of the last step. `adapted` says why fields of the recipe differ from those asked for,
    `chosen` how steps are executed, and why; `given` are the fields set by hand.
    """

    run: Run
    config: RunConfig
    splits: Splits
    state: TrainingState
    workers: int | None = None
    adapted: Mapping[str, str] | None = None
    chosen: str = ""
    given: Collection[str] = ()

    def __post_init__(self) -> None:
        self.saved = self.state.step if self.run.last.exists() else None  # the step on disk
        self.rests = 0.0  # no checkpoint after an epoch until then, in seconds
        self.test: Evaluation | None = None
        self.live = Live()  # the operators of a step, for a prediction of its time

    def __repr__(self) -> str:
        return f"{self.run!r}\nstep: {self.state.step:,} of {self.config.total_steps:,}"

    def __str__(self) -> str:
        return "\n".join(introduction(self))

    def _repr_html_(self) -> str:
        step = f"step {self.state.step:,} of {self.config.total_steps:,}"
        return self.run._repr_html_() + html_text(step, "p")

    @property
    def directory(self) -> Path:
        return self.run.directory

    @property
    def network(self) -> nn.Module:
        return self.state.network

    @property
    def recipe(self) -> Recipe:
        return self.config.recipe

    @property
    def stopped_early(self) -> str:
        """Why training has ended before its length; empty where it has not."""
        if not loop.has_stalled(self.state, self.config):
            return ""
        done, waited = self.state.step // self.config.steps_per_epoch, self.state.waited
        best = self.run.notes.get("best_epoch", "?")  # which the first process knows
        return (
            f"no better validation in {waited} epoch{'s' * (waited != 1)}, the patience of the "
            f"recipe: stopped after epoch {done} of {self.config.epochs}, the best was {best}"
        )

    def __iter__(self) -> Iterator[Record]:
        began, saved, kept = perf_counter(), perf_counter(), True
        if distributed.rank() == 0:
            lock_directory(self.directory)
        try:
            for record in loop.train(self.state, self.config, self.splits, self.workers):
                if record.validation is not None:
                    kept = False
                    self._end_epoch(record, perf_counter() - began)
                    began, saved, kept = perf_counter(), perf_counter(), True
                elif perf_counter() - saved > SAVE_EVERY:
                    self.save()
                    saved = perf_counter()
                yield record
            self.save()
            self.test = distributed.broadcast(self._tested() if distributed.rank() == 0 else None)
        except loop.Diverged:
            raise
        except (ValueError, OSError) as error:  # a file has gone, or the disk is full
            if distributed.rank() > 0:  # another process writes
                raise
            with suppress(ValueError, OSError):
                if kept:  # the metrics and weights of an epoch that has ended
                    self.save()
            held = "no checkpoint" if self.saved is None else f"a checkpoint of step {self.saved}"
            kind = OSError if isinstance(error, OSError) else ValueError
            raise kind(f"{error}; {self.directory} holds {held}") from error

    def finish(self) -> Evaluation:
        """Trains to the end and returns the evaluation on the test part."""
        for _ in self:
            pass
        assert self.test is not None
        return self.test

    def save(self) -> Path:
        """Writes a checkpoint to resume from, and returns its path.

        Raises a ValueError when the loss or a weight is no longer finite and an OSError when it
        cannot be written; both leave the previous one.
        """
        loop.require_finite(self.state, weights=True)
        if self.saved != self.state.step and distributed.rank() == 0:
            began = perf_counter()
            checkpoint.save(self.state, self.run.last, self.run.config.fixed())
            self.saved, taken = self.state.step, perf_counter() - began
            self.rests = began + 10 * taken if taken > QUICK else began
        return self.run.last

    def _end_epoch(self, record: Record, seconds: float) -> None:
        if distributed.rank() > 0:
            return
        if record.best:
            self.run.save_weights(self.state.evaluated)
            self.run.note(best_epoch=record.epoch)
        self.run.add_epoch(EpochMetrics.of(record, seconds))
        if perf_counter() >= self.rests:
            self.save()
        else:
            loop.require_finite(self.state, weights=True)  # as saving does

    def _tested(self) -> Evaluation:
        self.run.draw()
        self.run.load_weights(self.network)
        test = evaluate_network(self.network, self.splits.test, self.config)
        early = {"stopped_early": self.stopped_early} if self.stopped_early else {}
        # before the rates of the machine are sampled, which needs memory
        measured = run_measured(self.run, self.state.totals.device)
        plan = {**self.run.notes.get("plan", {}), **self._predicted()}
        self.run.note(test=test.as_json(), measured=measured, plan=plan, **early)
        return test

    def _predicted(self) -> dict[str, float]:
        """The seconds of an epoch by the planner; nothing for a resumed run, and for several
        processes."""
        if self.live.work and self.config.processes == 1:
            with suppress(ValueError, RuntimeError):  # no memory is left to sample the rates
                seconds = run_seconds(self.config, self.network, self.splits, self.live)
                return {"seconds_per_epoch": seconds}
        return {}


@answering(fields=SETTINGS)
def train(
    network: str | nn.Module | Callable[..., nn.Module],
    data: str | Path | Splits = "digits",
    recipe: str | Recipe | None = None,
    epochs: int | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    device: str = "auto",
    overrides: Mapping[str, Any] | None = None,
    init_from: str | Path | None = None,
    execution: Execution | None = None,
    workers: int | None = None,
    unreadable: str = "skip",
    allow_missing_classes: bool = False,
    exist_ok: bool = False,
) -> Training:
    """Prepares a training, to be iterated; nothing is written before all of it has been checked.

    `network` is a name, `path/to/file.py:builder`, a builder or a module.
    `recipe` is "paper" (the default), "fast", `FILE.py` or `FILE.py:NAME`, or a Recipe; your own
    module is trained by "fast" from the values it has. `epochs` makes the recipe shorter or longer
    in proportion, and `overrides` changes any other field, name -> value, or its text as one types
    it after `--set`. `init_from` is a run of the same network whose weights training starts from,
    the source of published ones, such as "torchvision", or a file of those; the recipe is then
    "fine-tune" by default; for other classes the last layer is new; pixels are scaled as there.
    `out` is a new directory, `runs/<network>-<data>-<time>` by default; with `exist_ok` that of a
    run will do, whose files are replaced once all has been checked. `workers` processes read files
    ahead; by default one per processor where a GPU computes, else none, since the computing threads
    then read in between. `unreadable` files are left out ("skip") or an error ("refuse"). With
    `allow_missing_classes` validation and test images may lack classes.

    Raises ValueError for an unknown name, recipe, field or device, for data that cannot be read or
    do not fit the network or the recipe, a seed that torch does not take, and a directory that is
    not empty or not writable.

    >>> from classicnets.data.synthetic import shapes
    >>> from tempfile import mkdtemp
    >>> net = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(48, 4))
    >>> train(net, shapes(), epochs=1, out=mkdtemp()).finish().images
    24
    """
    check_arguments(seed, workers)
    data = str(data) if isinstance(data, Path) else data
    where = distributed.init(select_device(device), "a new run")
    target = resolve_network(network, data)
    start = None if init_from is None else open_start(init_from, target.name)
    chosen_recipe = choose_recipe(target, recipe, data, start)
    wanted = with_overrides(chosen_recipe, epochs, overrides)
    find_protocol(wanted.protocol)
    directory = _new_directory(out, target, data, exist_ok)
    if isinstance(data, Splits):
        splits = data
    else:
        options = {"unreadable": unreadable, "allow_missing_classes": allow_missing_classes}
        whole = wanted.crop_sampler.whole
        splits = open_data(data, wanted.side, target.channels, whole=whole, **options)
    distributed.require_same("their data", splits.digest)
    shape = (splits.channels, wanted.crop, wanted.crop)
    module = build_seeded(target.build, len(splits.classes), shape, seed)
    if start is not None:
        given = set_by_hand(chosen_recipe, wanted, epochs, overrides)
        values = from_run(start, wanted, module, target, splits.classes, given)
        overrides = {**(overrides or {}), **values}
        wanted = override(wanted, values)
    require_start(wanted)
    freeze(module, wanted)
    source = adaptable(target, chosen_recipe, recipe, data)
    given = set_by_hand(chosen_recipe, wanted, epochs, overrides)
    wanted, adapted = adapt(wanted, splits, source, given, macs_on_cpu(target, wanted, where))
    wanted, fixed = fit_to_network(wanted, module, target.name, shape, len(splits.classes))
    config, chosen = _configure(
        target, wanted, splits, module.to(where), execution or Execution(), seed
    )
    loop.initialise(module, wanted, seed)
    training = begin(Run(directory, config), config, splits, module, where, workers)
    training.run.require_storable(module)
    loop.dry_run(training.state, training.config, training.splits)
    training.adapted, training.chosen, training.given = adapted | fixed, chosen, given
    if distributed.rank() == 0:
        named = recipe if isinstance(recipe, str) else ""
        origin = {"recipe": named, "epochs": epochs, "overrides": as_text(overrides or {})}
        plan = run_peaks(config, module, training.live)
        notes = {"origin": origin, "adapted": dict(training.adapted), "plan": plan}
        notes |= _environment(splits, module, where)
        like = recognised(module) if isinstance(network, nn.Module) else ""
        notes |= {"like": like} if like else {}
        digests = training_digests(splits)
        training.run = create(directory, config, digests, exist_ok, target.design, **notes)
        if like and recipe is None:
            warn_user(f"this module is {like}, {_OWN.format(like=like)}", TrainingAdvice)
    training.saved = None  # not what a run that is replaced had
    warn_of(training)
    return training


def warn_of(training: Training) -> None:
    """Warns of what is probably not meant in a training; the command line prints it."""
    twice = training.splits.duplicates
    for line in (*advice(training), *[first_few(twice)] * bool(twice)):
        warn_user(line, TrainingAdvice)


def begin(
    run: Run,
    config: RunConfig,
    splits: Splits,
    network: nn.Module,
    device: torch.device,
    workers: int | None,
) -> Training:
    """The training of a network that has its initial values, with all data on the device."""
    config.require_batches()
    config = replace(config, scaling=config.scaling.to(device))
    state = loop.start(network, config)
    return Training(run, config, splits.to(device), state, workers)


def check_arguments(seed: int, workers: int | None) -> None:
    """Raises a ValueError for a seed or a number of workers that is out of range."""
    require_seed(seed)
    if workers is not None and workers < 0:
        raise ValueError(f"workers must be at least 0, not {workers}")


def _new_directory(
    out: str | Path | None, target: Target, data: str | Splits, exist_ok: bool
) -> Path:
    """Where the run is to be written. Raises a ValueError where it cannot be."""
    if out is None:
        name = data if isinstance(data, str) else data.name
        names = [Path(name.partition(":")[0]).stem for name in (target.name, name)]
        (safe,) = file_names(["-".join([*names, f"{datetime.now():%Y%m%d-%H%M%S}"])])
        out = Path("runs") / safe
    directory = distributed.broadcast(Path(out))
    if distributed.rank() == 0:
        require_free(directory, exist_ok)
    return directory


def _configure(
    target: Target,
    recipe: Recipe,
    splits: Splits,
    network: nn.Module,
    execution: Execution,
    seed: int,
) -> tuple[RunConfig, str]:
    """The configuration of the run, and how and why its steps are executed so."""
    shape = (splits.channels, recipe.crop, recipe.crop)
    execution, chosen = resolve_execution(execution, network, shape, recipe.batch, recipe.optimizer)
    differing = differences(recipe, target.recipe) if target.published else {}
    differing = {name: (plain(a), plain(b)) for name, (a, b) in differing.items()}
    resize = recipe.progressive_resizing
    side = resize(recipe.crop, 0.0) if resize else recipe.crop
    minimum = images_needed(network, (splits.channels, side, side), len(splits.classes))
    config = RunConfig.fit(recipe, splits, execution, seed, target.name, differing, minimum)
    return config, chosen


def _environment(splits: Splits, network: nn.Module, device: torch.device) -> dict[str, Any]:
    """What run.json says of the machine and the data beside the configuration."""
    count = sum(p.numel() for p in network.parameters() if p.requires_grad)
    return {
        "skipped": list(splits.skipped),
        "left_out": list(splits.left_out),
        "duplicates": list(splits.duplicates),
        "device": str(device),
        "versions": versions(),
        "parameters": count,
    }


def versions() -> dict[str, str]:
    """The versions of what a run is computed with."""
    found = {"python": platform.python_version(), "torch": str(torch.__version__)}
    return found | {package: version(package) for package in ("classicnets", "numpy")}


def plain(value: object) -> int | str:
    """The value of a field as `differences` has it."""
    return value if isinstance(value, int) else shown(value)
