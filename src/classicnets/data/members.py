"""Images that are read where they lie in tar files, and the order in which shards are read."""

import os
import tarfile
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int64
from torch import Generator, Tensor

from classicnets.support.files import open_regular
from classicnets.support.names import as_path

from .tar import BLOCK

MOST_BYTES = 2**28  # of an image in a tar file
MIXED = 8  # shards whose images are mixed
WEB = ("http://", "https://")


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


class Members(Sequence[Member]):
    """Images in these archives; `rows` has the number of the archive, offset and length of each."""

    def __init__(self, archives: Sequence[Archive], rows: Int64[Tensor, "n 3"]) -> None:
        self.archives, self.rows = tuple(archives), rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> Member:  # pyright: ignore[reportIncompatibleMethodOverride]
        archive, offset, length = self.rows[i].tolist()
        return Member(self.archives[archive], offset, length)

    @property
    def on_web(self) -> bool:
        return any(archive.place.startswith(WEB) for archive in self.archives)

    def take(self, indices: Int64[Tensor, " m"]) -> "Members":
        return Members(self.archives, self.rows[indices])


def _read(path: Path, offset: int, length: int) -> bytes:
    with open_regular(path) as file:
        file.seek(max(0, offset))
        content = file.read(length)
    if len(content) < length:
        raise ValueError(f"{path} ends before byte {offset + length}")
    return content


def shard_order(
    archive: Int64[Tensor, " n"], batches: Sequence[int], processes: int, generator: Generator
) -> Int64[Tensor, " n"]:
    """An epoch's order in which every process reads shards of its own.

    `archive` is the one of each image. Process r of p has the images r, r + p, ... of each batch,
    as `distributed.shard` gives them out. Shards are drawn at random, and those of one process
    follow on those of another, so that two read the same shard only where their parts meet. The
    images of MIXED shards are mixed.
    """
    n = len(archive)
    drawn = torch.randperm(n, generator=generator)
    turn = torch.randperm(int(archive.max()) + 1, generator=generator)[archive]
    line = drawn[turn[drawn].argsort(stable=True)]
    sizes = torch.tensor(batches)
    place = torch.arange(n) - (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
    process = place % processes
    order = torch.empty(n, dtype=torch.long)
    start = 0
    for rank in range(processes):
        mine = (process == rank).nonzero()[:, 0]
        part = line[start : start + len(mine)]
        start += len(mine)
        order[mine] = _mixed(part, turn[part], generator)
    return order


def _mixed(part: Tensor, turn: Tensor, generator: Generator) -> Tensor:
    """The images of a process, those of MIXED shards after another in random order."""
    _, position = np.unique(turn.numpy(), return_inverse=True)
    drawn = torch.randperm(len(part), generator=generator)
    block = torch.from_numpy(position)[drawn] // MIXED
    return part[drawn[block.argsort(stable=True)]]
