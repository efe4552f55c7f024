"""Amounts of memory and time as people write them."""

import math
import re
from collections.abc import Mapping

BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
BYTES |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
COUNTS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
LEGAL_MEMORY = "such as 8GB, 500MB or 6GiB"
LEGAL_COUNT = "such as 800000, 800K, 1M or 2.5G"
LEGAL_TIME = "such as 90s, 30min, 2h or 1d"


def parse_bytes(text: str | float | int) -> float:
    """An amount of memory in bytes. Raises a ValueError for another unit, and one of 0 or less.

    >>> parse_bytes("8GB"), parse_bytes("0.5 GiB")
    (8000000000.0, 536870912.0)
    """
    return _parse("memory", _digits(text).upper(), BYTES, "B", str(text), LEGAL_MEMORY)


def parse_seconds(text: str | float | int) -> float:
    """A time in seconds. Raises a ValueError for another unit, and one of 0 or less.

    >>> parse_seconds("1.5h"), parse_seconds(90)
    (5400.0, 90.0)
    """
    return _parse("time", _digits(text), SECONDS, "s", str(text), LEGAL_TIME)


def parse_count(what: str, text: str | float | int) -> float:
    """A number of something. Raises a ValueError for another unit, and one of 0 or less.

    >>> parse_count("params", "1.5M"), parse_count("params", 800)
    (1500000.0, 800.0)
    """
    return _parse(what, _digits(text).upper(), COUNTS, "", str(text), LEGAL_COUNT)


def _digits(text: str | float | int) -> str:
    return text if isinstance(text, str) else f"{text:f}"  # never 1e+20


def _parse(
    what: str, text: str, units: Mapping[str, int], default: str, given: str, legal: str
) -> float:
    found = re.fullmatch(r"(-?\d+(?:\.\d*)?|-?\.\d+)\s*([A-Za-z]*)", text.strip())
    unit = units.get((found[2] or default) if found else "")
    if found is None or unit is None:
        raise ValueError(
            f"{what} is a number{' and a unit' * (default != '')}, {legal}, not {given!r}"
        )
    value = float(found[1]) * unit
    if not 0 < value < math.inf:
        raise ValueError(f"{what} must be more than 0, {legal}, not {given!r}")
    return value


def format_count(n: int) -> str:
    """
    >>> [format_count(n) for n in (325680, 40551424, 724406816)]
    ['325,680', '40.55 M', '0.724 G']
    """
    if n < 10**6:
        return f"{n:,}"
    return f"{n / 1e6:.2f} M" if n < 10**8 else f"{n / 1e9:.3f} G"


def format_seconds(seconds: float | int) -> str:
    """
    >>> [format_seconds(s) for s in (0.0123, 12.3, 300, 7500, 200000)]
    ['12.3 ms', '12.3 s', '5 min 0 s', '2 h 5 min', '2 d 7 h']
    """
    if seconds < 1:
        return f"{1e3 * seconds:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    for big, small, a, b in ((86400, 3600, "d", "h"), (3600, 60, "h", "min"), (60, 1, "min", "s")):
        if seconds >= big:
            count, rest = divmod(int(seconds), big)
            return f"{count:,} {a} {rest // small} {b}"
    raise AssertionError(seconds)


def format_change(before: int, after: int) -> str:
    """By how much a number has changed.

    >>> format_change(200, 201), format_change(7, 7), format_change(0, 3)
    ('+0.5 %', 'same', '+3')
    >>> format_change(393_442, 393_614)
    '+0.04 %'
    """
    if before == after:
        return "same"
    if not before:
        return f"{after:+,}"
    change = 100 * (after / before - 1)
    return f"{change:+.1f} %" if abs(change) >= 0.05 else f"{change:+.1g} %"
