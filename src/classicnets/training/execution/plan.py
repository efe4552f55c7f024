"""The plan of a training: its memory by part, its time, and what would fit where it does not."""

import json
import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

from classicnets.measure import roofline
from classicnets.measure.live import Live, Work
from classicnets.support.errors import option
from classicnets.support.tables import align, finite, format_bytes, html_lines
from classicnets.support.units import format_seconds

from .memory import EVALUATED, MARGIN, Peak, largest_peak

NO_DATA = "no data set"
RANGE = 1.3  # measured steps were within this factor of the predicted ones (docs/planning.md)
# on a CPU, fitted to the steps of six networks on two machines: a product takes so many copies of
# its bytes, other operators so many of the values they read (as float32)
PRODUCT, NORMALISED, POOLED, EXPONENTIAL, CONVERTED, OTHER = 3.0, 2.0, 3.0, 20.0, 2.5, 5.0
START, START_PRODUCT = 15e-6, 100e-6  # seconds until an operator, or one product of it, starts
# on a GPU, whose prediction has not been checked
USUAL, LAUNCH = 1.33, 6e-6


@dataclass(frozen=True)
class Seconds:
    """A time, with a range; `source` is predicted, measured or estimate."""

    low: float
    likely: float
    high: float
    source: str

    def __mul__(self, count: float) -> "Seconds":
        return Seconds(self.low * count, self.likely * count, self.high * count, self.source)

    def __add__(self, seconds: float) -> "Seconds":
        low, likely, high = (s + seconds for s in (self.low, self.likely, self.high))
        return Seconds(low, likely, high, self.source)

    def __str__(self) -> str:
        low, likely, high = map(format_seconds, (self.low, self.likely, self.high))
        return f"{likely} ({low} to {high}, {self.source})"


def predict_step(
    live: Live, weights: int, passes: int, peaks: Mapping[str, float], precision: str, device: str
) -> Seconds:
    """The time of a step: the sum over its operators, and the update, which takes `passes`.

    On a CPU products take their FLOP at the peak rate of arithmetic and a number of copies, other
    operators a number of copies by kind; on a GPU the longer of the two. `source` is predicted.
    """
    rate, copy = roofline.fastest(peaks, precision), peaks["copy"]
    update = passes * weights / copy
    if device == "cpu":
        likely = update + sum(_cpu_seconds(work, rate, copy) for work in live.work)
    else:
        bound = sum(max(work.flop / rate, work.moved / copy) for work in live.work)
        likely = max(USUAL * (bound + update), LAUNCH * len(live.work))
    return Seconds(likely / RANGE, likely, likely * RANGE, "predicted")


def _cpu_seconds(work: Work, rate: float, copy: float) -> float:
    """The seconds of an operator. Those on bfloat16 take as long for a value as on float32."""
    if work.flop:
        products = 2 if work.operator.endswith("_backward") else 1
        return START_PRODUCT * products + work.flop / rate + PRODUCT * work.moved / copy
    if not work.values:
        return 0.0
    return START + _copies(work) * 4 * work.values / copy


def _copies(work: Work) -> float:
    """The time of an operator that is not a product, in copies of the values it reads."""
    if work.exponential:
        return EXPONENTIAL
    if "norm" in work.operator:
        return NORMALISED
    if "pool" in work.operator:
        return POOLED
    return CONVERTED if work.operator in ("copy", "_to_copy") else OTHER


@dataclass(frozen=True)
class Option:
    """What would need less: how to ask for it, and its memory."""

    command: str
    effect: str
    peak: Peak
    fits: bool


