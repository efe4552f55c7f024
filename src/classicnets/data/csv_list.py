"""CSV files that list images with their labels.

Each row is a path, relative to the CSV file, and a label; a third column may name the split: train,
val or test. A header row with `path`, `label` and perhaps `split` allows any order and additional
columns. Classes are ordered by name, numbers by value.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from .folder import SPLIT_NAMES
from .listing import LabelledFiles, Listing

COLUMNS = ("path", "label", "split")


def list_table(table: Path, test: bool = False) -> Listing:
    """The images that the file lists, in the splits that it names.

    With `test` only a test split: its test rows, or all if there are none. Raises a ValueError that
    names the line where something is missing or illegal.
    """
    rows = list(_rows(table))
    if test:
        rows = [row for row in rows if row[2] == "test"] or rows
        rows = [(path, label, "test") for path, label, _ in rows]
    names = {label for _, label, _ in rows}
    if len(names) < 2 and not test:
        raise ValueError(f"{table} has only one class, {names.pop()!r}; at least two are needed")
    numeric = all(name.isdecimal() for name in names)
    classes = tuple(sorted(names, key=int if numeric else None))
    labels = {name: k for k, name in enumerate(classes)}
    splits: dict[str, LabelledFiles] = {}
    for path, label, split in rows:
        splits.setdefault(split, []).append((path, labels[label]))
    if "train" not in splits and not test:
        raise ValueError(f"{table} has {' and '.join(splits)} rows but no train row")
    return Listing(table.parent, classes, splits, table=table)


def _rows(table: Path) -> Iterator[tuple[Path, str, str]]:
    """Path, label and split of each row that is not blank; there is at least one."""
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
        raise ValueError(f"{table} lists no images")
    for line, row in lines:
        cells = dict(zip(columns, row, strict=False))
        path, label = cells.get("path", ""), cells.get("label", "")
        where = f"{table}, line {line}"
        if not path or not label:
            raise ValueError(f"{where}: the {'label' if path else 'path'} is missing")
        if Path(path).is_absolute() or ".." in Path(path).parts:
            raise ValueError(f"{where}: {path} is outside {table.parent}; paths must be below it")
        if label.startswith("-") and label[1:].isdecimal():
            raise ValueError(f"{where}: the label {label} is negative; labels start at 0")
        split = SPLIT_NAMES.get((cells.get("split") or "train").lower())
        if split is None:
            raise ValueError(
                f"{where}: unknown split {cells['split']!r}; choose from {', '.join(SPLIT_NAMES)}"
            )
        yield table.parent / path, label, split
