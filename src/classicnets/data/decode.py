"""Reads image files, of any mode, as square uint8 tensors."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageOps
from torch import Tensor
from torch.nn import functional as F

from classicnets.support.progress import progress

from .crops import Sizes, centre_boxes
from .image_file import (
    TooMuchMetadata,
    max_pixels,
    open_image,
    reading,
)
from .members import Member
from .resample import resample

Edges = tuple[int, int, int, int]  # left, top, right, bottom

BAND = 2**18  # pixels that are converted at a time
ROUNDING = 1e-2  # pixels by which rounding may push a box over the border
WHITE_16_BIT = 65535
MOST = 64  # files that a thread takes at a time
TASK = "reading images"
TURNED = (5, 6, 7, 8)  # EXIF orientations that exchange height and width


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

    def decode(i: int) -> None:
        if isinstance(image := paths[i], Image.Image):
            rows[i] = as_square(image, side, channels).numpy()
        else:
            rows[i] = read_image(image, side, channels, boxes[i] if boxes else None).numpy()

    return pixels, _for_each(decode, len(paths), task)


def read_sizes(
    paths: Sequence[str | Path | Member],
    channels: int = 0,
    task: str = "",
    sizes: Sizes | None = None,
) -> tuple[Sizes, dict[int, str]]:
    """Height and width of each image after EXIF rotation, and index -> reason for unreadable ones.

    With `channels` each file is decoded far enough to find damage, else only its header is read.
    `sizes`, of zeros, is filled as far as the files have been read; unreadable ones stay zeros.
    """
    sizes = torch.zeros(len(paths), 2, dtype=torch.long) if sizes is None else sizes
    rows = sizes.numpy()

    def inspect(i: int) -> None:
        with open_image(paths[i]) as image:
            size = _upright_size(image)
            if channels:
                with _load(image, (1, 1)):  # a JPEG at 1/8, but to its end
                    _convert(image, channels)
        rows[i] = size

    return sizes, _for_each(inspect, len(paths), task)


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
        full = _upright_size(image)
        if box is None:
            box = _centre_box(full, side)
        reduction = min(box[2:]) / side
        enough = (int(2 * image.width / reduction), int(2 * image.height / reduction))
        with _load(image, enough):
            scale = image.height / full[0], image.width / full[1]
            box = [v * scale[k % 2] for k, v in enumerate(box)]
            converted = _convert(image, channels)
            if converted is not image:
                image.close()  # the crop needs memory too
            return _crop(converted, box, side)


def as_square(image: Image.Image, side: int, channels: int) -> UInt8[Tensor, "c side side"]:
    """The largest centred square of an opened image, resized to `side`."""
    box = _centre_box(_upright_size(image), side)
    with reading:
        return _crop(_convert(ImageOps.exif_transpose(image), channels), box, side)


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


def _for_each(work: Callable[[int], None], count: int, task: str = "") -> dict[int, str]:
    """Calls `work` with 0 to count - 1, in threads; index -> reason where it raised ValueError.

    The reasons are in order of the indices. Progress of a `task` is reported.
    """
    report = progress.get()
    number = torch.get_num_threads()
    at_once = max(1, min(MOST, count // (MOST * number)))
    parts = [range(i, min(i + at_once, count)) for i in range(0, count, at_once)]

    def attempt(part: range) -> list[tuple[int, str]]:
        reasons = []
        for i in part:
            try:
                work(i)
            except ValueError as error:
                reasons.append((i, str(error)))
        return reasons

    def followed(outcomes: Iterator[list[tuple[int, str]]]) -> dict[int, str]:
        found: dict[int, str] = {}
        for part, reasons in zip(parts, outcomes, strict=True):
            found.update(reasons)
            if task:
                report(task, part.stop, count)
        return found

    max_pixels()  # refuses a wrong setting, which the files did not cause
    with reading:
        if number == 1:  # as in a loader's worker process
            return followed(map(attempt, parts))
        threads = ThreadPoolExecutor(number)
        try:
            return followed(threads.map(attempt, parts))
        finally:
            threads.shutdown(cancel_futures=True)


def _upright_size(image: Image.Image) -> tuple[int, int]:
    """Height and width after EXIF rotation."""
    width, height = image.size
    # Pillow turns the size of a TIFF when it reads the tag, and the pixels when it decodes them
    done = getattr(image, "tag_v2", {}).get(ExifTags.Base.Orientation) in TURNED
    turned = not done and _orientation(image) in TURNED
    return (width, height) if turned else (height, width)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8. Raises a ValueError where it cannot be told."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except TooMuchMetadata:
        raise
    except Exception as error:  # as for damaged pixels
        raise ValueError("its EXIF data, which say how it is turned, are damaged") from error


@contextmanager
def _load(image: Image.Image, enough: tuple[int, int]) -> Iterator[None]:
    """Decodes the pixels and turns them upright; a JPEG as small as `enough` allows."""
    full = image.width * image.height
    image.draft(None, enough)
    whole = "progressive" in image.info  # whose coefficients are all kept until the last scan
    with reading.room(full if whole else image.width * image.height):
        image.load()
        if _orientation(image) != 1:
            ImageOps.exif_transpose(image, in_place=True)
        yield


def _bands(edges: Edges) -> Iterator[Edges]:
    """A rectangle in parts of whole rows, so that what is computed from it needs little memory."""
    left, top, right, bottom = edges
    rows = max(1, BAND // max(1, right - left))
    return ((left, y, right, min(y + rows, bottom)) for y in range(top, bottom, rows))


def _tensor(image: Image.Image, edges: Edges) -> UInt8[Tensor, "c h w"]:
    left, top, right, bottom = edges
    pixels = np.empty((bottom - top, right - left, len(image.getbands())), np.uint8)
    for band in _bands(edges):
        part = np.asarray(image.crop(band))
        pixels[band[1] - top : band[3] - top] = part.reshape(*part.shape[:2], -1)
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _convert(image: Image.Image, channels: int) -> Image.Image:
    """The image in mode L or RGB."""
    mode = "L" if channels == 1 else "RGB"
    if image.mode == mode and not image.has_transparency_data:
        return image
    converted = Image.new(mode, image.size)
    for band in _bands((0, 0, *image.size)):
        converted.paste(_convert_band(image.crop(band), mode), band)
    return converted


def _convert_band(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        white = 1 if image.mode == "F" else WHITE_16_BIT
        light = np.asarray(image, dtype=np.float64) / white
        if not ((light >= 0) & (light <= 1)).all():
            nan = ", and some are NaN" if np.isnan(light).any() else ""
            raise ValueError(f"its values do not lie between 0 and {white}{nan}")
        image = Image.fromarray((light * 255).round().astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image if image.mode == mode else image.convert(mode)
