"""What an earlier start found out about the files of a large folder, so that the next need not.

A SQLite file in the cache has the height and width of readable images and the SHA-256 of their
bytes. A row counts while the size and the modification time of its file stay the same. It saves
time and nothing else: where it is damaged, locked or cannot be written, the files themselves are
read.
"""

import os
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from hashlib import sha256
from itertools import islice
from pathlib import Path
from time import time_ns
from typing import Any

import numpy as np
import PIL
import torch
from jaxtyping import Int64

from classicnets.support.files import content_digest
from classicnets.support.machine import cpu_count

from .crops import Sizes
from .decode import read_sizes
from .download import cache, locked
from .image_file import max_pixels
from .readers import asking, for_each

NAME = "files.sqlite"
LEAST = 1_000  # files; fewer are read as fast
LARGE = 2**30  # bytes that fewer files may have
SETTLED = 2 * 10**9  # ns since a file changed, since the clocks of some file systems are coarse
CHUNK = 10_000  # rows that are written together
WAIT = 5.0  # seconds for another process that writes
FORMAT = f"1, Pillow {PIL.__version__}"  # of the rows; those of another are dropped
TABLES = """
create table if not exists format (value text);
create table if not exists files (
    folder text, name text, bytes int, changed int, height int, width int, decoded int, digest blob,
    primary key (folder, name)
) without rowid;
"""

Index = sqlite3.Connection | None
FileFacts = Int64[np.ndarray, "n 2"]  # bytes, and ns of the last change; -1 of a missing file


def file_facts(paths: Sequence[str]) -> FileFacts:
    """The size of each file and when it changed, -1 where it is missing."""
    return np.array(list(map(_fact, paths)), np.int64).reshape(-1, 2)


