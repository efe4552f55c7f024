"""Planning a training: whether it fits into memory and how long it takes, before it starts."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache, partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import nn

from classicnets import catalog
from classicnets.data.crops import centre_boxes
from classicnets.data.images import Splits
from classicnets.data.loader import stream
from classicnets.data.sets import open_data
from classicnets.measure import roofline
from classicnets.measure.live import Live
from classicnets.measure.machines import MACHINES, Machine
from classicnets.measure.sizes import scores_shape
from classicnets.recipes.adapt import adapt
from classicnets.support.devices import (
    free_memory,
    network_device,
    peak_memory,
    select_device,
    supports_bf16,
)
from classicnets.support.meta import meta_copy
from classicnets.support.tables import align, format_bytes
from classicnets.support.units import format_seconds, parse_bytes, parse_seconds
from classicnets.training.execution.execution import Execution, choose_precision
from classicnets.training.execution.memory import (
    MARGIN,
    RUNTIME,
    Peak,
    largest_batch,
    largest_peak,
    training_peaks,
)
from classicnets.training.execution.plan import Option, Plan, Seconds, fits, predict_step
from classicnets.training.recipe.optimizers import OptimizerSpec
from classicnets.training.recipe.recipe import Recipe
from classicnets.training.run.config import RunConfig
from classicnets.training.run.directory import Run, open_run

from .recipes import (
    Target,
    adaptable,
    choose_recipe,
    resolve_network,
    set_by_hand,
    with_overrides,
)
from .speed import time_steps

NOTHING_READ = "Reading images is not in it, since without data none are read."
READ = 64  # images that are read to time the reader
REVIEWED = {"peak_bytes": lambda n: format_bytes(int(n)), "seconds_per_epoch": format_seconds}
SIDES = (0.75, 0.5)  # of the recipe's, tried where memory is short
SMALLER, LESS = 3, 0.9  # networks of the same paper that are tried; one needs so much less


def plan(
    network: str | nn.Module | Callable[..., nn.Module],
    data: str | Path | Splits | None = None,
    recipe: str | Recipe | None = None,
    epochs: int | None = None,
    batch: int | None = None,
    memory: str | float | None = None,
    time: str | float | None = None,
    device: str = "auto",
    measure: bool = False,
) -> Plan:
    """The memory and the time that `train` would need with the same arguments.

    Without `data` the images are as many as the paper's. `memory` (bytes, or text such as "8GB") is
    by default what is free, and `time` (seconds, or "2h") has no default. `device` may be one that
    is not here, such as "h100", for an estimate from its data sheet. With `measure` five real steps
    are timed. Raises a ValueError where `train` does, for other units and unknown devices, and for
    a network that cannot run without values.
    """
    given = parse_bytes(memory) if memory is not None else None
    limit = parse_seconds(time) if time is not None else None
    where = _Where.find(device)
    if measure and where.machine:
        raise ValueError(f"{device} is not here, so nothing can be measured; leave out --measure")
    data = str(data) if isinstance(data, Path) else data
    target = resolve_network(network, data if data is not None else "")
    changes = {"batch": str(batch)} if batch is not None else None
    chosen = choose_recipe(target, recipe, data or "")
    wanted = with_overrides(chosen, epochs, changes)
    splits = _opened(data, wanted, target)
    if splits is not None:
        source = adaptable(target, chosen, recipe, data or "")
        wanted, _ = adapt(wanted, splits, source, set_by_hand(chosen, wanted, changes))
    job = _Job(target, wanted, splits, where)
    budget = given or where.free()
    precision = job.precision()
    most = largest_batch(
        job.network, job.shape, budget - MARGIN * job.runtime, precision, *job.state
    )
    if measure and not most:
        raise ValueError(
            f"not one image fits in {format_bytes(int(budget))}, so no step can be measured; "
            "leave out --measure"
        )
    parts = math.ceil(wanted.batch / most) if 0 < most < wanted.batch else 1
    live = Live()
    peaks = job.peaks(wanted.batch, precision, parts, live)
    whole = job.peaks(wanted.batch, precision) if parts > 1 else peaks
    count = len(splits.train) if splits else max(wanted.paper_images, 1)
    step = job.measured(precision, parts) if measure else job.predicted(live, precision, parts)
    steps = wanted.total_steps(count)
    return Plan(
        network=target.name,
        input=job.shape,
        data=splits.name if splits else "the paper",
        images=count,
        validation=len(splits.validation) if splits else 0,
        batch=wanted.batch,
        parts=1,
        steps=steps,
        epochs=steps / wanted.steps_per_epoch(count),
        precision=precision,
        device=where.title,
        peaks=whole,
        budget=budget,
        largest_batch=most,
        step=step,
        reading=_reading(splits, wanted) if splits and not where.machine else 0.0,
        time_budget=limit,
        options=() if fits(largest_peak(whole), budget) else job.options(budget, most, precision),
        notes=where.notes or (() if splits else (NOTHING_READ,)),
    )


@dataclass(frozen=True)
class _Where:
    """A device that is here, or a machine known from its data sheet."""

    name: str
    device: torch.device
    machine: Machine | None = None

    @classmethod
    def find(cls, name: str) -> "_Where":
        if machine := MACHINES.get(name.lower()):
            return cls(name.lower(), torch.device("cuda"), machine)
        try:
            return cls(name, select_device(name))
        except ValueError as error:
            near = get_close_matches(name.lower(), MACHINES, n=1, cutoff=0.7)
            known = f"auto and cpu can, and estimates know {', '.join(MACHINES)}"
            hint = f"did you mean {near[0]}?" if near else known
            raise ValueError(f"the device {name!r} cannot be used here; {hint}") from error

    @property
    def title(self) -> str:
        return self.machine.title if self.machine else str(self.device)

    @property
    def notes(self) -> tuple[str, ...]:
        if self.machine is None:
            return ()
        return (
            f"An estimate for a device that is not here, from the {self.machine.source}; "
            "reading images is not in it.",
        )

    def bf16(self) -> bool:
        return self.machine.bf16 is not None if self.machine else supports_bf16(self.device)

    def free(self) -> float:
        if self.machine:
            return self.machine.memory
        used = peak_memory(self.device)  # what this process has would be another's
        return free_memory(self.device) + (0.0 if math.isnan(used) else used)

    def peaks(self, precision: str) -> dict[str, float]:
        if self.machine:
            return self.machine.peaks()
        return _rates(self.device, precision)


class _Job:
    """A network without values, its recipe, and where it is to be trained."""

    def __init__(self, target: Target, recipe: Recipe, splits: Splits | None, where: _Where):
        self.target, self.recipe, self.splits, self.where = target, recipe, splits, where
        self.channels = splits.channels if splits else target.channels
        self.shape = (self.channels, recipe.crop, recipe.crop)
        self.network = self._built("meta")
        scores_shape(self.network, (2, *self.shape))
        self.copies = _copies(recipe)
        self.state = (self.copies, where.device.type)

    @property
    def runtime(self) -> int:
        return RUNTIME.get(self.where.device.type, 0)

    def _built(self, device: str, builder: Callable[..., nn.Module] | None = None) -> nn.Module:
        classes = {"classes": len(self.splits.classes)} if self.splits else {}
        build = partial(builder or self.target.build, channels=self.channels, **classes)
        try:
            with torch.device(device):
                return build()
        except Exception:  # a builder of your own may need values
            return build()

    def precision(self) -> str:
        elements = self.recipe.batch * math.prod(self.shape)
        cpu = self.where.device.type == "cpu"
        return choose_precision(self.network, elements, cpu, self.where.bf16())[0]

    def peaks(
        self, batch: int, precision: str, parts: int = 1, live: Live | None = None
    ) -> tuple[Peak, ...]:
        arguments = (self.shape, batch, parts, self.copies, precision, self.where.device.type)
        return training_peaks(self.network, *arguments, live=live)

    def predicted(self, live: Live, precision: str, parts: int) -> Seconds:
        weights = sum(p.numel() * p.element_size() for p in self.network.parameters())
        kind = self.where.device.type
        peaks = self.where.peaks(precision)
        step = predict_step(live, weights, self.copies, peaks, precision, kind) * float(parts)
        return replace(step, source="estimate") if self.where.machine else step

    def measured(self, precision: str, parts: int) -> Seconds:
        execution = Execution(precision, accumulation_steps=parts)
        module = self._built("cpu")
        device, batch = self.where.device, self.recipe.batch
        rounds = time_steps(module, self.recipe, self.shape, batch, device, execution)
        return Seconds(min(rounds), median(rounds), max(rounds), "measured")

    def options(self, budget: float, most: float, precision: str) -> tuple[Option, ...]:
        """What `train` can do to need less, each with its memory."""
        batch, found = self.recipe.batch, []
        whole = largest_peak(self.peaks(batch, precision)).total

        def add(command: str, effect: str, peaks: Sequence[Peak]) -> None:
            peak = largest_peak(peaks)
            found.append(Option(command, effect, peak, fits(peak, budget)))

        if 0 < most < batch:
            parts, smaller = math.ceil(batch / most), int(most)
            effect = f"the same update from {parts:,} parts of a batch; train does it by itself "
            add("none", f"{effect}where memory is short", self.peaks(batch, precision, parts))
            effect = "other updates: the learning rate may need a change too"
            add(f"--set batch={smaller}", effect, self.peaks(smaller, precision))
        if precision == "fp32" and self.where.bf16():
            effect = "activations of half the size"
            add("--precision bf16", effect, self.peaks(batch, "bf16"))
        for fraction in SIDES:
            self._add_smaller(round(self.recipe.crop * fraction), batch, precision, add)
        for name in self._smaller_networks():
            peaks = self._peaks_of(self._built("meta", catalog.find(name).build), precision)
            if largest_peak(peaks).total < LESS * whole or fits(largest_peak(peaks), budget):
                add(name, "a smaller network of the paper", peaks)
                break
        last = [name.rpartition(".")[0] for name, _ in self.network.named_parameters()][-1]
        frozen = meta_copy(self.network)
        for name, parameter in frozen.named_parameters():
            parameter.requires_grad_(name.rpartition(".")[0] == last)
        effect = f"only {last} learns: requires_grad_(False) for all others, from Python"
        add("frozen layers", effect, self._peaks_of(frozen, precision))
        return tuple(found)

    def _peaks_of(self, network: nn.Module, precision: str) -> tuple[Peak, ...]:
        arguments = (self.shape, self.recipe.batch, 1, self.copies, precision)
        return training_peaks(network, *arguments, self.where.device.type)

    def _smaller_networks(self) -> list[str]:
        """Those of the same paper with the next fewer parameters, if it is of the catalogue."""
        if not self.target.published:
            return []
        own = catalog.find(self.target.name)
        fewer = [
            entry
            for entry in catalog.CATALOG.values()
            if entry.paper == own.paper and entry.params < own.params and entry.input == own.input
        ]
        return [e.name for e in sorted(fewer, key=lambda e: -e.params)[:SMALLER]]

    def _add_smaller(self, crop: int, batch: int, precision: str, add: Any) -> None:
        shape = (self.channels, crop, crop)
        try:
            scores_shape(self.network, (2, *shape))
            peaks = training_peaks(
                self.network, shape, batch, 1, self.copies, precision, self.where.device.type
            )
        except ValueError:  # the network takes one size only
            return
        side = round(self.recipe.side * crop / self.recipe.crop)
        add(f"--set crop={crop} --set side={side}", "smaller images: less detail", peaks)


def _opened(data: str | Splits | None, recipe: Recipe, target: Target) -> Splits | None:
    if data is None or isinstance(data, Splits):
        return data
    return open_data(data, recipe.side, target.channels, whole=recipe.crop_sampler.whole)


@cache
def _rates(device: torch.device, precision: str) -> dict[str, float]:
    return roofline.sample(device, [precision], brief=True)


def _copies(recipe: Recipe) -> int:
    return recipe.optimizer.copies if isinstance(recipe.optimizer, OptimizerSpec) else 1


def _reading(splits: Splits, recipe: Recipe) -> float:
    """The seconds that the reader takes for a batch."""
    train = splits.train
    some = torch.arange(min(READ, recipe.batch, len(train)))
    boxes = centre_boxes(train.sizes[some], recipe.side, recipe.crop)
    began = perf_counter()
    for _ in stream(train, [(some, boxes)], recipe.crop, 0):
        pass
    return (perf_counter() - began) * recipe.batch / len(some)


def run_peaks(config: RunConfig, network: nn.Module, live: Live) -> dict[str, int]:
    """The predicted peak memory of a run by phase, and its largest; `live` gets the operators.

    Empty where it cannot be predicted.
    """
    execution, device = config.execution, network_device(network).type
    batch = math.ceil(config.recipe.batch / config.processes)
    shape, copies = config.input, _copies(config.recipe)
    arguments = (shape, batch, execution.accumulation_steps, copies, execution.precision, device)
    try:
        peaks = training_peaks(network, *arguments, live=live)
    except (ValueError, RuntimeError):
        return {}
    return {peak.phase: peak.total for peak in peaks} | {"peak_bytes": largest_peak(peaks).total}


def run_seconds(config: RunConfig, network: nn.Module, splits: Splits, live: Live) -> float:
    """The predicted seconds of an epoch of a run in one process, from the operators of a step."""
    execution, device, recipe = config.execution, network_device(network), config.recipe
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    rates, precision = _rates(device, execution.precision), execution.precision
    step = predict_step(live, weights, _copies(recipe), rates, precision, device.type)
    train = min(config.total_steps, config.steps_per_epoch)  # a run may be shorter than an epoch
    validation = len(splits.validation) / recipe.batch
    reading = _reading(splits, recipe) * (train + validation)
    return step.likely * execution.accumulation_steps * (train + validation / 3) + reading


def review(runs: Sequence[str | Path]) -> list[dict[str, Any]]:
    """What was predicted for runs, and what was measured: bytes at the peak, seconds of an epoch.

    What is unknown is None. Raises a ValueError without runs, and for one that is damaged.
    """
    if not runs:
        raise ValueError("--review needs runs, such as --review runs/*")
    return [_reviewed(open_run(Path(run))) for run in runs]


def _reviewed(run: Run) -> dict[str, Any]:
    row: dict[str, Any] = {"run": run.directory.name, "network": run.config.network}
    row["batch"] = run.config.recipe.batch
    for name in REVIEWED:
        for source, field in (("plan", "predicted"), ("measured", "measured")):
            row[f"{field}_{name}"] = (run.notes.get(source) or {}).get(name) or None
    return row


def review_text(rows: Sequence[dict[str, Any]]) -> str:
    """The rows of `review` as a table, with ratios of predicted to measured."""
    table = [
        ["run", "network", "batch", "memory", "measured", "ratio", "epoch", "measured", "ratio"]
    ]
    for row in rows:
        cells = [row["run"], row["network"], f"{row['batch']:,}"]
        for name, form in REVIEWED.items():
            predicted, measured = row[f"predicted_{name}"], row[f"measured_{name}"]
            cells += [form(n) if n else "-" for n in (predicted, measured)]
            cells.append(f"{predicted / measured:.2f}" if predicted and measured else "-")
        table.append(cells)
    return "\n".join(align(table, ("run", "network"))) + "\n"
