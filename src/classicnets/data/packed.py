"""A whole data set in one file: squares of bytes, mapped into memory instead of decoded.

It is a safetensors file with `train.pixels`, `train.labels` and so on, which others can read too.
For AlexNet and ZFNet, squares of 256 pixels are the papers' own input (AlexNet, section 2).
"""

import json
import math
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import IO

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .crops import centre_boxes
from .decode import read_images
from .images import SAMPLE, ImageFiles, Images, Splits, fingerprint, spread
from .listing import IN_MEMORY

SUFFIX = ".pack"
TOGETHER = 500  # pictures decoded at a time
PARTS = ("train", "validation", "test")


def write_packed(
    data: Splits, path: Path, side: int, tell: Callable[[int, int], None] = lambda done, total: None
) -> tuple[str, ...]:
    """Writes the centre squares of all pictures to a new file and returns what could not be read.

    `tell` is called with the pictures done and their number. Raises a ValueError when there is
    such a file already; a file that is not complete is never left behind.
    """
    if path.exists():
        raise ValueError(f"{path} is there already; choose another name")
    skipped = list(data.skipped)
    half = path.with_name(f"{path.name}.part")
    try:
        with half.open("wb") as file:
            _write(data, file, side, skipped, tell)
            file.flush()
            os.fsync(file.fileno())
        half.replace(path)
    except BaseException:
        half.unlink(missing_ok=True)
        raise
    return tuple(skipped)


def read_packed(path: Path, channels: int) -> Splits:
    """What `write_packed` has written; more than memory should hold stays in the file.

    Its digest is of all labels and of some pictures of each part. Raises a ValueError when it is
    something else, damaged, or has not these channels or a class in each part.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            classes = tuple(json.loads(metadata["classes"]))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        parts = [(tensors[f"{part}.pixels"], tensors[f"{part}.labels"]) for part in PARTS]
        _require_form(parts)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is no packed data set, or a damaged one: {error}") from error
    held = parts[0][0].shape[1]
    if held not in (1, channels):
        raise ValueError(
            f"{path} holds pictures of {held} channels where the network reads {channels}; "
            f"pack them anew with --channels {channels}"
        )
    looked_at = (x for pixels, y in parts for x in (pixels[spread(len(pixels), SAMPLE)], y))
    digest = fingerprint(x.numpy() for x in looked_at)
    mapped = path.stat().st_size > IN_MEMORY
    train, validation, test = (
        Images(pixels.expand(-1, channels, -1, -1), labels.clone(), mapped)
        for pixels, labels in parts
    )
    origin = metadata.get("origin", "")
    data = Splits(str(path), classes, train, validation, test, digest=digest, origin=origin)
    return data.require(1)


def _require_form(parts: list[tuple[Tensor, Tensor]]) -> None:
    for pixels, labels in parts:
        forms = (pixels.dtype, pixels.ndim), (labels.dtype, labels.ndim)
        if forms != ((torch.uint8, 4), (torch.int64, 1)):
            raise ValueError("its pixels are not bytes in four axes, or its labels no numbers")


def _write(
    data: Splits,
    file: IO[bytes],
    side: int,
    skipped: list[str],
    tell: Callable[[int, int], None],
) -> None:
    """Pixels, then labels, then the header, which can only now say how many there are."""
    room = len(_header(data, side, data.sizes)) + 64  # fewer pictures do not need more digits
    file.seek(room)
    counts, kept, done = [], [], 0
    for images in (data.train, data.validation, data.test):
        labels = []
        for indices in torch.arange(len(images)).split(TOGETHER):
            pixels, sound = _squares(images, indices, side, skipped)
            file.write(pixels.numpy().tobytes())
            labels.append(images.labels[indices][sound])
            done += len(indices)
            tell(done, sum(data.sizes))
        kept.append(torch.cat(labels))
        counts.append(len(kept[-1]))
    for labels in kept:
        file.write(labels.numpy().tobytes())
    header = _header(data, side, (counts[0], counts[1], counts[2]))
    file.seek(0)
    file.write(struct.pack("<Q", room - 8) + header[8:].ljust(room - 8))


def _squares(
    images: Images | ImageFiles, indices: Tensor, side: int, skipped: list[str]
) -> tuple[Tensor, Tensor]:
    """The pictures that can be read, and which of them these are."""
    if isinstance(images, Images):
        windows = centre_boxes(images.sizes[indices], side, side)
        return images.cut(indices, windows, side), torch.ones(len(indices), dtype=torch.bool)
    paths = [images.paths[int(i)] for i in indices.tolist()]
    pixels, reasons = read_images(paths, side, images.channels)
    skipped += [reasons[k] for k in sorted(reasons)]
    sound = torch.tensor([k not in reasons for k in range(len(paths))])
    return pixels[sound], sound


def _header(data: Splits, side: int, counts: tuple[int, int, int]) -> bytes:
    """Its length and the table of contents, as the safetensors format has them."""
    shapes: dict[str, tuple[str, list[int], int]] = {}
    for part, count in zip(PARTS, counts, strict=True):
        shapes[f"{part}.pixels"] = ("U8", [count, data.channels, side, side], 1)
    for part, count in zip(PARTS, counts, strict=True):
        shapes[f"{part}.labels"] = ("I64", [count], 8)
    metadata = {"classes": json.dumps(data.classes), "origin": data.origin or data.name}
    table: dict[str, object] = {"__metadata__": metadata}
    start = 0
    for name, (dtype, shape, size) in shapes.items():
        end = start + math.prod(shape) * size
        table[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
        start = end
    text = json.dumps(table).encode()
    return struct.pack("<Q", len(text)) + text
