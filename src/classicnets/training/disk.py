"""Files that are either the old one or the new one, never half of one, and one writer of them."""

import os
from importlib import import_module
from pathlib import Path

_HELD: dict[Path, int] = {}  # until this process ends


def write(path: Path, content: bytes) -> None:
    """The content at this path, or what stood there before if anything fails on the way.

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


def claim(directory: Path) -> None:
    """Keeps other processes from writing there. Raises a ValueError when one does already."""
    place = directory.resolve()
    if place in _HELD:
        return
    try:
        fcntl = import_module("fcntl")
    except ImportError:  # not on Windows
        return
    held = os.open(place, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        raise ValueError(f"another process is training in {directory}; let it end first") from None
    except OSError:  # not every file system knows locks
        os.close(held)
        return
    _HELD[place] = held
