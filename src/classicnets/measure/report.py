"""What measuring found, as rows and totals, and as text, Markdown, CSV and JSON."""

import csv
import io
import json
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import groupby
from typing import NamedTuple

from classicnets.support.tables import align, format_bytes

from .memory import TrainingMemory

DEEP = 60  # rows from which a table is folded unless one asks for all

Pixels = int | tuple[int, ...] | None  # one number where both sides agree; None: not known


@dataclass(frozen=True)
class Layer:
    """A row: one call of a layer. Arithmetic and bytes are for the whole batch.

    Receptive fields are in pixels of the image: the largest path's and the smallest's; `stride` is
    the step from one position to the next, `offset` the first pixel that position 0 sees, negative
    in the padding. `activation_bytes` is new memory for the output, `saved_bytes` what autograd
    keeps for the backward pass from here.
    """

    name: str
    type: str
    output: tuple[int, ...]  # of one image
    params: int
    macs: int
    comparisons: int
    additions: int
    multiplications: int
    divisions: int
    exponentials: int
    activation_bytes: int
    saved_bytes: int
    parameter_bytes: int
    receptive_field: Pixels
    smallest_receptive_field: Pixels
    stride: Pixels
    offset: Pixels

    @property
    def other_operations(self) -> int:
        """All arithmetic that is no multiply-add."""
        return sum(getattr(self, kind) for kind in ARITHMETIC)


ARITHMETIC = ("comparisons", "additions", "multiplications", "divisions", "exponentials")
SUMMED = ("params", "macs", *ARITHMETIC, "activation_bytes", "saved_bytes", "parameter_bytes")


class Stage(NamedTuple):
    """A run of layers with the same number, and its share of the whole in per cent."""

    label: str
    params: float
    saved_bytes: float
    macs: float


