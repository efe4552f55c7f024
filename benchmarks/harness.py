"""A contest: the same work by several, in turn, in one run.

Each contestant lives in a process of its own, so that no engine's threads, settings or memory reach
another's. What they compute is compared before anything is timed. A round goes from one to the
next, so that whatever else the machine does meets all of them; what counts are medians.
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

import numpy as np
import place
import torch

from classicnets.cli import keep_memory
from classicnets.measure import roofline

ROUND = 0.3  # seconds that a contestant works in a round, at least
# the largest difference, as a share of the largest value
TOLERANCE = {"fp32": 1e-4, "tf32": 1e-2, "bf16": 5e-2}
OURS = ("classicnets", "without", "ready")  # how contestants begin who do as the command does
START = multiprocessing.get_context("spawn")


class NotHere(Exception):
    """A peer that cannot be had in this environment; the table says so."""


class Refused(Exception):
    """Contestants who do not compute the same."""


@dataclass(frozen=True)
class Ready:
    """A contestant who may start.

    `once` does the work, and is timed unless it returns its own measure: a number of seconds or
    bytes, or several by name. `output` gives what must equal the others'; most of the arithmetic
    is in `precision`.
    """

    once: Callable[[], Any]
    output: Callable[[], Any]
    precision: str = "fp32"


Make = Callable[[], Ready]
Cost = Sequence[tuple[float, float]]  # FLOP and bytes of what is done one after the other


@dataclass(frozen=True)
class Bar:
    """`ours` is to be at least `at_least` times as good as `than`.

    That is another contestant, a number of seconds, or "the floor", of which at most all is had.
    """

    ours: str
    at_least: float
    than: str | float


@dataclass(frozen=True)
class Work:
    """What is done, and by whom; the first is the one whom the others are compared with.

    `cost` is that of doing it once, from which its floor follows. `differ` says why outputs are not
    to be compared, where that is meant. In a round it is done `least` times at least. Where work is
    training, right answers to so many % of the test pictures are its `accuracy`.
    """

    name: str
    contestants: dict[str, Make]
    bars: tuple[Bar, ...] = ()
    cost: Callable[[], Cost] | None = None
    tolerance: dict[str, float] = field(default_factory=lambda: TOLERANCE)
    differ: str = ""
    least: int = 1
    accuracy: float = 0.0


@dataclass(frozen=True)
class Contest:
    """Works for which `race` is held in so many rounds, or what else `hold` is."""

    name: str
    about: str
    works: tuple[Work, ...]
    unit: str = "s"  # or "bytes"
    rounds: int = 7
    hold: Callable[..., "list[Outcome]"] | None = None


@dataclass
class Result:
    """How a contestant did. `status` says why not, where it could not take part or go on.

    What it takes to `start`, in seconds, is apart: to load, allocate, compile and compute once.
    """

    status: str = ""
    precision: str = "fp32"
    start: float = math.nan
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
    """The results of a work by contestant; the load of the machine and its peaks, round by round.

    Peaks are FLOP/s and bytes/s by name, as in `place`.
    """

    work: Work
    results: dict[str, Result]
    loads: list[float] = field(default_factory=list)
    samples: list[dict[str, float]] = field(default_factory=list)
    cost: Cost = ()

    @property
    def first(self) -> float:
        """What the first has who is here."""
        found = (result.median for result in self.results.values() if not result.status)
        return next(found, math.nan)

    @property
    def peaks(self) -> dict[str, float]:
        names = self.samples[0] if self.samples else {}
        return {name: statistics.median(s[name] for s in self.samples) for name in names}

    def floor(self, precision: str) -> float:
        """Seconds below which no program gets that does this arithmetic and moves these bytes."""
        if not (peaks := self.peaks):
            return math.nan
        fastest = roofline.fastest(peaks, precision)
        return sum(max(flop / fastest, moved / peaks["copy"]) for flop, moved in self.cost)

    def share(self, name: str) -> float:
        """How much of what the machine can do this contestant had; not a number without a cost."""
        result = self.results[name]
        return (self.floor(result.precision) or math.nan) / result.median

    def reached(self, bar: Bar) -> float:
        """How many times as good `ours` is; not a number where that could not be measured."""
        if bar.than == "the floor":
            return self.share(bar.ours)
        than = self.results[bar.than].median if isinstance(bar.than, str) else bar.than
        return than / self.results[bar.ours].median


def peer(name: str) -> ModuleType:
    """A package that only this contest needs."""
    try:
        return import_module(name)
    except (
        Exception
    ) as error:  # with a CPU build of torch some fail in other ways than a missing file
        raise NotHere(f"{name}: {_said(error)}") from error


def race(
    contest: Contest, rounds: int, threads: int, quick: bool = False, device: str = "cpu"
) -> list[Outcome]:
    """All the works, in a folder of their own. Raises Refused before a time is taken."""
    with tempfile.TemporaryDirectory() as desk, ExitStack() as stack:
        seat = partial(Side, desk=desk, threads=threads, device=device)
        peaks = None
        if any(work.cost for work in contest.works):
            peaks = stack.enter_context(seat(partial(_ceiling, quick), False))
            peaks.ask("measure", 1)
        return [_raced(work, seat, rounds, quick, peaks) for work in contest.works]


def _ceiling(quick: bool) -> Ready:
    return Ready(once=partial(place.peaks, quick), output=lambda: 0.0)


def _raced(
    work: Work, seat: "Callable[[Make, bool], Side]", rounds: int, quick: bool, peaks: "Side | None"
) -> Outcome:
    results = {name: Result() for name in work.contestants}
    outcome = Outcome(work, results, cost=work.cost() if work.cost else ())
    with ExitStack() as stack:
        sides = {
            name: stack.enter_context(seat(make, name.startswith(OURS)))
            for name, make in work.contestants.items()
        }
        each = partial(_each, sides, results)
        for name, precision in each("precision").items():
            results[name].precision = precision
        outputs = each("output")
        if not work.differ:
            require_equal(work, outputs, results)
        for name in outputs:
            results[name].start = sides[name].seconds
        each("seconds")  # the first time is like no other
        calls = {name: math.ceil(ROUND / s) for name, s in each("seconds").items()}
        calls = {} if quick else {name: max(work.least, n) for name, n in calls.items()}
        for _ in range(rounds):
            outcome.loads.append(os.getloadavg()[0])
            if work.cost and peaks:
                outcome.samples.append(peaks.ask("measure", 1))
            for name, told in each("measure", calls).items():
                results[name].rounds.append(told)
    return outcome


def _each(
    sides: dict[str, "Side"],
    results: dict[str, Result],
    question: str,
    calls: dict[str, int] | None = None,
) -> dict[str, Any]:
    """The answers in turn of those who are still there."""
    answers = {}
    for name in (name for name in sides if not results[name].status):
        try:
            answers[name] = sides[name].ask(question, (calls or {}).get(name, 1))
        except Gone as gone:
            results[name].status = str(gone)
    return answers


def require_equal(work: Work, outputs: dict[str, Any], results: dict[str, Result]) -> None:
    """Raises Refused where a contestant's output is another than the first's who has one."""
    if not outputs:
        return
    first, *others = outputs
    wanted, largest = outputs[first], np.abs(outputs[first]).max()
    if not np.isfinite(largest) or largest == 0:
        raise Refused(f"{work.name}: what {first} gives, at most {largest}, tells nothing")
    for name in others:
        if outputs[name].shape != wanted.shape:
            raise Refused(f"{work.name}: {name} gives {outputs[name].shape}, not {wanted.shape}")
        far = np.abs(outputs[name] - wanted).max() / largest
        allowed = max(work.tolerance[results[side].precision] for side in (first, name))
        if not far <= allowed:
            raise Refused(f"{work.name}: {name} differs from {first} by {far:.1e} of the largest")


class Gone(Exception):
    """A contestant who cannot take part, or go on."""


class Side:
    """A contestant in its own process, to be asked; it has worked for so many `seconds`."""

    seconds = 0.0

    def __init__(self, make: Make, ours: bool, desk: str, threads: int, device: str) -> None:
        self.pipe, theirs = START.Pipe()
        self.process = START.Process(
            target=_answer, args=(theirs, make, ours, desk, threads, device)
        )
        self.process.start()
        theirs.close()

    def __enter__(self) -> "Side":
        return self

    def __exit__(self, *_: object) -> None:
        self.pipe.close()
        self.process.join(5)
        self.process.kill()

    def ask(self, question: str, calls: int) -> Any:
        try:
            self.pipe.send((question, calls))
            why_not, answer, seconds = self.pipe.recv()
        except (EOFError, OSError):
            why_not, answer, seconds = "failed: its process ended", None, 0.0
        self.seconds += seconds
        if why_not:
            raise Gone(why_not)
        return answer


def _answer(pipe: Any, make: Make, ours: bool, desk: str, threads: int, device: str) -> None:
    """The life of a contestant: made at the first question, it ends with the pipe."""
    if ours:
        keep_memory()
    multiprocessing.set_start_method(None, force=True)  # loaders start their workers as elsewhere
    os.chdir(desk)
    torch.set_num_threads(threads)
    place.move_to(device)
    ready = None
    while True:
        try:
            question, calls = pipe.recv()
        except (EOFError, OSError, KeyboardInterrupt):
            return
        began, why_not, answer = perf_counter(), "", None
        try:
            ready = ready or make()
            answer = _told(ready, question, calls)
            place.rest()
        except NotHere as error:
            why_not = f"not here: {error}"
        except Exception as error:
            traceback.print_exc()
            why_not = f"failed: {_said(error)}"
        pipe.send((why_not, answer, perf_counter() - began))


def _told(ready: Ready, question: str, calls: int) -> Any:
    if question == "precision":
        return ready.precision
    if question == "output":
        output = ready.output()
        output = output.detach().cpu() if isinstance(output, torch.Tensor) else output
        return np.asarray(output, dtype=np.float64)
    if place.on_gpu() and calls > 1:
        ready.once()  # what was given back for the others must be had again
    place.wait()
    began, own = perf_counter(), None
    for _ in range(calls):
        own = ready.once()
    place.wait()
    seconds = (perf_counter() - began) / calls
    return own if question == "measure" and isinstance(own, int | float | dict) else seconds


def _said(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
