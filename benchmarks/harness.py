"""Benchmarks: the same work by several implementations, timed in interleaved rounds.

Each contender runs in its own process, so that its threads, settings and memory cannot affect the
others. Outputs are compared before anything is timed. Every round times all contenders in turn, so
that other load on the machine affects all of them; medians are compared.
"""

import math
import multiprocessing
import os
import statistics
import tempfile
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from time import perf_counter
from types import ModuleType
from typing import Any

import environment
import numpy as np
import torch

from classicnets.measure import roofline
from classicnets.support.machine import keep_memory

ROUND_SECONDS = 0.3  # a contender is timed for at least this long in each round
# largest allowed difference between outputs, relative to the largest value
TOLERANCE = {"fp32": 1e-4, "tf32": 1e-2, "bf16": 5e-2}
# contenders whose names start with these configure malloc as the command line does
OURS = ("classicnets", "five steps", "without", "preloaded")
LOWER_BOUND = "lower bound"  # the reference of a target that is not another contender
SPAWN = multiprocessing.get_context("spawn")


class Unavailable(Exception):
    """A peer package or a data set cannot be used in this environment; the table reports it."""


class OutputMismatch(Exception):
    """The contenders of a case do not compute the same."""


class ContenderError(Exception):
    """A contender is unavailable or has failed."""


@dataclass(frozen=True)
class Contender:
    """An implementation that is ready to be timed.

    `run` does the work once. It is timed, unless it returns its own measurement: a number of
    seconds or bytes, or a dictionary of several. `output` is compared with the other contenders'.
    Most of the arithmetic is in `precision`.
    """

    run: Callable[[], Any]
    output: Callable[[], Any]
    precision: str = "fp32"


Factory = Callable[[], Contender]
Cost = Sequence[tuple[float, float]]  # FLOP and bytes of each part, one part after the other


@dataclass(frozen=True)
class Target:
    """`contender` is to be at least `at_least` times as good as `reference`.

    `reference` is another contender, a number of seconds, or `LOWER_BOUND`.
    """

    contender: str
    at_least: float
    reference: str | float


@dataclass(frozen=True)
class Case:
    """One piece of work and its contenders; the first one is what the others are compared with.

    `cost` is that of one run, from which the lower bound follows. `not_compared` is the reason why
    the outputs differ, where they are meant to. A round has at least `min_calls` runs. For a
    training, `accuracy` is the test accuracy in % that it must reach.
    """

    name: str
    contenders: dict[str, Factory]
    targets: tuple[Target, ...] = ()
    cost: Callable[[], Cost] | None = None
    tolerance: dict[str, float] = field(default_factory=lambda: TOLERANCE)
    not_compared: str = ""
    min_calls: int = 1
    accuracy: float = 0.0


@dataclass(frozen=True)
class Benchmark:
    """Cases that are measured and reported together, by `run_interleaved` or its own `runner`."""

    name: str
    title: str
    cases: tuple[Case, ...]
    unit: str = "s"  # or "bytes"
    rounds: int = 7
    runner: Callable[..., "list[Outcome]"] | None = None


@dataclass
class Result:
    """The measurements of a contender; `status` is why there are none, or not all of them.

    `startup` is the time in seconds to load, allocate, compile and compute once.
    """

    status: str = ""
    precision: str = "fp32"
    startup: float = math.nan
    rounds: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)  # of each training, in %

    @property
    def accuracy(self) -> float:
        """The mean."""
        return statistics.mean(self.accuracies) if self.accuracies else math.nan

    @property
    def median(self) -> float:
        return statistics.median(self.rounds) if self.rounds and not self.status else math.nan


