"""Planning a training: whether it fits into memory and how long it takes, before it starts."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fractions import Fraction
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn

from classicnets import catalog
from classicnets.data.images import Splits
from classicnets.data.sets import open_data
from classicnets.designs.build import build
from classicnets.designs.reader import read
from classicnets.designs.scale import scaled
from classicnets.measure.live import Live
from classicnets.measure.machines import MACHINES, Machine
from classicnets.measure.sizes import scores_shape
from classicnets.recipes.adapt import adapt
from classicnets.support.arguments import answering
from classicnets.support.devices import (
    free_memory,
    peak_memory,
    select_device,
    supports_bf16,
)
from classicnets.support.errors import option, shell
from classicnets.support.meta import meta_copy
from classicnets.support.modules import copy_network, require_plain
from classicnets.support.tables import format_bytes
from classicnets.support.units import parse_bytes, parse_seconds
from classicnets.training.execution.execution import Execution, choose_precision
from classicnets.training.execution.memory import (
    MARGIN,
    RUNTIME,
    Peak,
    largest_batch,
    largest_peak,
    training_peaks,
)
from classicnets.training.execution.plan import NO_DATA, Option, Plan, Seconds, fits, predict_step
from classicnets.training.recipe.optimizers import as_spec
from classicnets.training.recipe.recipe import Recipe
from classicnets.training.run.stages import freeze

from .design import describe_network
from .planned import read_seconds, sample_rates
from .recipes import (
    SETTINGS,
    Target,
    adaptable,
    choose_recipe,
    macs_on_cpu,
    resolve_network,
    set_by_hand,
    with_overrides,
)
from .runs import with_sizes
from .speed import time_steps

EXAMPLE = 1000  # images in an epoch where there are neither data nor a paper
ASSUMED = f"Without data an epoch is taken to have {EXAMPLE:,} images; none are read."
NOTHING_READ = "Reading images is not in it, since without data none are read."
FROZEN = "{stage} and what is before it are frozen; train needs weights to start from for that."
SIDES = (0.75, 0.5)  # of the recipe's, tried where memory is short
SMALLER, LESS = 3, 0.9  # networks of the same paper that are tried; one needs so much less


@answering(fields=SETTINGS)
def plan(
    network: str | nn.Module | Callable[..., nn.Module],
    data: str | Path | Splits | None = None,
    recipe: str | Recipe | None = None,
    epochs: int | None = None,
    batch: int | None = None,
    memory: str | float | int | None = None,
    time: str | float | int | None = None,
    device: str = "auto",
    measure: bool = False,
    overrides: Mapping[str, Any] | None = None,
) -> Plan:
    """The memory and the time that `train` would need with the same arguments.

    Without `data` the images are as many as the paper's, or 1,000. `memory` (bytes, or text such as
    "8GB") is by default what is free, and `time` (seconds, or "2h") has no default. `device` may be
    one that is not here, such as "h100", for an estimate from its data sheet. With `measure` at
    least five real steps are timed. Raises a ValueError where `train` does, for other units and
    unknown devices, and for a network that cannot run without values.
    """
    given = parse_bytes(memory) if memory is not None else None
    limit = parse_seconds(time) if time is not None else None
    where = _Where.find(device)
    if measure and where.machine:
        raise ValueError(
            f"{device} is not here, so nothing can be measured; leave out {option('measure')}"
        )
    data = str(data) if isinstance(data, Path) else data
    target = resolve_network(network, data if data is not None else "")
    changes = {**(overrides or {}), **({"batch": batch} if batch is not None else {})}
    chosen = choose_recipe(target, recipe, data or "")
    wanted = with_overrides(chosen, epochs, changes)
    splits = _opened(data, wanted, target)
    if splits is not None:
        source = adaptable(target, chosen, recipe, data or "")
        by_hand = set_by_hand(chosen, wanted, epochs, changes)
        macs = macs_on_cpu(target, wanted, where.device)
        wanted, _ = adapt(wanted, splits, source, by_hand, macs)
    job = _Job(target, wanted, splits, where)
    budget = given or where.free()
    precision = job.precision()
    most = largest_batch(
        job.network, job.shape, budget - MARGIN * job.runtime, precision, *job.state
    )
    if measure and not most:
        raise ValueError(
            f"not one image fits in {format_bytes(int(budget))}, so no step can be measured; "
            f"leave out {option('measure')}"
        )
    parts = math.ceil(wanted.batch / most) if 0 < most < wanted.batch else 1
    live = Live()
    peaks = job.peaks(wanted.batch, precision, parts, live)
    whole = job.peaks(wanted.batch, precision) if parts > 1 else peaks
    count = len(splits.train) if splits else wanted.paper_images or EXAMPLE
    step = job.measured(precision, parts) if measure else job.predicted(live, precision, parts)
    steps = wanted.total_steps(count)
    return Plan(
        network=target.name,
        input=job.shape,
        data=splits.name if splits else "the paper" if wanted.paper_images else NO_DATA,
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
        reading=read_seconds(splits, wanted) if splits and not where.machine else 0.0,
        time_budget=limit,
        options=() if fits(largest_peak(whole), budget) else job.options(budget, most, precision),
        notes=where.notes + _notes(splits, wanted, where),
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
        return sample_rates(self.device, precision)


class _Job:
    """A network without values, its recipe, and where it is to be trained."""

    def __init__(self, target: Target, recipe: Recipe, splits: Splits | None, where: _Where):
        self.target, self.recipe, self.splits, self.where = target, recipe, splits, where
        self.channels = splits.channels if splits else target.channels
        self.shape = (self.channels, recipe.crop, recipe.crop)
        given = self._built("meta")
        require_plain(given)
        self.network = with_sizes(meta_copy(given), self.shape, seed=0)
        scores_shape(self.network, (2, *self.shape))
        freeze(self.network, recipe)
        self.optimizer = as_spec(recipe.optimizer)
        self.copies = self.optimizer.copies
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
        passes = self.optimizer.passes
        step = predict_step(live, weights, passes, peaks, precision, kind) * float(parts)
        return replace(step, source="estimate") if self.where.machine else step

    def measured(self, precision: str, parts: int) -> Seconds:
        execution = Execution(precision, accumulation_steps=parts)
        module = copy_network(self._built("cpu"))  # a module that is given stays as it is
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
        self._add_narrower(precision, add)
        stages = [name for name, _ in self.network.named_children()]
        last = [name.partition(".")[0] for name, _ in self.network.named_parameters()][-1]
        before = stages[: stages.index(last)][-1:]
        if before and self.recipe.freeze is None:
            frozen = meta_copy(self.network)
            freeze(frozen, replace(self.recipe, freeze=before[0]))
            effect = f"only {last} learns; goes with --weights"
            add(shell("--freeze", before[0]), effect, self._peaks_of(frozen, precision))
        return tuple(found)

    def _add_narrower(self, precision: str, add: Any) -> None:
        """The design with half of its maps and neurons, where the network is one or has one."""
        if not (self.target.published or self.target.design):
            return
        classes = {"classes": len(self.splits.classes)} if self.splits else {}
        text = (
            read(self.target.design) if self.target.design else describe_network(self.target.name)
        )
        with suppress(ValueError), torch.device("meta"):
            narrower = build(scaled(text, Fraction(1, 2))[0], channels=self.channels, **classes)
            peaks = self._peaks_of(narrower, precision)
            change = shell("design", self.target.name, "--width", "1/2")
            add(change, "a network with half of the maps and neurons", peaks)

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


def _notes(splits: Splits | None, recipe: Recipe, where: _Where) -> tuple[str, ...]:
    frozen = (FROZEN.format(stage=recipe.freeze),) if recipe.freeze is not None else ()
    if splits or (where.machine and recipe.paper_images):
        return frozen
    return *frozen, NOTHING_READ if recipe.paper_images else ASSUMED
