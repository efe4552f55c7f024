"""To measure how fast a network infers and trains on this machine."""

import copy
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
from classicnets.measure.sizes import scores_shape
from classicnets.measure.timing import Speed, Timing
from classicnets.recipes.fast import FAST
from classicnets.support.devices import (
    DTYPES,
    device_name,
    free_memory,
    select_device,
    supports_bf16,
    synchronize,
)
from classicnets.training.execution.execution import Execution, resolve_execution
from classicnets.training.execution.graph import WARMUP, GraphedCallable
from classicnets.training.execution.inference import Inference
from classicnets.training.execution.memory import largest_batch
from classicnets.training.execution.step import backends_for, make_graphable, set_lr, step
from classicnets.training.recipe.recipe import Recipe

ROUNDS = 5
SMALL = 64  # pixels a side; up to there the larger batch is 128


def speed(
    network: str | nn.Module,
    size: tuple[int, int, int] | None = None,
    batches: Sequence[int] = (),
    precisions: Sequence[str] = (),
    device: str = "auto",
    seconds: float = 1.5,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> Speed:
    """How fast a network infers and trains here: a name, `path/to/file.py:builder`, or a module.

    `size` is that of one image, (c, h, w); a network of the catalogue has its paper's. `batches`
    are 1 and 16 if not given, or 1 and 128 of small images; `precisions` are fp32, and bf16 where
    the device has it. Each row is worked on for so many `seconds`, and for five batches at least;
    `tell` is called with the turns done, and their number. A network trains by the loss and the
    update of its paper's recipe, a stranger's by those of "fast". A module is left as it is.

    Raises ValueError for a batch or a time of nothing, an unknown name, precision or device, and
    images that the network cannot take; RuntimeError where there is not enough memory.
    """
    if not 0 < seconds < math.inf:
        raise ValueError(f"seconds must be more than 0, not {seconds}")
    where, load = select_device(device), os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    name, module, recipe, size = _found(network, size)
    batches = batches or (1, 128 if max(size[1:]) <= SMALL else 16)
    asked = [Execution(name) for name in dict.fromkeys(precisions or _precisions(where))]
    reports = {batch: measure(module, size, batch) for batch in batches}
    cuda = [where] if where.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        ours = module if isinstance(network, str) else copy.deepcopy(module)
        lined = _Lined(ours.to(where), recipe, size, where)
        free = free_memory(where)
        works = [
            make(report, execution)
            for make in (lined.inference, lined.training)
            for report in reports.values()
            for execution in asked
        ]
        peaks = _race(works, where, seconds, tell)
    remarks = list(lined.remarks)
    if not precisions and len(asked) < len(DTYPES):
        remarks.append("No row for bf16: this processor does not have it, and only imitates it.")
    if load > (processors := os.cpu_count() or 1):
        remarks.append(
            f"The machine is busy: a load of {load:.1f} on {processors} processors, before this "
            "began. The times are longer than they need be."
        )
    maker = device_name(where)
    return Speed(
        name=name,
        input=size,
        device=f"{where}{f' ({maker})' * bool(maker)}",
        threads=torch.get_num_threads(),
        torch=str(torch.__version__),
        peaks=peaks,
        rows=tuple(work.timing() for work in works),
        memory_bytes={batch: report.training_memory.total for batch, report in reports.items()},
        largest_batch=largest_batch(module, size, free),
        free_bytes=free,
        remarks=tuple(remarks),
    )


@dataclass
class _Work:
    """What is done, and what was timed: `once` does it for one batch, after `mode` is set."""

    name: str
    report: Report
    precision: str
    flop: float
    mode: Callable[[], object]
    once: Callable[[], object]
    warm: int = 1  # calls after the first that are not counted
    calls: int = 1
    first: float = math.nan
    rounds: list[float] = field(default_factory=list)

    def timing(self) -> Timing:
        batch, rounds = self.report.batch, tuple(self.rounds)
        return Timing(self.name, batch, self.precision, self.flop, self.first, rounds)


class _Lined:
    """A network on its device, and what is to be done with it."""

    def __init__(
        self, network: nn.Module, recipe: Recipe, size: tuple[int, int, int], device: torch.device
    ) -> None:
        self.network = network
        self.size = size
        self.device = device
        self.loss, self.spec = recipe.loss, recipe.optimizer
        self.optimizer = recipe.optimizer.build(network)
        self.remarks: dict[str, None] = {}
        given = scores_shape(network, (2, *size))
        if given is None or len(given) != 2 or given[0] != 2:
            raise ValueError(f"the network gives {given} for two images; it should be (2, classes)")
        self.classes = given[1]
        images = torch.randn(2, *size, device=device)
        recipe.optimizer.before_epoch(self.optimizer, network, lambda count: images)
        set_lr(self.optimizer, 0.0)  # the weights stay where they are

    def inference(self, report: Report, execution: Execution) -> _Work:
        execution, _ = resolve_execution(execution, self.network, self.size, report.batch)
        called = Inference(self.network, execution)
        once = partial(called, self._pictures(report.batch)[0])
        flop, warm = 2.0 * report.totals.macs, _warm(execution)
        return _Work("inference", report, execution.precision, flop, self.network.eval, once, warm)

    def training(self, report: Report, execution: Execution) -> _Work:
        execution, why = resolve_execution(
            execution, self.network, self.size, report.batch, self.spec
        )
        if execution.accumulation_steps > 1:
            self.remarks[f"Training at batch {report.batch:,}: {why}."] = None
        model = execution.wrap(self.network, self.device)
        update = partial(step, model, self.optimizer, self.loss, execution=execution)
        if execution.graph:
            make_graphable(self.optimizer, self.device)
            update = GraphedCallable(update)
        x, labels = self._pictures(report.batch)

        def once() -> tuple[Tensor, ...]:
            with backends_for(x.numel(), benchmark=True):
                return update(x, labels)

        flop, warm = 2.0 * report.training_macs, _warm(execution)
        mode = self.network.train
        return _Work("training", report, execution.precision, flop, mode, once, warm)

    def _pictures(self, batch: int) -> tuple[Tensor, Tensor]:
        x = torch.randn(batch, *self.size, device=self.device)
        return x, torch.randint(self.classes, (batch,), device=self.device)


def _warm(execution: Execution) -> int:
    """Calls before those that count: until all is allocated, and recorded if it is to be."""
    return WARMUP + 1 if execution.graph else 1


def _race(
    works: list[_Work], device: torch.device, seconds: float, tell: Callable[[int, int], None]
) -> dict[str, float]:
    """Times all works in turn, round by round, and gives the machine's peaks, measured between."""
    precisions = list(dict.fromkeys(work.precision for work in works))
    turns, done = (ROUNDS + 1) * len(works), 0
    for work in works:
        work.mode()
        work.first = _timed(work.once, 1, device)
        last = min(_timed(work.once, 1, device) for _ in range(work.warm))
        work.calls = math.ceil(seconds / ROUNDS / last)
        tell(done := done + 1, turns)
    samples = []
    for _ in range(ROUNDS):
        samples.append(roofline.sample(device, precisions))
        for work in works:
            work.mode()
            work.rounds.append(_timed(work.once, work.calls, device))
            tell(done := done + 1, turns)
    return {name: statistics.median(s[name] for s in samples) for name in samples[0]}


def _timed(once: Callable[[], object], calls: int, device: torch.device) -> float:
    """Seconds of a call, on average."""
    synchronize(device)
    began = perf_counter()
    for _ in range(calls):
        once()
    synchronize(device)
    return (perf_counter() - began) / calls


def _precisions(device: torch.device) -> tuple[str, ...]:
    return tuple(DTYPES) if supports_bf16(device) else ("fp32",)


def _found(
    network: str | nn.Module, size: tuple[int, int, int] | None
) -> tuple[str, nn.Module, Recipe, tuple[int, int, int]]:
    """What is measured: its name, the module, the recipe that trains it, the size of an image."""
    if isinstance(network, nn.Module):
        if size is None:
            raise ValueError("a module needs the size of one image, such as (3, 224, 224)")
        return type(network).__name__, network, FAST, size
    entry = catalog.find(network)
    size = size or entry.input
    return entry.name, entry.build(channels=size[0]), entry.recipe, size
