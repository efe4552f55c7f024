"""Atomic writes, file locks, and which files may be opened."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import file_digest
from io import BufferedReader
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO

from .errors import option, plain_reason

if TYPE_CHECKING:
    from filelock import FileLock

LOCK = ".lock"  # in a directory that a process trains in, or has trained in
_HELD: "dict[Path, FileLock]" = {}  # until this process ends


def exists(path: str | Path) -> bool:
    """Whether a path exists; False where a folder above it is closed, and for no possible path."""
    return os.path.exists(path)  # noqa: PTH110  # pathlib's raises a PermissionError


def require_place(path: Path, ending: str, what: str, exist_ok: bool = False) -> None:
    """Raises a ValueError where a new file cannot be written, or would replace another one."""
    if path.suffix != ending:
        raise ValueError(f"{what} ends in {ending}, not {path.name!r}")
    if not path.parent.is_dir():
        raise ValueError(f"no such folder: {path.parent}")
    if path.is_dir():
        raise ValueError(f"{path} is a folder")
    if exists(path) and not exist_ok:
        raise ValueError(
            f"{path} exists; name a new file, or add {option('exist_ok')} to replace it"
        )


def open_regular(path: str | Path) -> BufferedReader:
    """Opens a file to read. Raises a ValueError for a pipe, a socket or a device, which may never
    end, and an OSError when it cannot be opened.
    """
    mode = os.stat(path).st_mode  # noqa: PTH116  # path may be a string
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
        kind = kinds.get(stat.S_IFMT(mode), "a device")
        raise ValueError(f"it is {kind}, not a regular file")
    return open(path, "rb", opener=_open_at_once)


def _open_at_once(path: str, flags: int) -> int:
    """Does not wait for a writer, even if the file has just become a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def open_named(path: Path) -> BinaryIO:
    """As `open_regular`, but raises a ValueError that names the file unless it is missing."""
    try:
        return open_regular(path)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {plain_reason(error)}") from error


def read_named(path: Path) -> bytes:
    """The content of a file; see `open_named`."""
    with open_named(path) as file:
        return file.read()


def content_digest(path: str | Path) -> str:
    """The SHA-256 of the bytes of a file."""
    with Path(path).open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def identity(path: Path) -> list[int]:
    """What tells a file from any copy of it, and from itself as soon as it is written to; empty
    where there is none."""
    try:
        found = path.stat()
    except OSError:
        return []
    return [found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


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


def lock_directory(directory: Path) -> None:
    """Keeps other processes from training there until this one ends.

    Raises a ValueError when one already does.
    """
    from filelock import FileLock, Timeout  # noqa: PLC0415  # most verbs lock nothing

    place = directory.resolve()
    if place in _HELD:
        return
    lock = FileLock(place / LOCK)
    with suppress(OSError):  # not every file system has locks
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise ValueError(
                f"another process is training in {directory}; let it end first"
            ) from None
        _HELD[place] = lock


def lock_holder(directory: Path) -> int:
    """The process that trains in a directory; 0 where none does, and where Linux does not say.

    Only looks: to try the lock would keep a training from taking it.
    """
    lock, table = directory / LOCK, Path("/proc/locks")
    if not exists(lock) or not exists(table):
        return 0
    inode = lock.stat().st_ino
    for line in table.read_text().splitlines():
        words = line.split()
        if words[1] == "FLOCK" and words[5].endswith(f":{inode}") and words[4].isdecimal():
            with suppress(OSError):  # a process of somebody else
                handles = Path("/proc", words[4], "fd").iterdir()
                if any(handle.resolve() == lock.resolve() for handle in handles):
                    return int(words[4])
    return 0
