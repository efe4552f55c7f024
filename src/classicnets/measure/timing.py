"""How fast a network was, beside the fastest that its arithmetic can be done here."""

import json
import math
import statistics
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

from classicnets.support.tables import align, format_bytes

from . import roofline

COLUMNS = ("work", "batch", "precision", "ms", "range", "images/s", "GFLOP/s", "of floor")
LEFT = ("work", "precision")


@dataclass(frozen=True)
class Timing:
    """A row: a batch of images through inference or a training step.

    `rounds` has the seconds that it took, on average in each round, and `first` those of the first
    call, which also allocates and chooses. `flop` is two for each multiply-add of the batch.
    """

    work: str
    batch: int
    precision: str
    flop: float
    first: float
    rounds: tuple[float, ...]

    @property
    def seconds(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.rounds)

    @property
    def images_per_second(self) -> float:
        return self.batch / self.seconds

    @property
    def flop_per_second(self) -> float:
        return self.flop / self.seconds


@dataclass(frozen=True)
class Speed:
    """A network measured on a device: a row for each work, batch and precision.

    `peaks` are what the device does at best, in FLOP/s and bytes/s by name as in `ceiling`.
    `memory_bytes` of a training step, by batch, are counted in fp32; a batch of `largest_batch`
    images fits into the `free_bytes`, both infinite where that is not known. `remarks` say what
    was left out or executed otherwise, and why.
    """

    name: str
    input: tuple[int, ...]
    device: str
    threads: int
    torch: str
    peaks: Mapping[str, float]
    rows: tuple[Timing, ...]
    memory_bytes: Mapping[int, int]
    largest_batch: float
    free_bytes: float
    remarks: tuple[str, ...] = ()

    def floor(self, row: Timing) -> float:
        """Seconds below which nothing gets here that does this arithmetic in this precision."""
        return row.flop / roofline.fastest(self.peaks, row.precision)

    def share(self, row: Timing) -> float:
        """Of the time taken, what the floor is: 1 at best."""
        return self.floor(row) / row.seconds

    def json(self) -> str:
        """All of it: seconds, FLOP and bytes, null where something is not known."""
        rows = [
            {
                "work": row.work,
                "batch": row.batch,
                "precision": row.precision,
                "seconds": row.seconds,
                "rounds": row.rounds,
                "first_seconds": row.first,
                "images_per_second": row.images_per_second,
                "flop": row.flop,
                "flop_per_second": row.flop_per_second,
                "floor_seconds": self.floor(row),
                "share_of_floor": self.share(row),
            }
            for row in self.rows
        ]
        known = {name: value for name, value in vars(self).items() if value != math.inf}
        facts = {name: known.get(name) for name in vars(self)}
        return json.dumps({**facts, "rows": rows}, indent=2)

    def text(self, width: int = 80) -> str:
        """A table for reading, what it was measured with, and what it means."""
        table = align([COLUMNS, *map(self._cells, self.rows)], LEFT)
        table.insert(1, "─" * max(map(len, table)))
        heading = f"{self.name} · input {'x'.join(map(str, self.input))} · {self.device}"
        parts = [[heading], table]
        said = (self._conditions(), self._memory(), *self.remarks, self._footnote())
        parts += [textwrap.wrap(sentences, width) for sentences in said]
        return "\n\n".join("\n".join(lines) for lines in parts) + "\n"

    def __str__(self) -> str:
        return self.text()

    def _cells(self, row: Timing) -> list[str]:
        low, high = (_figure(1e3 * seconds) for seconds in (min(row.rounds), max(row.rounds)))
        return [
            *(row.work, f"{row.batch:,}", row.precision, _figure(1e3 * row.seconds)),
            *(f"{low}–{high}", _figure(row.images_per_second)),  # noqa: RUF001
            *(_figure(row.flop_per_second / 1e9), f"{100 * self.share(row):.1f} %"),
        ]

    def _conditions(self) -> str:
        peaks = ", ".join(
            f"{name} {_figure(rate / 1e9)} {'GB/s' if name == 'copy' else 'GFLOP/s'}"
            for name, rate in self.peaks.items()
        )
        threads = f"{self.threads} thread{'s' * (self.threads != 1)}"
        first = max(row.first for row in self.rows)
        return (
            f"Measured with torch {self.torch} on {threads}; the slowest first call took "
            f"{first:.2f} s. At best the machine did, in the same rounds: {peaks}."
        )

    def _memory(self) -> str:
        steps = (f"{format_bytes(n)} at batch {batch:,}" for batch, n in self.memory_bytes.items())
        told = f"A training step needs {', '.join(steps)}."
        if math.isfinite(self.largest_batch):
            told += f" {format_bytes(int(self.free_bytes))} are free"
            told += f": the largest batch that fits is {self.largest_batch:,.0f}."
        return told

    def _footnote(self) -> str:
        return (
            "inference: scores for a batch. training: a step as `classicnets train` executes it, "
            "forward, backward and update. ms: for the batch, the median of "
            f"{len(self.rows[0].rounds)} rounds, which go from row to row. range: the fastest and "
            "the slowest round. GFLOP/s: two for each multiply-add of convolutions and fully "
            "connected layers; a training step has three times those of its forward pass, less the "
            "gradient of the picture. of floor: the share of the time that this arithmetic takes "
            "at the highest rate of a matrix product or a convolution in this precision, measured "
            "here; 100 % is the floor. Batches of few pixels are computed on one thread. Memory is "
            "counted in fp32, as `classicnets show` does; a fifth of what is free is left to "
            "operators for their own work."
        )


def _figure(x: float) -> str:
    """Three or four digits: 0.123, 1.23, 12.3, 1,234."""
    return f"{x:,.{3 if x < 1 else 2 if x < 10 else 1 if x < 1000 else 0}f}"
