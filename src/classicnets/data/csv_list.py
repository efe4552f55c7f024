"""CSV files that list images with their labels.

Each row is a path, below the folder of the CSV file, and a label; a third column may name the
split: train, val or test. A header row allows any order and additional columns. Classes are ordered
by name, numbers by value.
"""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

from classicnets.support.names import as_path, as_text

from .csv_columns import read_rows
from .files import find_images
from .folder import SPLIT_NAMES
from .listing import LabelledFiles, Listing

NUMBER = re.compile(r"\d+(\.\d+)?")


class Row(NamedTuple):
    """What a row says: its path, its label and its split, which may be empty; `line` is its own."""

    line: int
    path: str
    label: str
    split: str


def list_table(table: Path, test: bool = False) -> Listing:
    """The images that the file lists, in the splits that it names.

    With `test` only a test split: its test rows, or all if there are none. Raises a ValueError that
    names the line where something is missing, illegal or ambiguous.
    """
    table = Path(os.path.abspath(table))
    rows = list(_rows(table))
    if test:
        rows = [row for row in rows if row.split == "test"] or rows
        rows = [row._replace(split="test") for row in rows]
    classes = _in_order({row.label for row in rows})
    if len(classes) == 1 and not test:
        raise ValueError(f"{table} has only one class, {classes[0]!r}; at least two are needed")
    labels = {name: k for k, name in enumerate(classes)}
    splits: dict[str, LabelledFiles] = {}
    for row in rows:
        splits.setdefault(row.split or "train", []).append((row.path, labels[row.label]))
    if "train" not in splits and not test:
        raise ValueError(f"{table} has {' and '.join(splits)} rows but no train row")
    return Listing(table.parent, classes, splits, table=table)


def _in_order(names: set[str]) -> tuple[str, ...]:
    """Numbers by value, and names that are equal as numbers by their characters."""
    if all(map(NUMBER.fullmatch, names)):
        return tuple(sorted(names, key=lambda name: (Decimal(name), name)))
    return tuple(sorted(names))


def _rows(table: Path) -> Iterator[Row]:
    """The rows that are not blank; there is at least one."""
    columns, width, lines = read_rows(table)
    if not lines:
        raise ValueError(f"{table} lists no images")
    files = _Files(table.parent)
    if columns is None:
        columns = {"path": 0, "label": 1, "split": 2}
        _require_no_header(table, files, lines)
    for line, cells in lines:
        if any(cells[width:]):
            raise ValueError(
                f"{table}, line {line}: there are {len(cells)} cells for {width} columns; put a "
                "name with a separator in it into double quotes"
            )
        path, label, split = (
            cells[k] if (k := columns.get(name, len(cells))) < len(cells) else ""
            for name in ("path", "label", "split")
        )
        try:
            yield Row(line, files.find(path, label), _legal(label), _split(split))
        except ValueError as error:
            raise ValueError(f"{table}, line {line}: {error}") from None


def _require_no_header(table: Path, files: "_Files", lines: list[tuple[int, list[str]]]) -> None:
    """Raises a ValueError when the first row seems to name columns by other words."""
    line, first = lines[0]
    labels = [cells[1] for _, cells in lines if len(cells) > 1]
    alone = len(first) > 1 and all(first) and labels.count(first[1]) == 1
    if alone and not Path(first[0]).suffix and not files.has(first[0]):
        raise ValueError(
            f"{table}, line {line}: there is no file {first[0]}, and no other row has the label "
            f"{first[1]}; if this row names columns, call them path and label"
        )


def _legal(label: str) -> str:
    if label.startswith("-") and NUMBER.fullmatch(label[1:]):
        raise ValueError(f"the label {label} is negative; labels start at 0")
    return label


def _split(name: str) -> str:
    if name and name.lower() not in SPLIT_NAMES:
        raise ValueError(f"unknown split {name!r}; choose from {', '.join(SPLIT_NAMES)}")
    return SPLIT_NAMES[name.lower()] if name else ""


class _Files:
    """The files below a folder that rows name; each folder is read once."""

    def __init__(self, root: Path):
        self.root = str(root)
        self.names = cache(self._read)

    def has(self, cell: str) -> bool:
        path = self._below(as_path(cell))
        return path is not None and os.path.exists(self._find(path))

    def find(self, cell: str, label: str) -> str:
        """The path of the file, whether it exists or not.

        A path that leads to no file may also be the name of the only image below the folder that
        has it, and may lack its ending. Raises a ValueError for a missing path or label, one that
        is not below the folder, and one that fits several images.
        """
        if not cell or not label:
            raise ValueError(f"the {'label' if cell else 'path'} is missing")
        path = as_path(cell)
        if "\\" in path and not os.path.exists(os.path.join(self.root, path)):
            path = path.replace("\\", "/")
        below = self._below(path)
        if below is None:
            raise ValueError(f"{cell} is outside {self.root}; paths must be below it")
        return self._find(below)

    def _below(self, path: str) -> str | None:
        """The path relative to the folder; None where it is not below it."""
        top = os.path.join(self.root, "")
        full = os.path.normpath(top + path) if not os.path.isabs(path) else os.path.normpath(path)
        if not full.startswith(top) and os.path.isabs(path):
            full = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        return full[len(top) :] if full.startswith(top) else None

    def _find(self, path: str) -> str:
        folder, name = os.path.split(path)
        found = [path] if name in self.names(folder) else self._alike(path)
        if len(found) > 1:
            raise ValueError(f"{path} may be {' or '.join(found[:3])}; write one of them")
        return os.path.join(self.root, *(found or [path]))

    def _read(self, folder: str) -> set[str]:
        try:
            return set(os.listdir(os.path.join(self.root, folder)))
        except (OSError, ValueError):  # there is no such folder, or there can be none
            return set()

    def _alike(self, path: str) -> list[str]:
        key = _key(path)
        return self._images.get(key) or self._images.get(f"*/{key}", [])

    @cached_property
    def _images(self) -> dict[str, list[str]]:
        """Path or, after `*/`, name, each with and without its ending -> images."""
        images: dict[str, list[str]] = defaultdict(list)
        for image in find_images(self.root).images:
            path = image[len(os.path.join(self.root, "")) :]
            for known in (path, f"*/{os.path.basename(path)}"):
                for key in {_key(known), _key(os.path.splitext(known)[0])}:
                    images[key].append(path)
        return images


def _key(path: str) -> str:
    """The same for a name with composed and with decomposed accents."""
    return unicodedata.normalize("NFC", as_text(path))
