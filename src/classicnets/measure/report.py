"""The report on a measured network: rows and totals, as text, Markdown, CSV and JSON."""

import csv
import io
import json
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import chain, combinations, groupby
from typing import NamedTuple

from classicnets.support.tables import align, format_bytes, html_table, html_text

from .memory import TrainingMemory

DEEP = 60  # longer tables are folded by default

Pixels = int | tuple[int, ...] | None  # one number where both sides agree; None where unknown


@dataclass(frozen=True)
class Layer:
    """A row: one call of a layer. Operations and bytes are for the whole batch.

    Receptive fields are in pixels of the image, along the paths with the largest and the smallest
    one. `stride` is the distance between neighbouring receptive fields, `offset` the first pixel
    that position 0 sees, negative in the padding. `activation_bytes` is new memory for the output,
    `saved_bytes` what autograd saves here for the backward pass.
    """

    name: str
    type: str
    output: tuple[int, ...]  # for one image
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
        """All arithmetic besides multiply-adds."""
        return sum(getattr(self, kind) for kind in ARITHMETIC)


ARITHMETIC = ("comparisons", "additions", "multiplications", "divisions", "exponentials")
SUMMED = ("params", "macs", *ARITHMETIC, "activation_bytes", "saved_bytes", "parameter_bytes")


class Stage(NamedTuple):
    """Neighbouring layers with the same number in their names, as percentages of the network."""

    label: str
    params: float
    saved_bytes: float
    macs: float