@dataclass
class Outcome:
    """The results of a case by contender, and the machine's load and peaks in each round.

    Peaks are FLOP/s and bytes/s by name, as `environment.measure_peaks` returns them.
    """

    case: Case
    results: dict[str, Result]
    loads: list[float] = field(default_factory=list)
    peaks_by_round: list[dict[str, float]] = field(default_factory=list)
    cost: Cost = ()

    @property
    def baseline(self) -> float:
        """The median of the first contender that has one."""
        found = (result.median for result in self.results.values() if not result.status)
        return next(found, math.nan)

    @property
    def peaks(self) -> dict[str, float]:
        """The median of each peak."""
        names = self.peaks_by_round[0] if self.peaks_by_round else {}
        return {name: statistics.median(p[name] for p in self.peaks_by_round) for name in names}

    def lower_bound(self, precision: str) -> float:
        """The seconds that the cost takes at the measured peaks; NaN without peaks."""
        if not (peaks := self.peaks):
            return math.nan
        fastest = roofline.fastest(peaks, precision)
        return sum(max(flop / fastest, moved / peaks["copy"]) for flop, moved in self.cost)

    def lower_bound_fraction(self, name: str) -> float:
        """Lower bound / median of this contender; NaN without a cost."""
        result = self.results[name]
        return (self.lower_bound(result.precision) or math.nan) / result.median

    def ratio(self, target: Target) -> float:
        """How many times as good as the reference; NaN where one of the two was not measured."""
        if target.reference == LOWER_BOUND:
            return self.lower_bound_fraction(target.contender)
        reference = target.reference
        seconds = self.results[reference].median if isinstance(reference, str) else reference
        return seconds / self.results[target.contender].median


def peer(name: str) -> ModuleType:
    """Imports a package that only the benchmarks need. Raises Unavailable if that fails."""
    try:
        return import_module(name)
    except Exception as error:  # not only ImportError, with a torch of another build
        raise Unavailable(f"{name}: {_first_line(error)}") from error


def run_interleaved(
    benchmark: Benchmark, rounds: int, threads: int, quick: bool = False, device: str = "cpu"
) -> list[Outcome]:
    """Measures all cases in a temporary directory.

    Raises OutputMismatch before anything is timed.
    """
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        start_worker = partial(Worker, directory=directory, threads=threads, device=device)
        peaks = None
        if any(case.cost for case in benchmark.cases):
            peaks = stack.enter_context(start_worker(partial(_peaks, quick), False))
            peaks.ask("measure", 1)
        return [_run_case(case, start_worker, rounds, quick, peaks) for case in benchmark.cases]


def _peaks(quick: bool) -> Contender:
    return Contender(run=partial(environment.measure_peaks, quick), output=lambda: 0.0)


def _run_case(
    case: Case,
    start_worker: "Callable[[Factory, bool], Worker]",
    rounds: int,
    quick: bool,
    peaks: "Worker | None",
) -> Outcome:
    results = {name: Result() for name in case.contenders}
    outcome = Outcome(case, results, cost=case.cost() if case.cost else ())
    with ExitStack() as stack:
        workers = {
            name: stack.enter_context(start_worker(factory, name.startswith(OURS)))
            for name, factory in case.contenders.items()
        }
        ask_all = partial(_ask_all, workers, results)
        for name, precision in ask_all("precision").items():
            results[name].precision = precision
        outputs = ask_all("output")
        if not case.not_compared:
            require_equal(case, outputs, results)
        for name in outputs:
            results[name].startup = workers[name].seconds
        ask_all("time")  # the first timed run is not representative
        calls = {name: math.ceil(ROUND_SECONDS / s) for name, s in ask_all("time").items()}
        calls = {} if quick else {name: max(case.min_calls, n) for name, n in calls.items()}
        for _ in range(rounds):
            outcome.loads.append(os.getloadavg()[0])
            if case.cost and peaks:
                outcome.peaks_by_round.append(peaks.ask("measure", 1))
            for name, measured in ask_all("measure", calls).items():
                results[name].rounds.append(measured)
    return outcome


