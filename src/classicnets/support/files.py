"""Atomic writes, file locks, and which files may be opened."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

from .errors import plain_reason

_HELD: dict[Path, FileLock] = {}  # until this process ends


@contextmanager
def open_atomic(path: Path) -> Iterator[IO[bytes]]:
    """A new file that replaces `path` at the end, or is removed if anything fails on the way.

    Raises an OSError that names `path`, as when the disk is full.
    """
    partial = path.with_name(path.name + ".part")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(f"cannot write {path}: {plain_reason(error)}") from error
        raise


def write_atomic(path: Path, content: bytes) -> None:
    """Writes the content, or leaves what was there if anything fails; see `open_atomic`."""
    with open_atomic(path) as file:
        file.write(content)


def require_regular(path: str | Path) -> None:
    """Raises a ValueError for a pipe, socket or device, which may never end or even open."""
    mode = Path(path).stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # opening a folder fails in any case
        raise ValueError("it is a pipe, socket or device")


def lock_directory(directory: Path) -> None:
    """Keeps other processes from training there until this one ends.

    Raises a ValueError when one already does.
    """
    place = directory.resolve()
    if place in _HELD:
        return
    lock = FileLock(place / ".lock")
    with suppress(OSError):  # not every file system has locks
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise ValueError(
                f"another process is training in {directory}; let it end first"
            ) from None
        _HELD[place] = lock
