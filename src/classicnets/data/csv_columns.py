"""How a CSV file of images is written: its encoding, its separator and the names of its columns."""

import csv
import io
from itertools import islice
from pathlib import Path

Rows = list[tuple[int, list[str]]]  # line number and cells

SEPARATORS = (",", ";", "\t", "|")
SAMPLE = 100  # rows that decide on the separator

# names of columns without spaces, hyphens and underscores; a later group counts where no column
# has a name of an earlier one
NAMES = {
    "path": (
        ("path",),
        ("file", "files", "filename", "filepath", "fname", "relativepath"),
        ("image", "images", "img", "imagepath", "imgpath", "imagename", "imgname", "imagefile"),
        ("id", "imageid", "imgid", "fileid"),
        ("name",),
    ),
    "label": (
        ("label",),
        ("labelname", "class", "classname", "category", "categoryname", "target", "targetname"),
        ("labelid", "classid", "classindex", "categoryid", "targetid"),
    ),
    "split": (("split",), ("set", "subset", "partition")),
}


def read_rows(table: Path) -> tuple[dict[str, int] | None, int, Rows]:
    """The columns of `path`, `label` and `split` by the header, if there is one; how many columns
    there are; and the other rows.

    Cells are stripped and blank rows left out. Raises a ValueError when this is not CSV in UTF-8,
    or a header is ambiguous or has no column for the label.
    """
    try:
        text = table.read_bytes().decode("utf-8-sig")
        rows = _parse(text, _separator(text))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{table} is not a CSV file in UTF-8: {error}") from error
    if not rows:
        return None, len(NAMES), rows
    line, first = rows[0]
    try:
        columns = _columns(first)
    except ValueError as error:
        raise ValueError(f"{table}, line {line}: {error}") from None
    return (columns, len(first), rows[1:]) if columns else (None, len(NAMES), rows)


def _parse(text: str, separator: str, limit: int | None = None) -> Rows:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    rows = ((reader.line_num, [cell.strip() for cell in row]) for row in reader)
    return list(islice((row for row in rows if any(row[1])), limit))


def _separator(text: str) -> str:
    """The one that makes the first row a header, or splits most rows; the comma if none is best."""

    def fitness(separator: str) -> tuple[bool, int]:
        rows = _parse(text, separator, SAMPLE)
        header = bool(rows) and all(_candidates(rows[0][1], role) for role in ("path", "label"))
        return header, sum(len(cells) > 1 for _, cells in rows)

    return max(SEPARATORS, key=fitness)


def _columns(first: list[str]) -> dict[str, int] | None:
    """Role -> its column, by the names in the first row; None where it is not a header."""
    found = {role: at for role in NAMES if (at := _candidates(first, role))}
    if not {"path", "label"} <= found.keys() and found.get("path") != [0]:
        return None
    for role, at in found.items():
        if len(at) > 1:
            names = " and ".join(first[k] for k in at)
            raise ValueError(f"the columns {names} may each be the {role}; call one of them {role}")
    columns = {role: at[0] for role, at in found.items()}
    if "label" not in columns:
        others = [k for k in range(len(first)) if k not in columns.values()]
        if len(others) != 1:
            raise ValueError(
                f"none of the columns {', '.join(first)} is known to be the label; call it label"
            )
        columns["label"] = others[0]
    return columns


def _candidates(first: list[str], role: str) -> list[int]:
    """The columns that may have this role."""
    names = ["".join(c for c in cell.casefold() if c not in " -_") for cell in first]
    found = ([k for k, name in enumerate(names) if name in group] for group in NAMES[role])
    return next(filter(None, found), [])
