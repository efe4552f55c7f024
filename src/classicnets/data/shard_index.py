"""The index of shards: for each image its place, its label and its size, in a safetensors file.

Another program reads it with `safetensors`: the tensor `images` has a row for each image (shard,
offset, length, label, height, width), and the metadata have the classes and the shards as JSON.
"""

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import PIL
import torch
from jaxtyping import Int64
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from classicnets.support.errors import plain_reason
from classicnets.support.files import write_atomic

from .download import cache
from .image_file import max_pixels
from .tar import Archive

INDEX = "index.safetensors"
FORMAT = "1"
SPLITS = ("train", "validation", "test")


Parts = dict[str, Int64[Tensor, "n 6"]]  # split -> rows of an index


@dataclass(frozen=True)
class ShardIndex:
    """What is in shards: their splits, the classes, and a row for each image.

    A row has the number of the shard, offset, length, label, height and width; both sizes are 0
    where an image cannot be read.
    """

    archives: tuple[Archive, ...]
    splits: tuple[str, ...]
    classes: tuple[str, ...]
    rows: Int64[Tensor, "n 6"]
    origin: str = ""

    def parts(self, archives: Collection[int]) -> Parts:
        """The rows of each split that has some in these archives."""
        found = {}
        for split in SPLITS:
            wanted = torch.tensor([i in archives and s == split for i, s in enumerate(self.splits)])
            if len(rows := self.rows[wanted[self.rows[:, 0]]]):
                found[split] = rows
        return found

    def save(self, path: Path) -> None:
        counts = torch.bincount(self.rows[:, 0], minlength=len(self.archives)).tolist()
        shards = [
            {"name": a.name, "split": split, "images": count, "bytes": a.bytes, "sha256": a.sha256}
            for a, split, count in zip(self.archives, self.splits, counts, strict=True)
        ]
        metadata = {
            "format": FORMAT,
            "classes": json.dumps(self.classes),
            "shards": json.dumps(shards),
            "origin": self.origin,
        }
        write_atomic(path, save({"images": self.rows.contiguous()}, metadata))


def read_index(path: Path, folder: str) -> ShardIndex:
    """The index of shards in `folder`, a path or URL. Raises a ValueError for a damaged one."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            rows = file.get_tensor("images")
        if metadata["format"] != FORMAT:
            raise ValueError(f"its format is {metadata['format']}; {FORMAT} is read")
        classes, shards = json.loads(metadata["classes"]), json.loads(metadata["shards"])
        index = _index(folder, classes, shards, rows)
        _check(index)
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        reason = plain_reason(error)
        raise ValueError(f"{path} is not an index of shards, or is damaged: {reason}") from error
    return replace(index, origin=metadata.get("origin", ""))


def _index(folder: str, classes: Any, shards: Any, rows: Tensor) -> ShardIndex:
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise ValueError("its classes must be a list of names")
    if rows.dtype is not torch.int64 or rows.ndim != 2 or rows.shape[1] != 6:
        raise ValueError("images must be int64 in six columns")
    archives = []
    for shard in shards:
        name, split, size, digest = (shard[key] for key in ("name", "split", "bytes", "sha256"))
        if not isinstance(name, str) or name in ("", ".", "..") or set(name) & {"/", "\\", "\0"}:
            raise ValueError(f"a shard cannot have the name {name!r}")
        if split not in SPLITS or not isinstance(size, int) or not isinstance(digest, str):
            raise ValueError(f"what it says of {name} is not legal")
        archives.append(Archive(f"{folder}/{name}", size, digest))
    splits = tuple(shard["split"] for shard in shards)
    return ShardIndex(tuple(archives), splits, tuple(classes), rows)


def _check(index: ShardIndex) -> None:
    """Raises a ValueError for rows that point outside their shard."""
    shard, offset, length, _, height, width = index.rows.unbind(1)
    bytes_ = torch.tensor([archive.bytes for archive in index.archives])
    if not len(shard) or not len(bytes_):
        raise ValueError("it lists no images")
    if shard.min() < 0 or shard.max() >= len(bytes_):
        raise ValueError(f"an image is in shard {int(shard.max())} of {len(bytes_)}")
    if (shard.diff() < 0).any():
        raise ValueError("its images are not in order of their shards")
    if offset.min() < 0 or length.min() < 0 or (length > bytes_[shard] - offset).any():
        raise ValueError("an image lies outside its shard")
    limit = max_pixels()
    if height.min() < 0 or width.min() < 0 or max(height.max(), width.max()) > limit:
        raise ValueError("an image has an impossible size")
    if (height * width).max() > limit:
        raise ValueError(f"an image has more than {limit:,} pixels, the limit (--max-pixels)")


def kept_index(archives: Sequence[Archive], build: Callable[[], ShardIndex]) -> ShardIndex:
    """The index of archives without one, from the cache where they have not changed since."""
    path = cache() / "shards" / f"{_key(archives)}.safetensors"
    with suppress(OSError, ValueError):
        found = read_index(path, "")
        if [a.name for a in found.archives] == [a.name for a in archives]:
            return replace(found, archives=tuple(sized(archives)))
    index = build()
    with suppress(OSError):  # the cache cannot be written
        path.parent.mkdir(parents=True, exist_ok=True)
        index.save(path)
    return index


def _key(archives: Sequence[Archive]) -> str:
    """A name for the index of these archives as they are now."""
    facts = [(a.place, a.path().stat().st_size, a.path().stat().st_mtime_ns) for a in archives]
    about = json.dumps([FORMAT, PIL.__version__, max_pixels(), facts])
    return sha256(about.encode("utf-8", "surrogatepass")).hexdigest()


def sized(archives: Sequence[Archive]) -> Iterator[Archive]:
    """These archives with the number of their bytes; those on the web are fetched for it."""
    for archive in archives:
        yield archive._replace(bytes=archive.path().stat().st_size)