def _ask_all(
    workers: dict[str, "Worker"],
    results: dict[str, Result],
    request: str,
    calls: dict[str, int] | None = None,
) -> dict[str, Any]:
    """Asks the workers that have not failed, in turn; sets the status of those that fail now."""
    answers = {}
    for name in (name for name in workers if not results[name].status):
        try:
            answers[name] = workers[name].ask(request, (calls or {}).get(name, 1))
        except ContenderError as error:
            results[name].status = str(error)
    return answers


def require_equal(case: Case, outputs: dict[str, Any], results: dict[str, Result]) -> None:
    """Raises OutputMismatch when an output differs from the first contender's."""
    if not outputs:
        return
    first, *others = outputs
    expected, largest = outputs[first], np.abs(outputs[first]).max()
    if not np.isfinite(largest) or largest == 0:
        raise OutputMismatch(
            f"{case.name}: the largest output of {first} is {largest}, so none can be compared"
        )
    for name in others:
        if (shape := outputs[name].shape) != expected.shape:
            raise OutputMismatch(
                f"{case.name}: the output of {name} has the shape {shape}, not {expected.shape}"
            )
        difference = np.abs(outputs[name] - expected).max() / largest
        allowed = max(case.tolerance[results[one].precision] for one in (first, name))
        if not difference <= allowed:
            raise OutputMismatch(
                f"{case.name}: {name} differs from {first} by {difference:.1e} of the largest "
                f"value; {allowed:g} is allowed"
            )


class Worker:
    """A contender in its own process; `seconds` is how long it has worked so far."""

    seconds = 0.0

    def __init__(
        self, factory: Factory, ours: bool, directory: str, threads: int, device: str
    ) -> None:
        self.pipe, remote = SPAWN.Pipe()
        self.process = SPAWN.Process(
            target=_serve, args=(remote, factory, ours, directory, threads, device)
        )
        self.process.start()
        remote.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.pipe.close()
        self.process.join(5)
        self.process.kill()

    def ask(self, request: str, calls: int) -> Any:
        """The answer to "precision", "output", "time" or "measure".

        Raises a ContenderError when the contender is unavailable or fails.
        """
        try:
            self.pipe.send((request, calls))
            status, answer, seconds = self.pipe.recv()
        except (EOFError, OSError):
            status, answer, seconds = "failed: its process ended", None, 0.0
        self.seconds += seconds
        if status:
            raise ContenderError(status)
        return answer


def _serve(
    pipe: Any, factory: Factory, ours: bool, directory: str, threads: int, device: str
) -> None:
    """The worker process: builds the contender at the first request, ends when the pipe closes."""
    if ours:
        keep_memory()
    multiprocessing.set_start_method(None, force=True)  # data loaders use the platform's default
    os.chdir(directory)
    torch.set_num_threads(threads)
    environment.use_device(device)
    contender = None
    while True:
        try:
            request, calls = pipe.recv()
        except (EOFError, OSError, KeyboardInterrupt):
            return
        start, status, answer = perf_counter(), "", None
        try:
            contender = contender or factory()
            answer = _answer(contender, request, calls)
            environment.release_memory()
        except Unavailable as error:
            status = f"unavailable: {error}"
        except Exception as error:
            traceback.print_exc()
            status = f"failed: {_first_line(error)}"
        pipe.send((status, answer, perf_counter() - start))


def _answer(contender: Contender, request: str, calls: int) -> Any:
    if request == "precision":
        return contender.precision
    if request == "output":
        output = contender.output()
        output = output.detach().cpu() if isinstance(output, torch.Tensor) else output
        return np.asarray(output, dtype=np.float64)
    if environment.on_gpu() and calls > 1:
        contender.run()  # allocates again what was released for the others
    environment.synchronize()
    start, own = perf_counter(), None
    for _ in range(calls):
        own = contender.run()
    environment.synchronize()
    seconds = (perf_counter() - start) / calls
    return own if request == "measure" and isinstance(own, int | float | dict) else seconds


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
