"""Packed files: a whole data set as squares of bytes, memory-mapped instead of decoded.

A packed file is a safetensors file with `train.pixels`, `train.labels` and so on, which other
programs can read too. For AlexNet and ZFNet, squares of 256 pixels are the papers' own input
(AlexNet, section 2).
"""

import json
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import IO

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from classicnets.support.errors import option
from classicnets.support.files import open_atomic
from classicnets.support.names import as_text

from .crops import centre_boxes
from .decode import read_images
from .images import SAMPLE, ImageFiles, Images, Splits, evenly_spaced, fingerprint
from .listing import MEMORY_LIMIT

SUFFIX = ".pack"
CHUNK = 500  # images decoded at a time, or fewer
CHUNK_SIZE = 2**25  # pixels
SPLITS = ("train", "validation", "test")

Progress = Callable[[int, int], None]  # called with the images done, and their total


def write_packed(
    data: Splits, path: Path, side: int, progress: Progress = lambda done, total: None
) -> tuple[str, ...]:
    """Writes the centre squares of all images to a new file; returns why some were skipped.

    Raises a ValueError when the file exists. An incomplete file is never left behind.
    """
    if path.exists():
        raise ValueError(f"{path} already exists; choose another name")
    skipped = list(data.skipped)
    with open_atomic(path) as file:
        _write(data, file, side, skipped, progress)
    return tuple(skipped)


def read_packed(path: Path, channels: int) -> Splits:
    """The data set in a file of `write_packed`; beyond the memory limit it stays in the file.

    Its digest covers all labels and a sample of the images of each split. Raises a ValueError when
    the file is something else or damaged, or has other channels.
    """
    with path.open("rb"):  # or the true reason; to safetensors any file that is closed is missing
        pass
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            classes = _classes(metadata["classes"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        splits = [(tensors[f"{split}.pixels"], tensors[f"{split}.labels"]) for split in SPLITS]
        _require_types(splits)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a packed data set, or is damaged: {error}") from error
    found = splits[0][0].shape[1]
    if found not in (1, channels):
        raise ValueError(
            f"{path} has images of {found} channels, but the network needs {channels}; "
            f"pack them again with {option('channels', channels)}"
        )
    sample = (x for pixels, y in splits for x in (pixels[evenly_spaced(len(pixels), SAMPLE)], y))
    digest = fingerprint(x.numpy() for x in sample)
    memory_mapped = path.stat().st_size > MEMORY_LIMIT
    train, validation, test = (
        Images(pixels.expand(-1, channels, -1, -1), labels.clone(), memory_mapped)
        for pixels, labels in splits
    )
    origin = metadata.get("origin", "")
    name = as_text(path)
    return Splits(name, classes, train, validation, test, digest=digest, origin=origin)


def _classes(text: str) -> tuple[str, ...]:
    try:
        names = json.loads(text)
    except RecursionError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("its classes must be a list of names")
    if len(set(names)) < len(names):
        raise ValueError("two of its classes have the same name")
    return tuple(names)


def _require_types(splits: list[tuple[Tensor, Tensor]]) -> None:
    """Raises a ValueError unless these are images of one size, with their labels."""
    for pixels, labels in splits:
        found = (pixels.dtype, pixels.ndim), (labels.dtype, labels.ndim)
        if found != ((torch.uint8, 4), (torch.int64, 1)):
            raise ValueError("pixels must be uint8 in four dimensions, labels int64 in one")
    sizes = {tuple(pixels.shape[1:]) for pixels, _ in splits}
    if len(sizes) > 1 or 0 in min(sizes):
        raise ValueError(f"its images have the sizes {sorted(sizes)}, not one that is not empty")


def _write(
    data: Splits, file: IO[bytes], side: int, skipped: list[str], progress: Progress
) -> None:
    """Writes pixels, then labels, then the header, once the number of readable images is known."""
    room = len(_header(data, side, data.sizes)) + 64  # fewer images do not need more digits
    file.seek(room)
    counts, all_labels, done = [], [], 0
    for images in (data.train, data.validation, data.test):
        labels = []
        for indices in torch.arange(len(images)).split(max(1, min(CHUNK, CHUNK_SIZE // side**2))):
            pixels, readable = _squares(images, indices, side, skipped)
            file.write(pixels.numpy().tobytes())
            labels.append(images.labels[indices][readable])
            done += len(indices)
            progress(done, sum(data.sizes))
        all_labels.append(torch.cat(labels))
        counts.append(len(all_labels[-1]))
    for labels in all_labels:
        file.write(labels.numpy().tobytes())
    header = _header(data, side, (counts[0], counts[1], counts[2]))
    file.seek(0)
    file.write(struct.pack("<Q", room - 8) + header[8:].ljust(room - 8))


def _squares(
    images: Images | ImageFiles, indices: Tensor, side: int, skipped: list[str]
) -> tuple[Tensor, Tensor]:
    """The centre squares of the readable images, and which ones are readable."""
    if isinstance(images, Images):
        boxes = centre_boxes(images.sizes[indices], side, side)
        return images.crop(indices, boxes, side), torch.ones(len(indices), dtype=torch.bool)
    paths = [images.paths[int(i)] for i in indices.tolist()]
    pixels, reasons = read_images(paths, side, images.channels)
    skipped += reasons.values()
    readable = torch.tensor([k not in reasons for k in range(len(paths))])
    return pixels[readable], readable


def _header(data: Splits, side: int, counts: tuple[int, int, int]) -> bytes:
    """The header of a safetensors file: its length, and the table of contents as JSON."""
    shapes: dict[str, tuple[str, list[int], int]] = {}
    for split, count in zip(SPLITS, counts, strict=True):
        shapes[f"{split}.pixels"] = ("U8", [count, data.channels, side, side], 1)
    for split, count in zip(SPLITS, counts, strict=True):
        shapes[f"{split}.labels"] = ("I64", [count], 8)
    metadata = {"classes": json.dumps(data.classes), "origin": data.origin or data.name}
    table: dict[str, object] = {"__metadata__": metadata}
    start = 0
    for name, (dtype, shape, size) in shapes.items():
        end = start + math.prod(shape) * size
        table[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
        start = end
    text = json.dumps(table).encode()
    return struct.pack("<Q", len(text)) + text