def _fact(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # a table may list files that are missing or impossible
        return -1, -1
    return found.st_size, found.st_mtime_ns


def indexed_sizes(
    paths: Sequence[str], facts: FileFacts, channels: int = 0, task: str = ""
) -> tuple[Sizes, dict[int, str]]:
    """As `read_sizes`, without opening files that have not changed since an earlier start."""
    sizes, most = torch.zeros(len(paths), 2, dtype=torch.long), max_pixels()
    rows = sizes.numpy()

    def recall(index: Index) -> list[int]:
        for i, (height, width, decoded) in _find(index, paths, facts, "height, width, decoded"):
            sound = type(height) is type(width) is int and 0 < height * width <= most
            if sound and (decoded or not channels):
                rows[i] = height, width
        return np.flatnonzero(rows[:, 0] == 0).tolist()

    with _recalled(paths, facts, recall) as (index, new, cores):
        read = torch.zeros(len(new), 2, dtype=torch.long)
        try:
            _, reasons = read_sizes([paths[i] for i in new], channels, task, read, cores)
        finally:  # Ctrl-C leaves what has been read until then
            decoded = int(channels > 0)
            known = ((new[k], (*read[k].tolist(), decoded)) for k in read[:, 0].nonzero().flatten())
            _store(index, paths, facts, known, ("height", "width", "decoded"))
    sizes[new] = read
    return sizes, {new[i]: reason for i, reason in reasons.items()}


def indexed_digests(
    paths: Sequence[str], known_facts: FileFacts | None = None, task: str = ""
) -> list[str]:
    """The SHA-256 of the bytes of each file, without reading those that have not changed since an
    earlier start.
    """
    facts, digests = file_facts(paths) if known_facts is None else known_facts, dict[int, str]()

    def recall(index: Index) -> list[int]:
        found = _find(index, paths, facts, "digest")
        digests.update((i, digest.hex()) for i, (digest,) in found if isinstance(digest, bytes))
        return [i for i in range(len(paths)) if i not in digests]

    def look(k: int) -> str:
        return content_digest(paths[new[k]])

    with _recalled(paths, facts, recall) as (index, new, cores):
        read: dict[int, str] = {}
        try:
            with asking([paths[i] for i in new], None, cores) as ask:
                for_each(look, read.__setitem__, len(new), cores, task, ask)
        finally:
            known = ((new[k], (bytes.fromhex(digest),)) for k, digest in read.items())
            _store(index, paths, facts, known, ("digest",))
    digests.update((new[k], digest) for k, digest in read.items())
    return [digests[i] for i in range(len(paths))]


@contextmanager
def _recalled(
    paths: Sequence[str], facts: FileFacts, recall: Callable[[Index], list[int]]
) -> Iterator[tuple[Index, list[int], int]]:
    """The index, if it is worth one, what it does not know as `recall` says, and the cores for it.

    Of the processes of a machine that want to know the same, as under torchrun, one reads the
    files, with all cores, while the others wait, and recall what it has found.
    """
    worth = len(paths) >= LEAST or facts[:, 0].sum() >= LARGE
    index, cores = _open(cache() / NAME) if worth else None, torch.get_num_threads()
    with closing(index) if index else nullcontext(), ExitStack() as stack:
        new = recall(index)
        if index and new:
            name = sha256(paths[0].encode("utf-8", "surrogatepass")).hexdigest()[:16]
            stack.enter_context(locked(f"files-{name}"))
            new = recall(index)
            cores = cpu_count() if "LOCAL_WORLD_SIZE" in os.environ else cores
        yield index, new, cores


def _open(file: Path) -> Index:
    for _ in range(2):
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            index = sqlite3.connect(file, timeout=WAIT)
        except (OSError, sqlite3.Error):
            return None
        try:
            with index:
                index.executescript(TABLES)
                if index.execute("select value from format").fetchall() != [(FORMAT,)]:
                    index.execute("delete from files")
                    index.execute("delete from format")
                    index.execute("insert into format values (?)", (FORMAT,))
            return index
        except sqlite3.OperationalError:  # locked, or not to be written
            index.close()
            return None
        except sqlite3.DatabaseError:
            index.close()
            _drop(file)
    return None


def _drop(file: str | Path) -> None:
    """Removes a damaged index; the next start makes a new one."""
    with suppress(OSError):
        Path(file).unlink()


def _find(
    index: Index, paths: Sequence[str], facts: FileFacts, columns: str
) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """The index in `paths` and these columns of each file that has not changed."""
    if index is None:
        return
    folders: dict[str, list[int]] = defaultdict(list)
    for i, path in enumerate(paths):
        folders[path.rpartition(os.sep)[0]].append(i)
    query = f"select name, bytes, changed, {columns} from files where folder = ?"
    for folder, inside in folders.items():
        try:
            rows = {row[0]: row for row in index.execute(query, (folder,))}
        except UnicodeEncodeError:  # its name is not UTF-8
            continue
        except sqlite3.OperationalError:  # another process writes
            return
        except sqlite3.DatabaseError:
            _drop(index.execute("pragma database_list").fetchone()[2])
            return
        if not rows:
            continue
        start = len(folder) + 1
        for i, (size, changed) in zip(inside, facts[inside].tolist(), strict=True):
            row = rows.get(paths[i][start:])
            if row and row[1] == size and row[2] == changed:
                yield i, row[3:]


def _store(
    index: Index,
    paths: Sequence[str],
    facts: FileFacts,
    known: Iterable[tuple[int, tuple[Any, ...]]],
    columns: Sequence[str],
) -> None:
    """Keeps these columns of files, but not of those that have only just changed."""
    if index is None:
        return
    names, marks = ", ".join(columns), ", ".join("?" * (4 + len(columns)))
    new = ", ".join(f"{name} = excluded.{name}" for name in columns)
    changed = "delete from files where folder = ? and name = ? and (bytes, changed) != (?, ?)"
    insert = f"insert into files (folder, name, bytes, changed, {names}) values ({marks}) "
    rows = _rows(paths, facts, known)
    with suppress(sqlite3.Error), index:  # another process writes, or the disk is full
        while some := list(islice(rows, CHUNK)):
            index.executemany(changed, (row[:4] for row in some))
            index.executemany(f"{insert} on conflict do update set {new}", some)


def _rows(
    paths: Sequence[str], facts: FileFacts, known: Iterable[tuple[int, tuple[Any, ...]]]
) -> Iterator[tuple[Any, ...]]:
    settled = time_ns() - SETTLED
    for i, values in known:
        size, changed = facts[i].tolist()
        if 0 <= changed < settled and _is_utf8(paths[i]):
            folder, _, name = paths[i].rpartition(os.sep)
            yield folder, name, size, changed, *values


def _is_utf8(path: str) -> bool:
    """Whether SQLite can hold this path; the files of others are read each time."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
