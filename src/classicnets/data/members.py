"""Images in tar files as a data set has them, and the order in which shards are read."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int64
from torch import Generator, Tensor

from .tar import WEB, Archive, Member

MIXED = 8  # shards whose images are mixed


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
    counts = torch.bincount(process, minlength=processes).tolist()
    mixed = [_mixed(part, turn[part], generator) for part in line.split(counts)]
    order = torch.empty(n, dtype=torch.long)
    order[process.argsort(stable=True)] = torch.cat(mixed)
    return order


def _mixed(part: Tensor, turn: Tensor, generator: Generator) -> Tensor:
    """The images of a process, those of MIXED shards after another in random order."""
    _, position = np.unique(turn.numpy(), return_inverse=True)
    drawn = torch.randperm(len(part), generator=generator)
    block = torch.from_numpy(position)[drawn] // MIXED
    return part[drawn[block.argsort(stable=True)]]
