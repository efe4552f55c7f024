"""Writes a data set as shards, with their index."""

from collections.abc import Callable, Iterator
from importlib import import_module
from io import BytesIO
from pathlib import Path
from shutil import rmtree

import torch
from PIL import Image
from torch import Generator, Tensor

from classicnets.support.errors import plain_reason
from classicnets.support.files import content_digest, read_named

from .image_file import suffix_of
from .images import ImageFiles, Images, Splits
from .shard_index import INDEX, SPLITS, ShardIndex
from .tar import Archive, Member, entries

Progress = Callable[[int, int], None]  # called with the images done, and their total


def write_shards(data: Splits, folder: Path, count: int, progress: Progress) -> ShardIndex:
    """Writes all images, in random order, to a new folder, with `count` shards for training.

    The other splits have as many images in a shard. Image files are copied byte for byte, images in
    memory become PNG. Raises a ValueError when the folder exists, and an OSError when it cannot be
    written; an incomplete folder is never left behind.
    """
    try:
        writer = import_module("webdataset").TarWriter
    except ImportError as error:
        raise ValueError(
            f"shards need the package webdataset (pip install 'classicnets[shards]'): {error}"
        ) from None
    partial = folder.with_name(f"{folder.name}.part")
    try:
        partial.mkdir()
    except OSError as error:
        raise OSError(f"cannot write {folder}: {partial}: {plain_reason(error)}") from error
    try:
        index = _write(data, partial, count, writer, progress)
        index.save(partial / INDEX)
        partial.rename(folder)
    except BaseException as error:
        rmtree(partial, ignore_errors=True)
        if isinstance(error, OSError):
            raise OSError(f"cannot write {folder}: {plain_reason(error)}") from error
        raise
    return index


def _write(
    data: Splits, folder: Path, count: int, writer: Callable, progress: Progress
) -> ShardIndex:
    done, archives, splits, rows = 0, [], [], []
    count = min(count, len(data.train))
    size = -(-len(data.train) // count)
    for split in SPLITS:
        images = getattr(data, split)
        drawn = torch.randperm(len(images), generator=Generator().manual_seed(0))
        shares = drawn.tensor_split(count) if split == SPLITS[0] else drawn.split(size)
        for number, indices in enumerate(shares):
            path = folder / f"{split}-{number:06}.tar"
            first = done
            with path.open("wb") as file, writer(file, encoder=False, mtime=0) as tar:
                for sample in _samples(images, indices, first):
                    tar.write(sample)
                    done += 1
                    progress(done, sum(data.sizes))
            places = torch.tensor(list(_places(path)))
            about = images.labels[indices][:, None], images.sizes[indices]
            shard = torch.full((len(indices), 1), len(archives))
            rows.append(torch.cat([shard, places, *about], 1))
            archives.append(_archive(path))
            splits.append(split)
    origin = data.origin or data.name
    return ShardIndex(tuple(archives), tuple(splits), data.classes, torch.cat(rows), origin)


def _samples(
    images: Images | ImageFiles, indices: Tensor, first: int
) -> Iterator[dict[str, object]]:
    for number, i in enumerate(indices.tolist(), first):
        ending, content = _content(images, i)
        label = str(int(images.labels[i])).encode()
        yield {"__key__": f"{number:08}", ending: content, "cls": label}


def _content(images: Images | ImageFiles, i: int) -> tuple[str, bytes]:
    """The ending and the bytes of an image file."""
    if isinstance(images, ImageFiles):
        path = images.paths[i]
        content = path.open().read() if isinstance(path, Member) else read_named(Path(path))
        return (suffix_of(content) or Path(str(path)).suffix.lower() or ".image")[1:], content
    file = BytesIO()
    pixels = images.pixels[i].permute(1, 2, 0).numpy()
    Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(file, "PNG")
    return "png", file.getvalue()


def _places(path: Path) -> Iterator[tuple[int, int]]:
    """Offset and length of each image in a shard."""
    with path.open("rb") as file:
        for entry in entries(file):
            if not entry.name.endswith(".cls"):
                yield entry.offset, entry.length


def _archive(path: Path) -> Archive:
    return Archive(path.name, path.stat().st_size, content_digest(path))