@dataclass(frozen=True)
class Report:
    """A network measured: its layers in order of execution, their totals, and one training step.

    `training_only` are the layers that run in training alone (auxiliary heads): not in the totals,
    but in the memory of the training step. `uncounted` are operators that have no counting rule,
    `fused` the layers that a device computes in one piece and may keep other bytes for, `unused`
    where parameters stand that the pass did not need, and how many: not in the totals.
    """

    name: str
    input: tuple[int, ...]
    batch: int
    layers: tuple[Layer, ...]
    training_only: tuple[Layer, ...]
    training_memory: TrainingMemory
    optimizer_copies: int
    uncounted: tuple[str, ...]
    fused: tuple[str, ...]
    unused: Mapping[str, int]

    @property
    def totals(self) -> Layer:
        """The columns added up; what cannot be added is the last layer's."""
        return _sum("total", self.layers)

    @property
    def training_macs(self) -> int:
        """Multiply-adds of a training step: forward, and again for weights' and inputs' gradients.

        The first layer's input, the image, needs no gradient. Heads that are there in training
        alone count.
        """
        spent = [layer.macs for layer in (*self.layers, *self.training_only) if layer.macs]
        return 3 * sum(spent) - spent[0] if spent else 0

    def stages(self) -> tuple[Stage, ...]:
        """The share of each stage: neighbouring children of the network with the same number."""
        whole = self.totals
        runs = groupby(self.folded().layers, key=lambda layer: _number(layer.name))
        stages = []
        for _, run in runs:
            members = list(run)
            first, last = members[0].name, members[-1].name
            part = _sum(first if first == last else f"{first}–{last}", members)  # noqa: RUF001
            shares = (_percent(part, whole, of) for of in ("params", "saved_bytes", "macs"))
            stages.append(Stage(part.name, *shares))
        return tuple(stages)

    def folded(self) -> "Report":
        """The same with a row for each child of the network."""
        return replace(self, layers=_fold(self.layers), training_only=_fold(self.training_only))

    def json(self) -> str:
        """All of it, sizes for the batch given, names as in the rows."""
        totals = {key: getattr(self.totals, key) for key in SUMMED}
        return json.dumps(
            {
                "name": self.name,
                "input": self.input,
                "batch": self.batch,
                "totals": totals,
                "layers": [asdict(layer) for layer in self.layers],
                "training_only": [asdict(layer) for layer in self.training_only],
                "stages": [stage._asdict() for stage in self.stages()],
                "training_memory": {
                    **asdict(self.training_memory),
                    "total": self.training_memory.total,
                },
                "uncounted": self.uncounted,
                "fused": self.fused,
                "unused": self.unused,
            },
            indent=2,
        )

    def csv(self) -> str:
        """A line per layer, plain numbers; sides that differ are joined with x."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        columns = [column.name for column in fields(Layer)]
        table.writerow(columns)
        for layer in self.layers:
            table.writerow([_plain(getattr(layer, column)) for column in columns])
        return text.getvalue()

    def markdown(self) -> str:
        """The table of layers and totals, all columns."""
        head = list(WIDE)
        rule = [":--" if name in LEFT else "--:" for name in WIDE]
        rows = [_cells(layer, WIDE) for layer in (*self.layers, self.totals)]
        return "".join(f"| {' | '.join(cells)} |\n" for cells in (head, rule, *rows))

    def text(self, fold: bool | None = None, width: int = 120) -> str:
        """A table for reading, and what it means. Deep networks are folded unless `fold` is False.

        Where `width` is too narrow, all arithmetic but multiply-adds shares one column, and then
        what says least is left out.
        """
        deep = len(self.layers) > DEEP
        shown = self.folded() if (deep if fold is None else fold) else self
        tables = (shown._table(columns) for columns in (WIDE, MIDDLE, NARROW))
        table = next((t for t in tables if max(map(len, t)) <= width), shown._table(NARROW))
        heading = f"{self.name} · input {_by(self.input)} · batch {self.batch}"
        parts = [[heading], table, self._shares(), self._remarks(width), _footnote(width)]
        return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"

    def __str__(self) -> str:
        return self.text()

    def _table(self, columns: Sequence[str]) -> list[str]:
        blocks = [[list(columns)]]
        blocks += [[_cells(layer, columns) for layer in self.layers]]
        blocks += [[_cells(self.totals, columns)]]
        if self.training_only:
            aside = _sum("in training only, not in the total", self.training_only)
            blocks += [[_cells(layer, columns) for layer in self.training_only]]
            blocks += [[_cells(replace(aside, output=()), columns)]]
        lines = align([cells for block in blocks for cells in block], LEFT)
        rule = "─" * max(map(len, lines))
        table: list[str] = []
        for block in blocks:
            table += [*lines[: len(block)], rule]
            lines = lines[len(block) :]
        return table[:-1]

    def _shares(self) -> list[str]:
        rows = [["stage", "params", "kept", "multiply-adds"]]
        rows += [[s.label, *(f"{x:.1f} %" for x in s[1:])] for s in self.stages() if any(s[1:])]
        return align(rows, LEFT)

    def _remarks(self, width: int) -> list[str]:
        copies = self.optimizer_copies
        weights, gradients, state, kept = map(format_bytes, vars(self.training_memory).values())
        remarks = (
            f"One training step at batch {self.batch}: weights {weights}, gradients {gradients}, "
            f"optimizer state {state} ({copies} value{'s' * (copies != 1)} a weight), activations "
            f"kept {kept}; together {format_bytes(self.training_memory.total)}."
        )
        if self.uncounted:
            remarks += f" Not counted, for want of a rule: {', '.join(self.uncounted)}."
        if self.fused:
            remarks += (
                " Computed in one piece on a device, which may keep other bytes than stated: "
                f"{', '.join(self.fused)}."
            )
        if self.unused:
            unused = (f"{name} ({count:,} parameters)" for name, count in self.unused.items())
            remarks += f" Never used in this pass: {', '.join(unused)}."
        return textwrap.wrap(remarks, width)


def _fold(layers: Iterable[Layer]) -> tuple[Layer, ...]:
    groups = groupby(layers, key=lambda layer: _child(layer.name))
    return tuple(
        members[0] if len(members) == 1 and members[0].name == child else _sum(child, members)
        for child, group in groups
        if (members := list(group))
    )


def _sum(name: str, layers: Sequence[Layer]) -> Layer:
    sums = {column: sum(getattr(layer, column) for layer in layers) for column in SUMMED}
    return replace(layers[-1], name=name, type="", **sums)


def _child(name: str) -> str:
    """The network's child that a row belongs to, without the number of the call."""
    return name.partition(".")[0].partition(" (")[0]


