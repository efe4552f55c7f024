"""Tar files: where the files in them lie, by their headers, and images that are read there.

Nothing is unpacked. Python's own reader takes minutes for headers that are made to take long, and
keeps each of them.
"""

import os
import re
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from io import BufferedIOBase, BufferedReader, BytesIO
from pathlib import Path
from typing import NamedTuple

from classicnets.support.files import open_regular
from classicnets.support.names import as_path

BLOCK = 512  # bytes; a header, and what files are padded to
LONGEST = 4096  # bytes of a name that has a header of its own
MOST_BYTES = 2**28  # of an image in a tar file
WEB = ("http://", "https://")
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


class Archive(NamedTuple):
    """A tar file: its path or URL, how many bytes it has, and their SHA-256 where it is known."""

    place: str
    bytes: int = 0
    sha256: str = ""

    @property
    def name(self) -> str:
        return self.place.rpartition("/")[2]

    @property
    def folder(self) -> str:
        """Of the cache, for one on the web."""
        return f"shards-{sha256(os.fsencode(self.place + self.sha256)).hexdigest()[:16]}"

    def path(self) -> Path:
        """Where it lies on this machine; one on the web is fetched into the cache first.

        Raises an OSError when it cannot be fetched, or is another file than the index says.
        """
        if not self.place.startswith(WEB):
            return Path(as_path(self.place))
        from .download import cache, locked, retrieve  # noqa: PLC0415  # for the web only

        path = cache() / self.folder / self.name
        if not path.exists():
            with locked(self.folder):
                if not path.exists():
                    retrieve(self.place, path, self.sha256)
        return path


class Member(NamedTuple):
    """An image in a tar file: `length` bytes from `offset` on. As text, its name in the archive."""

    archive: Archive
    offset: int
    length: int

    def __str__(self) -> str:
        name = f"byte {self.offset}"
        with suppress(OSError, ValueError, tarfile.TarError):
            header = _read(self.archive.path(), self.offset - BLOCK, BLOCK)
            name = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape").name
        return f"{self.archive.place}/{name}"

    def open(self) -> BufferedReader:
        """Its bytes. Raises an OSError or a ValueError where the archive does not have them."""
        if self.length > MOST_BYTES:
            raise ValueError(
                f"it has {self.length:,} bytes; in a tar file at most {MOST_BYTES:,} are read"
            )
        return BufferedReader(BytesIO(_read(self.archive.path(), self.offset, self.length)))


def _read(path: Path, offset: int, length: int) -> bytes:
    with open_regular(path) as file:
        file.seek(max(0, offset))
        content = file.read(length)
    if len(content) < length:
        raise ValueError(f"{path} ends before byte {offset + length}")
    return content
