"""A written file against `predict`: answers, size and speed side by side."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from classicnets.support.tables import align, format_bytes, html_table, html_text

BATCHES = (1, 2, 5)
ROUNDS = 3  # of time, in turn
# the largest difference of a score that is allowed, as a share of the largest score: rounding of
# float32, of 11 bits, and of 8 bits. Resized bytes differ by one here and there from predict's.
TOLERANCE = {"fp32": 1e-3, "fp16": 1e-2, "int8": 0.2}
OF_BYTES = 2e-2
# in fp32: times what float32 changes in the network itself, where that is more, and the most
ROUNDINGS, MOST = 4, 5e-2

Scorer = Callable[[np.ndarray], np.ndarray]  # images -> scores


@dataclass(frozen=True)
class Batch:
    """Images for the file, and what gives the scores of `predict` for them, and in float64."""

    images: np.ndarray
    predict: Callable[[], np.ndarray]
    exact: Callable[[], np.ndarray]


@dataclass(frozen=True, repr=False)
class Export:
    """An exported file and how it compares with `predict` on `images` images of `source`.

    `difference` is the largest of a score, as a share of the largest score, `rounding` that of
    `predict` from itself in float64, where the file differs by more than usual; `agreed` counts the
    images with the same likeliest class; `seconds` are those an image takes in a batch of five, by
    the file's engine and by `predict`, on as many `threads`; `bytes` those of the file, and of the
    weights in float32.
    """

    file: Path
    format: str
    precision: str
    engine: str
    source: str
    images: int
    difference: float
    tolerance: float
    agreed: int
    seconds: tuple[float, float]
    threads: int
    bytes: tuple[int, int]
    rounding: float = 0.0

    @property
    def because(self) -> str:
        """Why more than usual is allowed."""
        rounds = f", since float32 alone changes the network's own by {self.rounding:.1e}"
        return rounds if self.rounding else ""

    def __str__(self) -> str:
        return (
            f"{self.file}: {self.format} in {self.precision}\n"
            f"scores differ by at most {self.difference:.1e} of the largest "
            f"({self.tolerance:.2g} is allowed{self.because}), "
            f"and {self.agreed} of {self.images} answers agree, "
            f"on {self.source}"
        )

    def __repr__(self) -> str:
        return "\n".join([str(self), *align(self._rows(), ("",))])

    def _repr_html_(self) -> str:
        return html_text(str(self), "p") + html_table(self._rows(), ("",))

    def _rows(self) -> list[tuple[str, str, str]]:
        size, weights = map(format_bytes, self.bytes)
        own, theirs = (f"{1000 * seconds:.3g}" for seconds in self.seconds)
        return [
            ("", self.engine, "predict"),
            (f"ms an image, threads: {self.threads}", own, theirs),
            ("size", size, weights),
        ]


def compare_scores(batches: Sequence[Batch], engine: Scorer) -> tuple[float, int]:
    """The largest difference as a share of the largest score, and the images with one answer.

    Infinite where a score is not a number, or the shapes differ.
    """
    worst = largest = 0.0
    agreed = 0
    for batch in batches:
        here, there = batch.predict(), engine(batch.images)
        if here.shape != there.shape or not np.isfinite(there).all():
            return float("inf"), 0
        worst = max(worst, float(np.abs(here - there).max()))
        largest = max(largest, float(np.abs(here).max()))
        agreed += int((here.argmax(1) == there.argmax(1)).sum())
    return worst / (largest or 1.0), agreed


def rounding_of(batches: Sequence[Batch]) -> float:
    """What float32 changes in the scores of `predict`, as a share of the largest.

    A network that magnifies what is rounded, as many layers without shortcuts do, cannot be
    computed more exactly than this by any engine. 0 where it does not compute in float64.
    """
    worst = largest = 0.0
    for batch in batches:
        try:
            exact = batch.exact()
        except Exception:  # anything can happen in your own network
            return 0.0
        worst = max(worst, float(np.abs(batch.predict() - exact).max()))
        largest = max(largest, float(np.abs(exact).max()))
    return worst / (largest or 1.0)


def time_both(batch: Batch, engine: Scorer) -> tuple[float, float]:
    """Seconds an image by the engine and by `predict`: medians of rounds in turn."""
    works = (lambda: engine(batch.images), batch.predict)
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for work, taken in zip(works, seconds, strict=True):
            began = perf_counter()
            work()
            taken.append((perf_counter() - began) / len(batch.images))
    return median(seconds[0]), median(seconds[1])