def _number(name: str) -> str:
    found = re.search(r"\d+", name)
    return found[0] if found else name


def _percent(part: Layer, whole: Layer, column: str) -> float:
    return 100 * getattr(part, column) / (getattr(whole, column) or 1)


# --- as text ---


COLUMNS: Mapping[str, Callable[[Layer], str]] = {
    "layer": lambda layer: layer.name,
    "type": lambda layer: layer.type,
    "output": lambda layer: _by(layer.output),
    "params": lambda layer: f"{layer.params:,}",
    "multiply-adds": lambda layer: _operations(layer.macs),
    "compare": lambda layer: _operations(layer.comparisons),
    "add": lambda layer: _operations(layer.additions),
    "multiply": lambda layer: _operations(layer.multiplications),
    "divide": lambda layer: _operations(layer.divisions),
    "exp": lambda layer: _operations(layer.exponentials),
    "other ops": lambda layer: _operations(layer.other_operations),
    "memory": lambda layer: format_bytes(layer.activation_bytes),
    "kept": lambda layer: format_bytes(layer.saved_bytes),
    "field": lambda layer: _range(layer.smallest_receptive_field, layer.receptive_field),
    "step": lambda layer: _by(layer.stride),
    "offset": lambda layer: _by(layer.offset),
}
LEFT = ("layer", "type", "output", "stage")  # words, set to the left
WIDE = tuple(name for name in COLUMNS if name != "other ops")
MIDDLE = tuple(name for name in COLUMNS if name == "other ops" or name not in WIDE[5:10])
NARROW = ("layer", "output", "params", "multiply-adds", "kept", "field", "step")


def _cells(layer: Layer, columns: Sequence[str]) -> list[str]:
    return [COLUMNS[name](layer) for name in columns]


def _footnote(width: int) -> list[str]:
    return textwrap.wrap(
        "output: of one image, maps first. params: values to learn. multiply-adds: one "
        "multiplication and one addition each, of convolutions and fully connected layers; the "
        "papers' FLOPs are multiply-adds. compare, add, multiply, divide, exp (with logarithms, "
        "powers and roots), or other ops for all five: the arithmetic of everything else. memory: "
        "new bytes for the output, 0 B for a view or a change in place. kept: bytes autograd keeps "
        "from here for the backward pass, parameters apart, each counted once, where first kept. "
        "Operations and bytes are for the whole batch, in training. field: receptive field, the "
        "pixels a side of the image that one value sees, padding included, from the smallest path "
        "to the largest where they differ, ? where it cannot be followed exactly. step: pixels "
        "from one position's field to the next's. offset: where the first position's field "
        "begins, negative in the padding.",
        width,
    )


def _operations(n: int) -> str:
    for unit, size in (("G", 10**9), ("M", 10**6), ("K", 10**3)):
        if n >= size:
            return f"{n / size:.2f} {unit}"
    return str(n)


def _range(smallest: Pixels, largest: Pixels) -> str:
    return _by(largest) if smallest == largest else f"{_by(smallest)}–{_by(largest)}"  # noqa: RUF001


def _by(sizes: Pixels) -> str:
    if sizes is None:
        return "?"
    return str(sizes) if isinstance(sizes, int) else "x".join(map(str, sizes))


def _plain(value: str | Pixels) -> str:
    return value if isinstance(value, str) else "" if value is None else _by(value)
