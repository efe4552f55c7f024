"""Atomic writes and file locks."""

import os
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

_HELD: dict[Path, FileLock] = {}  # until this process ends


def write_atomic(path: Path, content: bytes) -> None:
    """Writes the content, or leaves what was there if anything fails on the way.

    Raises an OSError that names the file, as when the disk is full.
    """
    partial = path.with_name(path.name + ".part")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(f"cannot write {path}: {error.strerror}") from error
        raise


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
