"""Images as they are given in Python: paths, Pillow images, arrays and tensors."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from torch import Tensor

from classicnets.support.errors import plain_reason

from .files import LeftOut, find_images, summarise
from .image_file import reading

Given = str | Path | Image.Image | np.ndarray | Tensor


class Item(NamedTuple):
    """An image to read: its path, or `image 3` for the fourth given; `found` in a folder."""

    name: str
    source: Path | Image.Image
    found: bool = False


class Items(list[Item]):
    """Images to read, and a line for each reason why something in their folders is left out."""

    left_out: tuple[str, ...] = ()


def list_items(images: Given | Sequence[Given]) -> Items:
    """The images given, one or several, and those anywhere in the folders among them.

    An array is (h, w) or (h, w, 3), a tensor (c, h, w) or (h, w); several of one size are
    (n, h, w, 3) or (n, c, h, w). Values are bytes, or floating-point from 0 to 1; three channels
    are red, green and blue. Raises a ValueError for others, for a Pillow image that cannot be
    decoded, and for a folder without images.
    """
    one = isinstance(images, Given) and getattr(images, "ndim", 0) != 4
    given: Any = [images] if one else images
    others: LeftOut = []
    items = Items(
        item for i, image in enumerate(given) for item in _items(image, f"image {i}", others)
    )
    items.left_out = summarise(others, "")
    return items


def _items(image: Given, name: str, others: LeftOut) -> Iterator[Item]:
    if isinstance(image, str | Path):
        path = Path(image)
        yield from _in_folder(path, others) if path.is_dir() else [Item(str(path), path)]
    elif isinstance(image, Image.Image):
        name = str(getattr(image, "filename", "")) or name
        try:
            with reading:
                image.load()
        except Exception as error:  # a damaged file makes Pillow raise nearly anything
            raise ValueError(f"{name} cannot be read as an image: {plain_reason(error)}") from error
        yield Item(name, image)
    elif isinstance(image, np.ndarray | Tensor):
        yield Item(name, _as_image(image, name))
    else:
        raise ValueError(
            f"{name} is of the type {type(image).__name__}; it takes a path, a Pillow image, "
            "a NumPy array or a torch tensor"
        )


def _in_folder(folder: Path, others: LeftOut) -> Iterator[Item]:
    images, left_out = find_images(folder)
    others += left_out
    if not images:
        lines = "".join(f"; left out: {line}" for line in summarise(left_out, folder))
        raise ValueError(f"the folder {folder} holds no images{lines}")
    return (Item(path, Path(path), found=True) for path in map(str, images))


def _as_image(given: np.ndarray | Tensor, name: str) -> Image.Image:
    """An array or a tensor as a Pillow image of bytes."""
    channels_first = isinstance(given, Tensor)
    x = given.detach().cpu().numpy() if isinstance(given, Tensor) else given
    if channels_first and x.ndim == 3:
        x = x.transpose(1, 2, 0)
    if x.ndim == 3 and x.shape[2] == 1:
        x = x[:, :, 0]
    if not x.size or (x.ndim != 2 and x.shape[2:] != (3,)):
        raise ValueError(
            f"{name} has the shape {tuple(given.shape)}; an array is (h, w) or (h, w, 3), a tensor "
            "(1, h, w) or (3, h, w); several are a list, or (n, h, w, 3) and (n, 3, h, w)"
        )
    if np.issubdtype(x.dtype, np.floating):
        low, high = x.min(), x.max()
        if not (low >= 0 and high <= 1):
            raise ValueError(
                f"{name} has values from {low:g} to {high:g}; floating-point values lie between "
                "0 and 1, and those from 0 to 255 are bytes (uint8)"
            )
        x = (x.astype(np.float64) * 255).round().astype(np.uint8)
    if x.dtype != np.uint8:
        raise ValueError(
            f"{name} has the type {x.dtype}; it takes bytes (uint8) from 0 to 255, or "
            "floating-point values from 0 to 1"
        )
    return Image.fromarray(np.ascontiguousarray(x))
