"""Reads image files, of any mode, as square uint8 tensors."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional as F

from .crops import Sizes, centre_boxes
from .image_file import Edges, bands, convert, image_size, load, open_image, reading, upright_size
from .readers import asking, for_each
from .resample import resample
from .tar import Member

ROUNDING = 1e-2  # pixels by which rounding may push a box over the border
TASK = "reading images"


def read_images(
    paths: Sequence[str | Path | Member | Image.Image],
    side: int,
    channels: int,
    boxes: Sequence[Sequence[float]] | None = None,
    task: str = "",
) -> tuple[UInt8[Tensor, "n c side side"], dict[int, str]]:
    """All these images, files as by `read_image` and opened ones as by `as_square`.

    And index -> reason for those that cannot be read. A `task` is the name under which progress is
    reported.
    """
    pixels = torch.empty(len(paths), channels, side, side, dtype=torch.uint8)
    rows = pixels.numpy()  # torch would start threads of its own for each row

    def look(i: int) -> np.ndarray:
        if isinstance(image := paths[i], Image.Image):
            return as_square(image, side, channels).numpy()
        return read_image(image, side, channels, boxes[i] if boxes else None).numpy()

    reasons = for_each(look, rows.__setitem__, len(paths), torch.get_num_threads(), task)
    return pixels, reasons


def read_sizes(
    paths: Sequence[str | Path | Member],
    channels: int = 0,
    task: str = "",
    sizes: Sizes | None = None,
    cores: int | None = None,
) -> tuple[Sizes, dict[int, str]]:
    """`image_size` of each image, and index -> reason for unreadable ones.

    `sizes`, of zeros, is filled as far as the files have been read; unreadable ones stay zeros. As
    many `cores` are used as torch has threads, by default.
    """
    sizes = torch.zeros(len(paths), 2, dtype=torch.long) if sizes is None else sizes
    keep, cores = sizes.numpy().__setitem__, cores or torch.get_num_threads()

    def look(i: int) -> tuple[int, int]:
        return image_size(paths[i], channels)

    with asking(paths, channels, cores) as ask:
        return sizes, for_each(look, keep, len(paths), cores, task, ask)


def read_image(
    path: str | Path | Member, side: int, channels: int, box: Sequence[float] | None = None
) -> UInt8[Tensor, "c side side"]:
    """A crop of the image resized to `side`; without a box, the largest centred square.

    Reads every mode of Pillow: integers beyond bytes count as 16 bits, floating-point values as
    [0, 1]. Rotates by the EXIF tag and composes transparency on white. A JPEG much larger than
    needed is decoded at 1/2, 1/4 or 1/8, still at twice the size needed. Raises a ValueError that
    names the file when it is not an image or is damaged.
    """
    with open_image(path) as image:
        full = upright_size(image)
        if box is None:
            box = _centre_box(full, side)
        reduction = min(box[2:]) / side
        enough = (int(2 * image.width / reduction), int(2 * image.height / reduction))
        with load(image, enough):
            scale = image.height / full[0], image.width / full[1]
            box = [v * scale[k % 2] for k, v in enumerate(box)]
            converted = convert(image, channels)
            if converted is not image:
                image.close()  # the crop needs memory too
            return _crop(converted, box, side)


def as_square(image: Image.Image, side: int, channels: int) -> UInt8[Tensor, "c side side"]:
    """The largest centred square of an opened image, resized to `side`."""
    box = _centre_box(upright_size(image), side)
    with reading:
        return _crop(convert(ImageOps.exif_transpose(image), channels), box, side)


def grey(pixels: UInt8[Tensor, "n 3 h w"]) -> UInt8[Tensor, "n 1 h w"]:
    """Luminance with the weights of ITU-R 601, as in Pillow."""
    weights = torch.tensor([0.299, 0.587, 0.114])
    chunks = [
        (chunk.float() * weights[:, None, None]).sum(1, keepdim=True).round().to(torch.uint8)
        for chunk in pixels.split(1000)
    ]
    return torch.cat(chunks)


def _centre_box(size: tuple[int, int], side: int) -> list[float]:
    return centre_boxes(torch.tensor([size]), side, side)[0].tolist()


def _crop(image: Image.Image, box: Sequence[float], side: int) -> Tensor:
    top, left, height, width = box
    edges = (left, top, left + width, top + height)
    whole = (int(left), int(top), int(edges[2]), int(edges[3]))
    if height == width == side and left == int(left) and top == int(top):
        return _tensor(image, whole)
    inside = max(0, left), max(0, top), min(image.width, edges[2]), min(image.height, edges[3])
    if edges == inside == whole:  # torch resizes four times as fast
        x = _tensor(image, whole)[None]
        return F.interpolate(x, size=(side, side), mode="bicubic", antialias=True)[0]
    if max(abs(a - b) for a, b in zip(edges, inside, strict=True)) < ROUNDING:
        small = image.resize((side, side), Image.Resampling.BICUBIC, inside)
        return _tensor(small, (0, 0, side, side))
    x = _tensor(image, (0, 0, *image.size))
    return resample(x[None], torch.tensor([box]), side)[0]


def _tensor(image: Image.Image, edges: Edges) -> UInt8[Tensor, "c h w"]:
    left, top, right, bottom = edges
    pixels = np.empty((bottom - top, right - left, len(image.getbands())), np.uint8)
    for band in bands(edges):
        part = np.asarray(image.crop(band))
        pixels[band[1] - top : band[3] - top] = part.reshape(*part.shape[:2], -1)
    return torch.from_numpy(pixels).permute(2, 0, 1)
