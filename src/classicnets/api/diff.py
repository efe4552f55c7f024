"""Two networks side by side: the lines that differ, and what they cost."""

import difflib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

import torch

from classicnets.designs.build import build
from classicnets.designs.expand import expand
from classicnets.designs.reader import read
from classicnets.designs.tree import RESIDUAL, Block, Design
from classicnets.designs.writer import write
from classicnets.measure import Report, measure
from classicnets.support.arguments import answering
from classicnets.support.tables import align, format_bytes, html_lines
from classicnets.support.units import format_change

from .design import Network, describe_network

FIGURES = ("params", "macs", "saved_bytes")


@dataclass(frozen=True)
class Change:
    """A line that only one of two networks has (`sign` "-" or "+"), or both (" "), and its cost.

    The figures are of one image; None where a line is not one layer or block of the network.
    """

    sign: str
    line: str
    params: int | None
    macs: int | None
    saved_bytes: int | None


@dataclass(frozen=True, repr=False)
class Difference:
    """What differs between two networks, `before` and `after`."""

    before: Report
    after: Report
    changes: tuple[Change, ...]

    def text(self) -> str:
        """The changed lines with their figures, and both totals."""
        head = ["", "line", "params", "multiply-adds", "saved"]
        changed = list(_with_heads(self.changes))
        rows = [
            [c.sign, c.line, _number(c.params), _number(c.macs), _bytes(c.saved_bytes)]
            for c in changed
        ]
        lines = align([head, *rows], left=("", "line")) if rows else ["the same layers"]
        same = sum(change.sign == " " for change in self.changes)
        return "\n".join([*lines, f"{same} lines are the same", "", *self._totals()])

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html_lines(self.text())

    def json(self) -> str:
        """The changes and both totals as JSON."""
        totals = {
            name: {figure: getattr(report.totals, figure) for figure in FIGURES}
            | {
                "receptive_field": report.totals.receptive_field,
                "training_bytes": report.training_memory.total,
            }
            for name, report in (("before", self.before), ("after", self.after))
        }
        return json.dumps({**totals, "changes": [asdict(c) for c in self.changes]}, indent=2)

    def _totals(self) -> list[str]:
        a, b = self.before.totals, self.after.totals
        memory = (self.before.training_memory.total, self.after.training_memory.total)
        field = [_field(totals.receptive_field) for totals in (a, b)]
        rows = [
            ["", self.before.name, self.after.name, "change"],
            ["params", _number(a.params), _number(b.params), format_change(a.params, b.params)],
            ["multiply-adds", _number(a.macs), _number(b.macs), format_change(a.macs, b.macs)],
            ["memory of a step", *map(format_bytes, memory), format_change(*memory)],
            ["receptive field", *field, ""],
        ]
        return align(rows, left=("",))


@answering()
def diff(before: Network, after: Network) -> Difference:
    """The lines of their designs in which two networks differ, and what each line costs.

    Either is a name of the catalogue, a design file or `path/to/file.py:builder`, each for the
    images it was published or written for. Raises ValueError as `design` does.

    >>> changes = diff("alexnet", "alexnet_merged").changes
    >>> [change.line for change in changes if change.sign == "+"][0]
    '[27x27x256] conv2: 256 5x5 filters, pad 2'
    """
    return difference(
        *(priced(describe_network(each), network_name(each)) for each in (before, after))
    )


class Priced(NamedTuple):
    """The report of a network, and the lines of its design with what each costs."""

    report: Report
    lines: list[Change]


def difference(before: Priced, after: Priced) -> Difference:
    """What differs between two networks."""
    lines_a, lines_b = before.lines, after.lines
    matcher = difflib.SequenceMatcher(None, [c.line for c in lines_a], [c.line for c in lines_b])
    changes: list[Change] = []
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        if tag == "equal":
            changes += lines_a[i1:i2]
        else:
            changes += [replace(c, sign="-") for c in lines_a[i1:i2]]
            changes += [replace(c, sign="+") for c in lines_b[j1:j2]]
    return Difference(before.report, after.report, tuple(changes))


def _with_heads(changes: Sequence[Change]) -> Iterator[Change]:
    """The changed lines, each below the lines that it is indented under, which may be the same."""
    heads: list[Change] = []
    shown: set[int] = set()
    for change in changes:
        while heads and _depth(heads[-1]) >= _depth(change):
            heads.pop()
        heads.append(change)
        for head in heads if change.sign != " " else ():
            if id(head) not in shown:
                shown.add(id(head))
                yield head


def _depth(change: Change) -> int:
    return len(change.line) - len(change.line.lstrip())


def priced(found: Design, name: str, batch: int = 1) -> Priced:
    """A design with its costs, those of a batch of so many images."""
    text = write(Design(found.input, found.lines, found.parts, found.every))
    report, lines = line_costs(read(text), text, name, batch)
    return Priced(report, list(lines.values()))


def line_costs(
    found: Design, text: str, name: str, batch: int = 1
) -> tuple[Report, dict[int, Change]]:
    """The report of a design, and what each line of its text costs: the number -> the line."""
    with torch.device("meta"):
        built = build(found)
    report = measure(built, found.input, batch, name)
    at: dict[int, list[str]] = {}
    for name, number in _named(expand(found).body, ""):
        at.setdefault(number, []).append(name)
    costs = _costs(report)
    lines = {
        number: _change(_indented(line), at.get(number, []), costs)
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip()
    }
    return report, lines


def network_name(network: Network) -> str:
    """What a network is called in a report."""
    named = network if isinstance(network, str) else getattr(network, "name", None)
    return str(named or type(network).__name__)


def _named(block: Block, prefix: str) -> Iterator[tuple[str, int]]:
    """The layers and blocks of a network and their lines, those of a part for each of its uses."""
    for (item,) in block.lines:
        yield prefix + item.name, item.line
        what = item.what
        if isinstance(what, Block):
            below = ".body" if what.kind == RESIDUAL else ""
            inside = list(_named(what, f"{prefix}{item.name}{below}."))
            inside += [(f"{prefix}{item.name}.shortcut", each.line) for each in what.shortcut]
            yield from inside


def _indented(line: str) -> str:
    """A line without the spaces that align it with others."""
    return " " * (len(line) - len(line.lstrip())) + " ".join(line.split())


def _costs(report: Report) -> dict[str, list[int]]:
    """The figures of every layer and block by its name."""
    costs: dict[str, list[int]] = {}
    for row in (*report.layers, *report.training_only):
        figures = [getattr(row, figure) for figure in FIGURES]
        for name in (row.name, *_blocks(row.name)):
            before = costs.get(name, [0] * len(FIGURES))
            costs[name] = [a + b for a, b in zip(before, figures, strict=True)]
    return costs


def _blocks(name: str) -> list[str]:
    """The blocks that a layer is in: `a` and `a.b` for `a.b.c`."""
    parts = name.split(".")
    return [".".join(parts[:k]) for k in range(1, len(parts))]


def _change(line: str, names: list[str], costs: dict[str, list[int]]) -> Change:
    """A line with what the layers and blocks of these names cost together."""
    own = set(names)
    outer = [name for name in own if own.isdisjoint(_blocks(name)) and name in costs]
    if not outer:
        return Change(" ", line, None, None, None)
    sums = [sum(figures) for figures in zip(*(costs[name] for name in outer), strict=True)]
    return Change(" ", line, *sums)


def _number(n: int | None) -> str:
    return "" if n is None else f"{n:,}"


def _bytes(n: int | None) -> str:
    return "" if n is None else format_bytes(n)


def _field(field: object) -> str:
    return "?" if field is None else str(field)
