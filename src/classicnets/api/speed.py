"""Timing inference and training steps of a network on this machine."""

import math
import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter

import torch
from torch import Tensor, nn

from classicnets import catalog
from classicnets.measure import Report, measure, roofline
from classicnets.measure.report import one_value_per_map
from classicnets.measure.sizes import scores_shape
from classicnets.measure.timing import Speed, Timing
from classicnets.recipes.fast import FAST
from classicnets.support.arguments import answering
from classicnets.support.devices import (
    DTYPES,
    device_name,
    free_memory,
    select_device,
    supports_bf16,
    synchronize,
)
from classicnets.support.meta import materialise
from classicnets.support.modules import copy_network, require_float32, require_plain
from classicnets.training.execution.batches import images_needed
from classicnets.training.execution.execution import Execution, resolve_execution
from classicnets.training.execution.graph import WARMUP, GraphedCallable
from classicnets.training.execution.inference import Inference
from classicnets.training.execution.memory import largest_batch
from classicnets.training.execution.step import backends_for, make_graphable, set_lr, step
from classicnets.training.recipe.recipe import Recipe

ROUNDS = 5
STEPS, SECONDS = 5, 1.0  # of `time_steps`, at least
SMALL = 64  # pixels per side up to which the default batches are 1 and 128