@dataclass(frozen=True, repr=False)
class Plan:
    """What a training needs; bytes and seconds.

    `peaks` are those of a step, of evaluation and of writing a checkpoint; the largest decides.
    `parts` are those of a batch whose gradients are accumulated. `budget` is infinite and
    `largest_batch` with it where the free memory is unknown. `reading` is the time to read a batch,
    0 where it was not measured. Without data `images` are the paper's.
    """

    network: str
    input: tuple[int, int, int]
    data: str
    images: int
    validation: int
    batch: int
    parts: int
    steps: int
    epochs: float
    precision: str
    device: str
    peaks: tuple[Peak, ...]
    budget: float
    largest_batch: float
    step: Seconds
    reading: float
    time_budget: float | None
    options: tuple[Option, ...]
    notes: tuple[str, ...] = ()

    @property
    def peak(self) -> Peak:
        """That of the phase which needs the most."""
        return largest_peak(self.peaks)

    @property
    def phase_is_fixed(self) -> bool:
        """Whether the phase that needs the most does not depend on a smaller batch."""
        return self.peak.phase == "checkpoint" or (
            self.peak.phase == "evaluation" and self.batch <= EVALUATED
        )

    @property
    def verdict(self) -> str:
        """`fits`, `tight` (within the error of the prediction) or `does not fit`."""
        low, high = self.peak.range
        return "fits" if high <= self.budget else "tight" if low <= self.budget else "does not fit"

    @property
    def epoch(self) -> Seconds:
        """Training and validation; a forward pass is a third of a step."""
        steps = self.images / self.batch + self.validation / self.batch / 3
        return self.step * steps + self.reading * (self.images + self.validation) / self.batch

    @property
    def total(self) -> Seconds:
        return self.epoch * self.epochs

    @property
    def in_time(self) -> bool | None:
        """Whether it is likely to end within the time given; None without one."""
        return None if self.time_budget is None else self.total.likely <= self.time_budget

    def json(self) -> str:
        """Everything in bytes and seconds; null where a value is unknown."""
        values = {
            **{name: finite(value) for name, value in vars(self).items()},
            "peaks": {peak.phase: {**peak.parts, "total": peak.total} for peak in self.peaks},
            "peak_bytes": self.peak.total,
            "peak_range": self.peak.range,
            "phase": self.peak.phase,
            "verdict": self.verdict,
            **{name: vars(getattr(self, name)) for name in ("step", "epoch", "total")},
            "in_time": self.in_time,
            "options": [
                {
                    "command": option.command,
                    "effect": option.effect,
                    "peak_bytes": option.peak.total,
                    "fits": option.fits,
                }
                for option in self.options
            ],
        }
        return json.dumps(values, indent=2)

    def text(self, width: int = 80) -> str:
        """A table of memory by part and phase, the verdict, times, and what would fit."""
        of = "assumed" if self.data == NO_DATA else f"of {self.data}"
        images = f"{self.images:,} images {of}"
        heading = (
            f"{self.network} · {images} · input {'x'.join(map(str, self.input))} · "
            f"batch {self.batch:,}{f' in {self.parts:,} parts' * (self.parts > 1)} · "
            f"{self.precision} · {self.device}"
        )
        paragraphs = [self._memory(), self._time(), *self.notes]
        parts = ["\n".join(textwrap.wrap(heading, width)), "\n".join(self._table())]
        parts += ["\n".join(textwrap.wrap(paragraph, width)) for paragraph in paragraphs]
        if self.options:
            parts.append("\n".join(["what needs less:", *align(self._options(), OPTION_LEFT)]))
        return "\n\n".join(parts) + "\n"

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html_lines(self.text())

    def _table(self) -> list[str]:
        names = [name for name in self.peak.parts if any(p.parts[name] for p in self.peaks)]
        rows = [["memory", *(peak.phase for peak in self.peaks)]]
        rows += [[n, *(format_bytes(p.parts[n]) for p in self.peaks)] for n in names]
        rows.append(["total", *(format_bytes(peak.total) for peak in self.peaks)])
        return align(rows, ("memory",))

    def _memory(self) -> str:
        low, high = map(format_bytes, self.peak.range)
        text = f"{self.verdict}: the peak, of the {self.peak.phase}, is predicted as "
        text += f"{format_bytes(self.peak.total)} ({low} to {high})"
        if math.isinf(self.budget):
            return f"{text}; how much memory is free is unknown."
        largest = f"the largest batch whose step fits is {self.largest_batch:,.0f}"
        if self.largest_batch > self.images and self.data != NO_DATA:
            largest += f", more than the {self.images:,} training images"
        text += f", of {format_bytes(int(self.budget))} available; "
        text += f"{largest if self.largest_batch else 'not one image fits'}."
        if self.phase_is_fixed and self.verdict != "fits":
            text += f" The {self.peak.phase} needs as much with a smaller batch."
        return text

    def _time(self) -> str:
        epochs = f"{self.epochs:,.3g} epoch{'s' * (self.epochs != 1)}, {self.steps:,} steps"
        text = f"a step: {self.step}; an epoch: {self.epoch}; {epochs}: {self.total}"
        if self.reading:
            text += f". Reading is in it: {format_seconds(self.reading)} a batch (measured)"
        if self.time_budget is None:
            return f"{text}."
        limit = format_seconds(self.time_budget)
        if self.in_time:
            return f"{text}. It ends within {limit}."
        epochs = int(self.time_budget // self.epoch.likely)
        would = f"{option('epochs', epochs)} would" if epochs else "not one epoch would"
        return f"{text}. It does not end within {limit}; {would}."

    def _options(self) -> list[list[str]]:
        rows = [
            [o.command, o.effect, format_bytes(o.peak.total), "yes" if o.fits else "no"]
            for o in self.options
        ]
        return [["change", "effect", "peak", "fits"], *rows]


OPTION_LEFT = ("change", "effect")


def fits(peak: Peak, budget: float) -> bool:
    """Whether it fits even where the prediction is too low by as much as has been measured."""
    return MARGIN * peak.total <= budget
