"""Downloads of published data sets: fetched once, verified, and cached.

The cache is `~/.cache/classicnets`, or the folder in the environment variable `CLASSICNETS_DATA`.
"""

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from hashlib import file_digest, md5
from http.client import HTTPException
from io import BytesIO
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from filelock import FileLock

from classicnets.support.errors import plain_reason
from classicnets.support.files import content_digest
from classicnets.support.progress import progress

TIMEOUT = 30  # seconds
CHUNK = 2**18  # bytes
UNPACKED = 2**30  # bytes; Imagenette, the largest, has a third
RECOMPRESSED = 2**26  # bytes; the images of MNIST, which others compress anew, have 47 million


@dataclass(frozen=True)
class Remote:
    """A file, its MD5 sum, and the folders on the web that have it.

    With `unpacked`, the MD5 sum of what is in it, it is the same file however it was compressed. A
    file without a published MD5 sum has `sha256`, the digits of its SHA-256 sum that are published,
    or `sha1`.
    """

    name: str
    md5: str
    mirrors: tuple[str, ...]  # each URL ends with a slash
    unpacked: str = ""
    sha256: str = ""
    sha1: str = ""

    @property
    def sum(self) -> tuple[str, str]:
        """The kind of the sum that is published, and the sum."""
        if self.md5:
            return "MD5", self.md5
        return ("SHA-256", self.sha256) if self.sha256 else ("SHA-1", self.sha1)


def cache() -> Path:
    """The folder for downloaded files."""
    named = os.environ.get("CLASSICNETS_DATA")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "classicnets"


def fetch(remote: Remote, folder: str) -> Path:
    """The path of the file in the cache, downloaded from the first mirror that has it if missing.

    An interrupted download resumes, and a second process waits for the first. Raises a ValueError
    when the file is there and is another than the published one, and an OSError that says where to
    put it when no mirror has it.
    """
    path = cache() / folder / remote.name
    if not path.exists():
        with locked(folder):
            if not path.exists():
                path.parent.mkdir(exist_ok=True)
                _fetch(remote, path)
                return path
    _require_published(remote, path)
    return path


@contextmanager
def locked(folder: str) -> Iterator[None]:
    """Locks this folder of the cache against other processes and threads; must not be nested."""
    cache().mkdir(parents=True, exist_ok=True)
    lock = FileLock(cache() / f".{folder}.lock")
    with suppress(OSError):  # not every file system has locks
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def damage_reported(path: Path) -> Iterator[None]:
    """Turns any exception while the file is read into a ValueError that names the file."""
    try:
        yield
    except Exception as error:  # a damaged file makes its reader raise nearly anything
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk is full, or permission is denied
        raise ValueError(
            f"{path} is damaged, or another file ({plain_reason(error)}); delete it to download "
            "it again"
        ) from error


def gunzip(path: Path) -> BytesIO:
    """The content of a .gz file. Raises a ValueError when it is larger than any published set."""
    with gzip.open(path) as file:
        content = file.read(UNPACKED + 1)
    if len(content) > UNPACKED:
        raise ValueError(f"it unpacks to more than {UNPACKED / 2**30:.0f} GiB")
    return BytesIO(content)


def retrieve(url: str, path: Path, sha256: str = "") -> None:
    """Downloads a file of the user's own; one whose SHA-256 is known resumes where it stopped.

    Raises an OSError that names the URL, a FileNotFoundError where the server has no such file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    if not sha256:
        fresh.with_name(f"{path.name}.part").unlink(missing_ok=True)
    try:
        _download(url, fresh, None)
    except (OSError, HTTPException) as error:
        missing = isinstance(error, HTTPError) and error.code in (404, 410)
        kind = FileNotFoundError if missing else OSError
        raise kind(f"{url} could not be downloaded ({_reason(error)})") from error
    found = content_digest(fresh)
    if sha256 and found != sha256:
        fresh.unlink()
        raise OSError(f"{url} is another file than its index says: its SHA-256 sum is {found}")
    fresh.replace(path)


def _require_published(remote: Remote, path: Path) -> None:
    """Raises a ValueError for another file, before a parser sees it.

    The sum is computed each time, which takes less than a tenth of the time of reading the file.
    """
    if not path.is_file():
        raise ValueError(f"{path} is not a file; remove it to download {remote.name}")
    kind, published = remote.sum
    with path.open("rb") as file:
        found = file_digest(file, kind.lower().replace("-", "")).hexdigest()
    if found.startswith(published):
        return
    if remote.unpacked and _unpacked_md5(path) == remote.unpacked:
        return
    raise ValueError(
        f"{path} is not the published file: its {kind} sum is {found}, not {published}; delete it "
        "to download it, or put the published file in its place"
    )


def _unpacked_md5(path: Path) -> str:
    """The MD5 sum of what is in a .gz file; empty where it cannot be unpacked, or is larger than
    what was published in any other compression."""
    found, left = md5(), RECOMPRESSED
    with suppress(EOFError, ValueError, zlib.error, gzip.BadGzipFile), gzip.open(path) as file:
        while left > 0 and (part := file.read(min(left, 2**20))):
            found.update(part)
            left -= len(part)
        return found.hexdigest() if left else ""
    return ""


def _fetch(remote: Remote, path: Path) -> None:
    import pooch

    reasons = []
    pooch.get_logger().setLevel("ERROR")  # progress is reported by the callback instead
    for mirror in remote.mirrors:
        url = mirror + remote.name
        known = f"md5:{remote.md5}" if remote.md5 else None
        try:
            get = partial(pooch.retrieve, url, known, remote.name, path.parent)
            get(downloader=partial(_download_published, remote))  # pyright: ignore[reportArgumentType]  # declared too narrowly
        except PermissionError as error:  # to write here
            raise OSError(f"no permission to write {path.parent}") from error
        except (OSError, HTTPException) as error:
            reasons.append(f"{url} ({_reason(error)})")
        except ValueError:
            reasons.append(f"{url} (its {remote.sum[0]} sum differs)")
        else:
            return
    raise OSError(
        f"{remote.name} could not be downloaded from {' or '.join(reasons)}; if you have it, "
        f"put it at {path}"
    )


def _download_published(remote: Remote, url: str, output: str | Path, pooch: object) -> None:
    """Downloads, and raises a ValueError for another file, before it takes its place."""
    _download(url, output, pooch)
    if not remote.md5:  # which pooch compares
        _require_published(remote, Path(output))


def _download(url: str, output: str | Path, _: object) -> None:
    """Downloads to a partial file, resuming one from an earlier attempt, and renames it."""
    name = url.rpartition("/")[2]
    part = Path(output).parent / f"{name}.part"
    done = part.stat().st_size if part.exists() else 0
    request = Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        response = urlopen(request, timeout=TIMEOUT)
    except HTTPError as error:
        if error.code == 416:  # the partial file is complete
            part.replace(output)
            return
        raise
    with response:
        resumes = response.status == 206
        done = done if resumes else 0
        total = done + int(response.headers["Content-Length"] or 0)
        with part.open("ab" if resumes else "wb") as file:
            while chunk := response.read(CHUNK):
                done += file.write(chunk)
                progress.get()(name, done, total)
    if done < total:
        raise OSError(f"it stopped after {done:,} of {total:,} bytes")
    part.replace(output)


def _reason(error: Exception) -> str:
    if isinstance(error, HTTPError):
        return f"{error.code} {error.reason}"
    cause = getattr(error, "reason", error)  # a URLError wraps its cause
    return plain_reason(cause) if isinstance(cause, Exception) else str(cause)
