"""Files of published data sets: fetched once, checked, and kept.

They lie in `~/.cache/classicnets`, or in the folder that `CLASSICNETS_DATA` names.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pooch
from filelock import FileLock

PATIENCE = 30  # seconds without an answer
PIECE = 2**18  # bytes

# whoever shows progress sets this: called with the file's name, the bytes so far, and of how many
progress: ContextVar[Callable[[str, int, int], None]] = ContextVar(
    "progress", default=lambda name, done, total: None
)


@dataclass(frozen=True)
class Remote:
    """A file, where it can be had, and what it must be."""

    name: str
    md5: str
    mirrors: tuple[str, ...]  # addresses of folders, each ending with a stroke


def cache() -> Path:
    """The folder that keeps what has been fetched."""
    named = os.environ.get("CLASSICNETS_DATA")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "classicnets"


def fetch(remote: Remote, folder: str) -> Path:
    """Where the file lies, fetched from the first mirror that has it unless it is there already.

    What was cut off goes on where it stopped, and who comes second waits for the first. The sum of
    a file put there by hand is not looked at. Raises an OSError that says where to put it when no
    mirror gives it.
    """
    path = cache() / folder / remote.name
    if not path.exists():
        with locked(folder):
            if not path.exists():
                _fetch(remote, path)
    return path


@contextmanager
def locked(folder: str) -> Iterator[None]:
    """No other process or thread works in this folder of the cache meanwhile; it must not nest."""
    cache().mkdir(parents=True, exist_ok=True)
    lock = FileLock(cache() / f".{folder}.lock")
    with suppress(OSError):  # not every file system has locks
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _fetch(remote: Remote, path: Path) -> None:
    reasons = []
    pooch.get_logger().setLevel("ERROR")  # it would tell on stderr what the door tells
    for mirror in remote.mirrors:
        url = mirror + remote.name
        try:
            get = partial(pooch.retrieve, url, f"md5:{remote.md5}", remote.name, path.parent)
            get(downloader=_download)  # pyright: ignore[reportArgumentType]  # declared too narrowly
        except (OSError, HTTPException) as error:
            reasons.append(f"{url} ({_reason(error)})")
        except ValueError:
            reasons.append(f"{url} (another file than it was)")
        else:
            return
    raise OSError(
        f"{remote.name} could not be had from {' or '.join(reasons)}; if you have it, "
        f"put it at {path}"
    )


@contextmanager
def opening(path: Path) -> Iterator[None]:
    """Whatever goes wrong while a file is read becomes a ValueError that names the file."""
    try:
        yield
    except Exception as error:  # a damaged file makes its reader raise nearly anything
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk is full, or the file may not be read
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(
            f"{path} is damaged, or another file ({reason}); delete it to have it fetched again"
        ) from error


def _download(url: str, output: str | Path, _: object) -> None:
    """Goes on with the part that an earlier attempt has left, then calls it the output."""
    name = url.rpartition("/")[2]
    part = Path(output).parent / f"{name}.part"
    held = part.stat().st_size if part.exists() else 0
    request = Request(url, headers={"Range": f"bytes={held}-"} if held else {})
    try:
        answer = urlopen(request, timeout=PATIENCE)
    except HTTPError as error:
        if error.code == 416:  # there is no more than what is held already
            part.replace(output)
            return
        raise
    with answer:
        going_on = answer.status == 206
        held = held if going_on else 0
        total = held + int(answer.headers["Content-Length"] or 0)
        with part.open("ab" if going_on else "wb") as file:
            while piece := answer.read(PIECE):
                held += file.write(piece)
                progress.get()(name, held, total)
    if held < total:
        raise OSError(f"it broke off after {held:,} of {total:,} bytes")
    part.replace(output)


def _reason(error: Exception) -> str:
    if isinstance(error, HTTPError):
        return f"{error.code} {error.reason}"
    cause = getattr(error, "reason", error)  # an address that cannot be opened has one inside
    return getattr(cause, "strerror", None) or str(cause) or type(error).__name__