@dataclass(frozen=True, repr=False)
class Report:
    """A measured network: its layers in order of execution, their totals, and a training step.

    `training_only` are layers that run in training only (auxiliary heads): not in the totals, but
    in the training memory. `uncounted` are operators without a counting rule, `fused` layers that
    a device runs as one kernel, which may save other bytes, `single` those that normalise over one
    value per map, which torch refuses in training, and `unused` the modules with parameters that
    the forward pass did not read, and how many: not in the totals.
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
    single: tuple[str, ...]
    unused: Mapping[str, int]

    @property
    def totals(self) -> Layer:
        """The sums of the columns; columns that cannot be summed are those of the last layer."""
        return _sum("total", self.layers)

    @property
    def training_macs(self) -> int:
        """Multiply-adds of a training step: forward, weight gradients and input gradients.

        The first layer's input, the image, needs no gradient. Training-only heads count.
        """
        macs = [layer.macs for layer in (*self.layers, *self.training_only) if layer.macs]
        return 3 * sum(macs) - macs[0] if macs else 0

    def stages(self) -> tuple[Stage, ...]:
        """Each run of neighbouring children of the network with the same number, as percentages."""
        total, parts = self.totals, (_sum(label, layers) for label, layers in self.groups())
        return tuple(
            Stage(part.name, *(_percent(part, total, of) for of in Stage._fields[1:]))
            for part in parts
        )

    def groups(self) -> tuple[tuple[str, tuple[Layer, ...]], ...]:
        """The label of each stage, and its layers."""
        found = []
        for _, run in groupby(self.layers, key=lambda layer: _number(_child(layer.name))):
            layers = tuple(run)
            ends = (_child(layers[0].name), _child(layers[-1].name))
            found.append(("–".join(dict.fromkeys(ends)), layers))  # noqa: RUF001
        return tuple(found)

    def folded(self) -> "Report":
        """The same report with one row per child of the network."""
        return replace(self, layers=_fold(self.layers), training_only=_fold(self.training_only))

    def json(self) -> str:
        """The whole report; operations and bytes are for the batch, keys as in `Layer`."""
        totals, memory = self.totals, self.training_memory
        report = asdict(self) | {
            "totals": {key: getattr(totals, key) for key in SUMMED},
            "stages": [stage._asdict() for stage in self.stages()],
            "training_memory": asdict(memory) | {"total": memory.total},
        }
        return json.dumps(report, indent=2)

    def csv(self) -> str:
        """One line per layer, plain numbers; values that differ by side are joined with x."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        columns = [column.name for column in fields(Layer)]
        table.writerow(columns)
        for layer in self.layers:
            table.writerow([_plain(getattr(layer, column)) for column in columns])
        return text.getvalue()

    def markdown(self) -> str:
        """A table of the layers and totals, with other operations by kind."""
        columns = _columns(ops=True)
        rule = [":--" if name in LEFT else "--:" for name in columns]
        rows = [_cells(layer, columns) for layer in (*self.layers, self.totals)]
        return "".join(f"| {' | '.join(cells)} |\n" for cells in (columns, rule, *rows))

    def text(self, fold: bool | None = None, width: int = 100, ops: bool = False) -> str:
        """The table, the stages, the memory of a training step, and what the columns mean.

        Deep networks are folded unless `fold` is False. `ops` splits other operations by kind.
        Where the table is wider than `width`, columns are left out.
        """
        blocks = self._shown(fold)._blocks()
        columns = _fitting(_columns(ops), [*chain(*blocks)], width)
        parts = [
            [self._heading()],
            _table(blocks, columns),
            self._stage_table(),
            self._notes(width),
        ]
        parts += [textwrap.wrap(_footnote(columns, ops), width, break_on_hyphens=False)]
        return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        columns = _columns(ops=False)
        rows = [_cells(layer, columns) for layer in chain(*self._shown()._blocks())]
        notes = html_text(" ".join(self._notes(100)), "p")
        return html_text(self._heading(), "p") + html_table([columns, *rows], LEFT) + notes

    def _heading(self) -> str:
        return f"{self.name} · input {_join(self.input)} · batch {self.batch}"

    def _shown(self, fold: bool | None = None) -> "Report":
        deep = len(self.layers) > DEEP
        return self.folded() if (deep if fold is None else fold) else self

    def _blocks(self) -> list[list[Layer]]:
        """The rows of the table between its rules."""
        blocks = [list(self.layers), [self.totals]]
        if self.training_only:
            total = replace(_sum("training only", self.training_only), output=())
            blocks += [list(self.training_only), [total]]
        return blocks

    def _stage_table(self) -> list[str]:
        rows = [["stage", "params", "saved", "multiply-adds"]]
        rows += [[s.label, *(f"{x:.1f} %" for x in s[1:])] for s in self.stages() if any(s[1:])]
        return align(rows, LEFT)

    def _notes(self, width: int) -> list[str]:
        copies = self.optimizer_copies
        weights, gradients, state, saved = map(format_bytes, vars(self.training_memory).values())
        notes = (
            f"One training step at batch {self.batch} needs "
            f"{format_bytes(self.training_memory.total)}: "
            f"weights {weights}, gradients {gradients}, optimizer state {state} "
            f"({copies} value{'s' * (copies != 1)} per weight), "
            f"activations saved for backward {saved}."
        )
        if self.training_only:
            notes += " Rows below the total run in training only; the total leaves them out."
        if self.uncounted:
            notes += f" Operators without a counting rule: {', '.join(self.uncounted)}."
        if self.fused:
            notes += (
                " A device may run these as one kernel and save other bytes: "
                f"{', '.join(self.fused)}."
            )
        if self.single:
            notes += f" {one_value_per_map(self)}."
        if self.unused:
            unused = (f"{name} ({count:,} parameters)" for name, count in self.unused.items())
            notes += f" Not used in the forward pass: {', '.join(unused)}."
        return textwrap.wrap(notes, width, break_on_hyphens=False)


def one_value_per_map(report: Report) -> str:
    """What to do about the layers of a report that cannot train on its batch."""
    return (
        f"Cannot train at batch {report.batch}, on one value per map: {', '.join(report.single)}; "
        "use a batch of at least 2, or larger images"
    )


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


def _percent(part: Layer, total: Layer, column: str) -> float:
    return 100 * getattr(part, column) / (getattr(total, column) or 1)


# --- as text ---


