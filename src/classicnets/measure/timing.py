"""The measured speed of a network, compared with the peak rates of the machine."""

import json
import math
import statistics
import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from classicnets.support.tables import align, format_bytes, html_table, html_text

from . import roofline

COLUMNS = ("mode", "batch", "precision", "ms", "range", "images/s", "GFLOP/s", "of peak")
LEFT = ("mode", "precision")


@dataclass(frozen=True)
class Timing:
    """A row: inference or a training step on one batch of images.

    `rounds` are the mean seconds per call in each round, `first_seconds` those of the first call,
    which also allocates memory and selects kernels. `flop` is two per multiply-add of the batch.
    """

    mode: str
    batch: int
    precision: str
    flop: float
    first_seconds: float
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


@dataclass(frozen=True, repr=False)
class Speed:
    """The speed of a network on a device: a row per mode, batch and precision.

    `peaks` are the device's peak rates in FLOP/s and bytes/s, named as in `roofline.sample`.
    `memory_bytes` is the memory of a training step in fp32, by batch. A batch of `largest_batch`
    images fits into the `free_bytes`; both are infinite where unknown. `notes` explain rows that
    were left out or executed differently.
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
    notes: tuple[str, ...] = ()

    def lower_bound(self, row: Timing) -> float:
        """The seconds that this row's arithmetic takes at the peak rate of its precision."""
        return row.flop / roofline.fastest(self.peaks, row.precision)

    def fraction_of_peak(self, row: Timing) -> float:
        """The lower bound divided by the measured time: 1 at best."""
        return self.lower_bound(row) / row.seconds

    def json(self) -> str:
        """Everything in seconds, FLOP and bytes; null where a value is unknown."""
        rows = [
            asdict(row)
            | {
                "seconds": row.seconds,
                "images_per_second": row.images_per_second,
                "flop_per_second": row.flop_per_second,
                "lower_bound_seconds": self.lower_bound(row),
                "fraction_of_peak": self.fraction_of_peak(row),
            }
            for row in self.rows
        ]
        known = {name: value for name, value in vars(self).items() if value != math.inf}
        fields = {name: known.get(name) for name in vars(self)}
        return json.dumps({**fields, "rows": rows}, indent=2)

    def text(self, width: int = 80) -> str:
        """A table, the conditions it was measured under, and what the columns mean."""
        table = align([COLUMNS, *map(self._cells, self.rows)], LEFT)
        table.insert(1, "─" * max(map(len, table)))
        parts = [[self._heading()], table]
        paragraphs = (self._conditions(), self._memory(), *self.notes, self._footnote())
        parts += [textwrap.wrap(paragraph, width) for paragraph in paragraphs]
        return "\n\n".join("\n".join(lines) for lines in parts) + "\n"

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        table = html_table([COLUMNS, *map(self._cells, self.rows)], LEFT)
        notes = (html_text(note, "p") for note in (self._conditions(), self._memory(), *self.notes))
        return html_text(self._heading(), "p") + table + "".join(notes)

    def _heading(self) -> str:
        return f"{self.name} · input {'x'.join(map(str, self.input))} · {self.device}"

    def _cells(self, row: Timing) -> list[str]:
        low, high = (_figure(1e3 * seconds) for seconds in (min(row.rounds), max(row.rounds)))
        return [
            *(row.mode, f"{row.batch:,}", row.precision, _figure(1e3 * row.seconds)),
            *(f"{low}–{high}", _figure(row.images_per_second)),  # noqa: RUF001
            *(_figure(row.flop_per_second / 1e9), f"{100 * self.fraction_of_peak(row):.1f} %"),
        ]

    def _conditions(self) -> str:
        peaks = ", ".join(
            f"{name} {_figure(rate / 1e9)} {'GB/s' if name == 'copy' else 'GFLOP/s'}"
            for name, rate in self.peaks.items()
        )
        threads = f"{self.threads} thread{'s' * (self.threads != 1)}"
        first = max(row.first_seconds for row in self.rows)
        return (
            f"Measured with torch {self.torch} on {threads}; the slowest first call took "
            f"{first:.2f} s. Peak rates of the machine in the same rounds: {peaks}."
        )

    def _memory(self) -> str:
        steps = (f"{format_bytes(n)} at batch {batch:,}" for batch, n in self.memory_bytes.items())
        text = f"A training step needs {', '.join(steps)}."
        if math.isfinite(self.largest_batch):
            text += f" {format_bytes(int(self.free_bytes))} are free"
            text += f": the largest batch that fits is {self.largest_batch:,.0f}."
        return text

    def _footnote(self) -> str:
        return (
            "inference: scores of a batch. training: a step as `classicnets train` executes it: "
            "forward, backward and update. ms: per batch, the median of "
            f"{len(self.rows[0].rounds)} rounds, in which the rows take turns. range: the fastest "
            "and the slowest round. GFLOP/s: two FLOP per multiply-add of convolutions and fully "
            "connected layers; a training step has three times the multiply-adds of its forward "
            "pass, less the gradient of the image. of peak: the rate as a percentage of the "
            "fastest matrix product or convolution in this precision, measured in the same "
            "rounds. Batches of few pixels run on one thread. Memory is counted in fp32, as in "
            "`classicnets show`; a fifth of the free memory is reserved for the workspaces of "
            "operators."
        )


def _figure(x: float) -> str:
    """A number with three or four digits: 0.123, 1.23, 12.3, 1,234."""
    return f"{x:,.{3 if x < 1 else 2 if x < 10 else 1 if x < 1000 else 0}f}"
