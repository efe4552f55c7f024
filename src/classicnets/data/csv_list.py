"""A CSV file that names pictures and their labels.

Each row is a path, from the folder of the file on, and a label; a third column may name the part,
train, val or test. A first row of `path,label` or `path,label,split` may name the columns, then in
any order and with others beside them. Classes are ordered by name, numbers as numbers.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from .folder import PARTS
from .listing import Listing

COLUMNS = ("path", "label", "split")


def list_table(table: Path) -> Listing:
    """What the file names, its parts as far as it gives them.

    Raises a ValueError that names the line where something is missing or cannot be meant.
    """
    rows = list(_rows(table))
    names = {label for _, label, _ in rows}
    if len(names) < 2:
        raise ValueError(f"{table} has {len(names) or 'no'} class; there must be at least two")
    numbered = all(name.isdecimal() for name in names)
    classes = tuple(sorted(names, key=int if numbered else None))
    parts: dict[str, list[tuple[Path, int]]] = {}
    for path, label, part in rows:
        parts.setdefault(part, []).append((path, classes.index(label)))
    if "train" not in parts:
        raise ValueError(f"{table} has {' and '.join(parts)} rows but no train row")
    return Listing(table.parent, classes, parts, table=table)


def list_test_table(table: Path) -> tuple[tuple[str, ...], list[tuple[Path, int]]]:
    """The classes of the file and all its pictures, or those of its test part."""
    rows = list(_rows(table))
    rows = [row for row in rows if row[2] == "test"] or rows
    classes = tuple(sorted({label for _, label, _ in rows}))
    return classes, [(path, classes.index(label)) for path, label, _ in rows]


def _rows(table: Path) -> Iterator[tuple[Path, str, str]]:
    """Path, label and part of each row that is not blank."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            lines = [
                (k, [cell.strip() for cell in row]) for k, row in enumerate(csv.reader(file), 1)
            ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{table} is not a CSV file in UTF-8: {error}") from error
    lines = [(k, row) for k, row in lines if any(row)]
    columns = COLUMNS
    if lines and {"path", "label"} <= {cell.lower() for cell in lines[0][1]}:
        columns = tuple(cell.lower() for cell in lines.pop(0)[1])
    if not lines:
        raise ValueError(f"{table} names no pictures")
    for line, row in lines:
        cells = dict(zip(columns, row, strict=False))
        path, label = cells.get("path", ""), cells.get("label", "")
        where = f"{table}, line {line}"
        if not path or not label:
            raise ValueError(f"{where}: the {'label' if path else 'path'} is missing")
        if Path(path).is_absolute() or ".." in Path(path).parts:
            raise ValueError(f"{where}: {path} lies outside {table.parent}; it must be below")
        if label.startswith("-") and label[1:].isdecimal():
            raise ValueError(f"{where}: the label {label} is negative; numbers begin at 0")
        part = PARTS.get((cells.get("split") or "train").lower())
        if part is None:
            raise ValueError(f"{where}: the split {cells['split']!r} is none of {', '.join(PARTS)}")
        yield table.parent / path, label, part