COLUMNS: Mapping[str, Callable[[Layer], str]] = {
    "layer": lambda layer: layer.name,
    "type": lambda layer: layer.type,
    "output": lambda layer: _join(layer.output),
    "params": lambda layer: f"{layer.params:,}",
    "multiply-adds": lambda layer: _operations(layer.macs),
    "other ops": lambda layer: _operations(layer.other_operations),
    "compare": lambda layer: _operations(layer.comparisons),
    "add": lambda layer: _operations(layer.additions),
    "multiply": lambda layer: _operations(layer.multiplications),
    "divide": lambda layer: _operations(layer.divisions),
    "exp": lambda layer: _operations(layer.exponentials),
    "memory": lambda layer: format_bytes(layer.activation_bytes),
    "saved": lambda layer: format_bytes(layer.saved_bytes),
    "receptive field": lambda layer: _range(layer.smallest_receptive_field, layer.receptive_field),
    "stride": lambda layer: _join(layer.stride),
    "offset": lambda layer: _join(layer.offset),
}
OPS = ("compare", "add", "multiply", "divide", "exp")
LEFT = ("layer", "type", "output", "stage")  # left-aligned
OPTIONAL = ("offset", "memory", "type", "other ops", "stride")  # left out of narrow tables


def _columns(ops: bool) -> list[str]:
    return [name for name in COLUMNS if name not in (("other ops",) if ops else OPS)]


def _fitting(columns: Sequence[str], layers: Sequence[Layer], width: int) -> list[str]:
    """The columns that fit into `width`: the fewest possible of `OPTIONAL` are left out."""
    widths = {
        name: 2 + max(map(len, (*_head(name), *map(COLUMNS[name], layers)))) for name in columns
    }
    choices = [
        [name for name in columns if name not in left_out]
        for count in range(len(OPTIONAL) + 1)
        for left_out in combinations(OPTIONAL, count)
    ]
    fitting = (shown for shown in choices if sum(widths[name] for name in shown) - 2 <= width)
    return next(fitting, choices[-1])


def _head(column: str) -> tuple[str, str]:
    """A column's name on two lines: ("multiply-", "adds")."""
    first, _, second = column.replace("-", "- ").partition(" ")
    return first, second


def _table(blocks: Sequence[Sequence[Layer]], columns: Sequence[str]) -> list[str]:
    heads = zip(*map(_head, columns), strict=True)
    lines = align([*heads, *(_cells(layer, columns) for layer in chain(*blocks))], LEFT)
    rule = "─" * max(map(len, lines))
    table, rest = lines[:2], iter(lines[2:])
    for block in blocks:
        table += [rule, *(next(rest) for _ in block)]
    return table


def _cells(layer: Layer, columns: Sequence[str]) -> list[str]:
    return [COLUMNS[name](layer) for name in columns]


def _footnote(columns: Sequence[str], ops: bool) -> str:
    notes = [f"{name}: {meaning}." for name, meaning in MEANING.items() if name in columns]
    if ops:
        notes.append(f"{', '.join(OPS)} (with logarithms, powers and roots): other arithmetic.")
    notes.append("Operations and bytes are for the whole batch, in training.")
    if left_out := [name for name in _columns(ops) if name not in columns]:
        notes.append(f"Left out at this width: {', '.join(left_out)}.")
    return " ".join(notes)


MEANING = {
    "output": "shape for one image, maps first",
    "params": "learnable values",
    "multiply-adds": "one multiplication and one addition each, of convolutions and fully "
    "connected layers; the papers' FLOPs are multiply-adds",
    "other ops": "all other arithmetic, by kind with --ops",
    "memory": "new bytes for the output, 0 B for a view or an in-place change",
    "saved": "bytes that autograd saves for the backward pass, without parameters; a tensor counts "
    "once, in the row that first saves it",
    "receptive field": "pixels per side of the image that one value depends on, padding included, "
    "from the smallest path to the largest where they differ, ? where unknown",
    "stride": "pixels from one receptive field to the next",
    "offset": "first pixel of the first receptive field, negative in the padding",
}


def _operations(n: int) -> str:
    for unit, size in (("G", 10**9), ("M", 10**6), ("K", 10**3)):
        if n >= size:
            return f"{n / size:.2f} {unit}"
    return str(n)


def _range(smallest: Pixels, largest: Pixels) -> str:
    return "–".join(dict.fromkeys((_join(smallest), _join(largest))))  # noqa: RUF001


def _join(sizes: Pixels) -> str:
    if sizes is None:
        return "?"
    return str(sizes) if isinstance(sizes, int) else "x".join(map(str, sizes))


def _plain(value: str | Pixels) -> str:
    return value if isinstance(value, str) else "" if value is None else _join(value)