@answering()
def speed(
    network: str | nn.Module | Callable[..., nn.Module],
    size: tuple[int, int, int] | None = None,
    batches: Sequence[int] = (),
    precisions: Sequence[str] = (),
    device: str = "auto",
    seconds: float = 1.5,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Speed:
    """Times inference and training steps.

    `network` is a name, `path/to/file.py:builder`, a builder or a module; `size` is that of one
    image, (c, h, w), by default the paper's. `batches` are by default 1 and 16, or 1 and 128 for
    small images; `precisions` are fp32, and bf16 where the device supports it. Each row runs for
    `seconds`, and for at least five batches; `progress` is called with the number of turns done and
    their total. Networks of the catalogue train with the loss and optimizer of their paper's
    recipe, others with those of "fast". A module is left unchanged.
    Raises a ValueError for a batch or `seconds` of 0, an unknown name, precision or device, and
    images that the network cannot take; a RuntimeError where memory runs out.
    """
    if not 0 < seconds < math.inf:
        raise ValueError(f"seconds must be more than 0, not {seconds}")
    target, load = select_device(device), os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    name, module, recipe, size = _resolve(network, size)
    require_plain(module)
    require_float32(module)
    batches = batches or (1, 128 if max(size[1:]) <= SMALL else 16)
    executions = [Execution(name) for name in dict.fromkeys(precisions or _precisions(target))]
    reports = {batch: measure(module, size, batch) for batch in batches}
    with torch.random.fork_rng(devices=[target] if target.type == "cuda" else []):
        own = copy_network(module) if isinstance(network, nn.Module) else module
        materialise(own, (2, *size))
        setup = _Setup(own.to(target), recipe, size, target)
        free = free_memory(target)
        workloads = [
            workload(report, execution)
            for workload in (setup.inference, setup.training)
            for report in reports.values()
            if workload == setup.inference or setup.can_train(report)
            for execution in executions
        ]
        peaks = _time(workloads, target, seconds, progress)
    notes = list(setup.notes)
    if not precisions and len(executions) < len(DTYPES):
        notes.append("No bf16 rows: the device only emulates bf16.")
    if load > (cpus := os.cpu_count() or 1):
        notes.append(
            f"The machine is busy: the load was {load:.1f} on {cpus} CPUs before the start. "
            "An idle machine is faster."
        )
    model = device_name(target)
    return Speed(
        name=name,
        input=size,
        device=f"{target}{f' ({model})' * bool(model)}",
        threads=torch.get_num_threads(),
        torch=str(torch.__version__),
        peaks=peaks,
        rows=tuple(workload.timing() for workload in workloads),
        memory_bytes={batch: report.training_memory.total for batch, report in reports.items()},
        largest_batch=largest_batch(own, size, free),
        free_bytes=free,
        notes=tuple(notes),
    )


def time_steps(
    network: nn.Module,
    recipe: Recipe,
    size: tuple[int, int, int],
    batch: int,
    device: torch.device,
    execution: Execution,
) -> list[float]:
    """The seconds of each of five or more training steps, on noise of this size.

    They take at least a second together: single steps of a small network vary too much. Steps
    before them are not counted.
    """
    materialise(network, (2, *size))
    setup = _Setup(network.to(device), recipe, size, device)
    workload = setup.training(measure(network, size, batch), execution)
    workload.set_mode()
    for _ in range(1 + workload.warmup):
        workload.run()
    steps: list[float] = []
    while len(steps) < STEPS or sum(steps) < SECONDS:
        steps.append(_seconds(workload.run, 1, device))
    return steps


@dataclass
class _Workload:
    """A row to time: `run` processes one batch once `set_mode` has been called."""

    mode: str
    report: Report
    precision: str
    flop: float
    set_mode: Callable[[], object]
    run: Callable[[], object]
    warmup: int = 1  # untimed calls after the first
    calls: int = 1
    first_seconds: float = math.nan
    rounds: list[float] = field(default_factory=list)

    def timing(self) -> Timing:
        batch, rounds = self.report.batch, tuple(self.rounds)
        return Timing(self.mode, batch, self.precision, self.flop, self.first_seconds, rounds)


class _Setup:
    """A network on its device, with the loss and optimizer to train it."""

    def __init__(
        self, network: nn.Module, recipe: Recipe, size: tuple[int, int, int], device: torch.device
    ) -> None:
        self.network = network
        self.size = size
        self.device = device
        self.loss, self.spec = recipe.loss, recipe.optimizer
        self.optimizer = recipe.optimizer.build(network)
        self.notes: dict[str, None] = {}
        shape = scores_shape(network, (2, *size))
        if shape is None or len(shape) != 2 or shape[0] != 2:
            raise ValueError(f"the network returns {shape} for two images instead of (2, classes)")
        self.classes = shape[1]
        images = torch.randn(2, *size, device=device)
        recipe.optimizer.before_epoch(self.optimizer, network, lambda count: images)
        set_lr(self.optimizer, 0.0)  # keeps the weights constant

    def inference(self, report: Report, execution: Execution) -> _Workload:
        execution, _ = resolve_execution(execution, self.network, self.size, report.batch)
        run = partial(Inference(self.network, execution), self._batch(report.batch)[0])
        flop, warmup = 2.0 * report.totals.macs, _warmup(execution)
        eval_ = self.network.eval
        return _Workload("inference", report, execution.precision, flop, eval_, run, warmup)

    def training(self, report: Report, execution: Execution) -> _Workload:
        execution, reason = resolve_execution(
            execution, self.network, self.size, report.batch, self.spec
        )
        if execution.accumulation_steps > 1:
            self.notes[f"Training at batch {report.batch:,}: {reason}."] = None
        model = execution.wrap(self.network, self.device)
        update = partial(step, model, self.optimizer, self.loss, execution=execution)
        if execution.graph:
            make_graphable(self.optimizer, self.device)
            update = GraphedCallable(update)
        x, labels = self._batch(report.batch)

        def run() -> tuple[Tensor, ...]:
            with backends_for(x.numel(), benchmark=True):
                return update(x, labels)

        flop, warmup = 2.0 * report.training_macs, _warmup(execution)
        train = self.network.train
        return _Workload("training", report, execution.precision, flop, train, run, warmup)

    def can_train(self, report: Report) -> bool:
        """Whether the network can be trained on batches of this size; a note says where not."""
        if report.batch >= images_needed(self.network, self.size, self.classes):
            return True
        reason = f"Cannot train at batch {report.batch}, where the output has another shape"
        self.notes[f"{one_value_per_map(report) if report.single else reason}."] = None
        return False

    def _batch(self, batch: int) -> tuple[Tensor, Tensor]:
        x = torch.randn(batch, *self.size, device=self.device)
        return x, torch.randint(self.classes, (batch,), device=self.device)


def _warmup(execution: Execution) -> int:
    """Untimed calls until memory is allocated and, with CUDA graphs, the graph is captured."""
    return WARMUP + 1 if execution.graph else 1


def _time(
    workloads: list[_Workload],
    device: torch.device,
    seconds: float,
    progress: Callable[[int, int], None],
) -> dict[str, float]:
    """Times the workloads in turn, round by round; returns the peak rates measured in between."""
    precisions = list(dict.fromkeys(workload.precision for workload in workloads))
    turns, done = (ROUNDS + 1) * len(workloads), 0
    for workload in workloads:
        workload.set_mode()
        workload.first_seconds = _seconds(workload.run, 1, device)
        fastest = min(_seconds(workload.run, 1, device) for _ in range(workload.warmup))
        workload.calls = math.ceil(seconds / ROUNDS / fastest)
        progress(done := done + 1, turns)
    samples = []
    for _ in range(ROUNDS):
        samples.append(roofline.sample(device, precisions))
        for workload in workloads:
            workload.set_mode()
            workload.rounds.append(_seconds(workload.run, workload.calls, device))
            progress(done := done + 1, turns)
    return {name: statistics.median(s[name] for s in samples) for name in samples[0]}


def _seconds(run: Callable[[], object], calls: int, device: torch.device) -> float:
    """The mean seconds per call."""
    synchronize(device)
    began = perf_counter()
    for _ in range(calls):
        run()
    synchronize(device)
    return (perf_counter() - began) / calls


def _precisions(device: torch.device) -> tuple[str, ...]:
    return tuple(DTYPES) if supports_bf16(device) else ("fp32",)


def _resolve(
    network: str | nn.Module | Callable[..., nn.Module], size: tuple[int, int, int] | None
) -> tuple[str, nn.Module, Recipe, tuple[int, int, int]]:
    """The name, the module, the recipe that trains it, and the size of an image."""
    if isinstance(network, nn.Module):
        if size is None:
            raise ValueError("a module needs the size of one image, such as (3, 224, 224)")
        return type(network).__name__, network, FAST, size
    entry = catalog.find(network)
    size = size or entry.input
    return entry.name, entry.build(channels=size[0]), entry.recipe, size
