"""Hidden folders in which something gathers until it is whole, each locked by the server it is of.

A lock goes with its process on every system, however that ends.
"""

import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from filelock import FileLock

PREFIX, LOCK = ".part-", ".lock"


class Scratch:
    """A folder in `parent`, made when it is needed. What is whole leaves it by a renaming."""

    def __init__(self, parent: Path):
        self.place = parent / f"{PREFIX}{secrets.token_hex(8)}"
        # pages make and remove it in different threads
        self._lock = FileLock(self.place / LOCK, thread_local=False)

    def make(self) -> Path:
        """The folder, which is there now. Raises an OSError where it cannot be."""
        self.place.mkdir(parents=True, exist_ok=True)
        if not self._lock.is_locked:
            with suppress(OSError):  # not every file system has locks
                self._lock.acquire(timeout=0)
        return self.place

    def remove(self) -> None:
        """Removes it with what is in it."""
        self._lock.release()
        shutil.rmtree(self.place, ignore_errors=True)


def remove_leftovers(parent: Path) -> None:
    """Removes from a folder what servers have left there that were killed."""
    for place in parent.glob(f"{PREFIX}*"):
        with suppress(OSError), FileLock(place / LOCK, timeout=0):  # else its server is running
            shutil.rmtree(place, ignore_errors=True)
