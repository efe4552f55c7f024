"""Tables and numbers as text."""

from collections.abc import Collection, Sequence


def align(rows: Sequence[Sequence[str]], left: Collection[str] = ()) -> list[str]:
    """Lines of a table whose first row is its headings; columns in `left` are left-aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(w) if name in left else cell.rjust(w)
            for name, cell, w in zip(rows[0], row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def format_bytes(n: int) -> str:
    """Bytes in a suitable unit.

    >>> format_bytes(3 * 2**29), format_bytes(40)
    ('1.50 GiB', '40 B')
    """
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if n >= size:
            return f"{n / size:.2f} {unit}"
    return f"{n} B"
