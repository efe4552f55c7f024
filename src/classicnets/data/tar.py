"""Where the files in a tar file lie. Nothing is unpacked, and no more than headers are read.

Python's own reader takes minutes for headers that are made to take long, and keeps each of them.
"""

import os
import re
import tarfile
from collections.abc import Iterator
from io import BufferedIOBase
from typing import NamedTuple

BLOCK = 512  # bytes; a header, and what files are padded to
LONGEST = 4096  # bytes of a name that has a header of its own
PAX_PATH = re.compile(rb"(?:^|\n)[0-9]{1,6} path=([^\n]+)\n")


class Entry(NamedTuple):
    """A file in a tar file: its name, the byte where it begins, and its length."""

    name: str
    offset: int
    length: int


def entries(file: BufferedIOBase, start: int = 0, end: int | None = None) -> Iterator[Entry]:
    """The regular files in a tar file, or in one that lies in another from `start` to `end`.

    Raises a ValueError where it is another kind of file, compressed, damaged or cut short.
    """
    end = file.seek(0, os.SEEK_END) if end is None else end
    name = ""
    while start < end:
        file.seek(start)
        header = file.read(min(BLOCK, end - start))
        if not header.strip(b"\0"):
            return
        info = _parse(header, start)
        start += BLOCK
        if not 0 <= info.size <= end - start:
            raise ValueError(f"it is cut short: byte {start + info.size} is missing")
        if info.type in (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE):
            name = _long_name(info.type, file.read(min(info.size, LONGEST))) or name
        elif info.type != tarfile.XGLTYPE:
            if info.type in (tarfile.REGTYPE, tarfile.AREGTYPE):
                yield Entry(name or info.name, start, info.size)
            name = ""
        start += -(-info.size // BLOCK) * BLOCK


def _parse(header: bytes, start: int) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError, OverflowError) as error:
        raise ValueError(
            f"it is not a tar file, is compressed, or is damaged at byte {start}"
        ) from error


def _long_name(kind: bytes, content: bytes) -> str:
    if kind == tarfile.XHDTYPE:
        found = PAX_PATH.search(content)
        content = found[1] if found else b""
    return content.partition(b"\0")[0].decode("utf-8", "surrogateescape")
