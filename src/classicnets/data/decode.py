"""Reads image files, of any mode, as square uint8 tensors."""

import warnings
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

from classicnets.support.errors import plain_reason
from classicnets.support.files import require_regular

from .crops import Sizes, centre_boxes
from .resample import resample

ROUNDING = 1e-2  # pixels by which rounding may push a box over the border
WHITE_16_BIT = 65535
# formats that Pillow recognises but cannot decode, or only through another program
NOT_DECODED = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
IMAGE_SUFFIXES = frozenset(
    suffix
    for suffix, name in Image.registered_extensions().items()
    if name in Image.OPEN and name not in NOT_DECODED
)
FORMATS = tuple(sorted(Image.OPEN.keys() - NOT_DECODED))
RECOGNISED = tuple(name for name in FORMATS if Image.OPEN[name][1])  # by how their files begin


def read_images(
    paths: Sequence[str | Path],
    side: int,
    channels: int,
    boxes: Sequence[Sequence[float]] | None = None,
) -> tuple[UInt8[Tensor, "n c side side"], dict[int, str]]:
    """All these images as by `read_image`, and index -> reason for those that cannot be read."""
    pixels = torch.empty(len(paths), channels, side, side, dtype=torch.uint8)
    rows = pixels.numpy()  # torch would start threads of its own for each row

    def decode(i: int) -> None:
        rows[i] = read_image(paths[i], side, channels, boxes[i] if boxes else None).numpy()

    return pixels, _for_each(decode, len(paths))


def read_sizes(paths: Sequence[str | Path], channels: int = 0) -> tuple[Sizes, dict[int, str]]:
    """Height and width of each image after EXIF rotation, and index -> reason for unreadable ones.

    With `channels` each file is decoded far enough to find damage, else only its header is read.
    """
    sizes = torch.ones(len(paths), 2, dtype=torch.long)

    def inspect(i: int) -> None:
        with _open(paths[i]) as image:
            sizes[i] = torch.tensor(_upright_size(image))
            if channels:
                _decode(image, (1, 1), channels)  # a JPEG at 1/8, but to its end

    return sizes, _for_each(inspect, len(paths))


def read_image(
    path: str | Path, side: int, channels: int, box: Sequence[float] | None = None
) -> UInt8[Tensor, "c side side"]:
    """A crop of the image resized to `side`; without a box, the largest centred square.

    Reads every mode of Pillow: integers beyond bytes count as 16 bits, floating-point values as
    [0, 1]. Rotates by the EXIF tag and composes transparency on white. A JPEG much larger than
    needed is decoded at 1/2, 1/4 or 1/8, still at twice the size needed. Raises a ValueError that
    names the file when it is not an image or is damaged.
    """
    with _open(path) as image:
        full = _upright_size(image)
        if box is None:
            box = _centre_box(full, side)
        reduction = min(box[2:]) / side
        enough = (int(2 * image.width / reduction), int(2 * image.height / reduction))
        decoded = _decode(image, enough, channels)
    scale = decoded.height / full[0], decoded.width / full[1]
    return _crop(decoded, [v * scale[k % 2] for k, v in enumerate(box)], side)


def as_square(image: Image.Image, side: int, channels: int) -> UInt8[Tensor, "c side side"]:
    """The largest centred square of an opened image, resized to `side`."""
    box = _centre_box(_upright_size(image), side)
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
    if height == width == side and left == int(left) and top == int(top):
        return _tensor(image.crop(edges))
    inside = max(0, left), max(0, top), min(image.width, edges[2]), min(image.height, edges[3])
    if edges == inside and all(v == int(v) for v in edges):  # torch resizes four times as fast
        x = _tensor(image.crop(edges))[None]
        return F.interpolate(x, size=(side, side), mode="bicubic", antialias=True)[0]
    if max(abs(a - b) for a, b in zip(edges, inside, strict=True)) < ROUNDING:
        return _tensor(image.resize((side, side), Image.Resampling.BICUBIC, inside))
    return resample(_tensor(image)[None], torch.tensor([box]), side)[0]


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Silences Pillow's warnings about harmless oddities; a decompression bomb is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _for_each(work: Callable[[int], None], count: int) -> dict[int, str]:
    """Calls `work` with 0 to count - 1, in threads; index -> reason where it raised ValueError.

    The reasons are in order of the indices.
    """

    def attempt(i: int) -> str | None:
        try:
            work(i)
        except ValueError as error:
            return str(error)
        return None

    with _without_warnings():
        if (number := torch.get_num_threads()) == 1:  # as in a loader's worker process
            outcomes = [attempt(i) for i in range(count)]
        else:
            threads = ThreadPoolExecutor(number)
            try:
                outcomes = list(threads.map(attempt, range(count)))
            finally:
                threads.shutdown(cancel_futures=True)
    return {i: reason for i, reason in enumerate(outcomes) if reason is not None}


@contextmanager
def _open(path: str | Path) -> Iterator[Image.Image]:
    """The opened image; any exception in the block becomes a ValueError that names the file."""
    try:
        require_regular(path)
        with Image.open(path, formats=FORMATS) as image:
            yield image
    except FileNotFoundError:
        raise ValueError(f"no such file: {path}") from None
    except Exception as error:  # a damaged file makes Pillow raise nearly anything
        unknown = isinstance(error, Image.UnidentifiedImageError)
        reason = "unknown image format" if unknown else plain_reason(error)
        raise ValueError(f"{path} cannot be read as an image: {reason}") from error


def _upright_size(image: Image.Image) -> tuple[int, int]:
    """Height and width after EXIF rotation."""
    width, height = image.size
    turned = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
    return (width, height) if turned else (height, width)


def _decode(image: Image.Image, enough: tuple[int, int], channels: int) -> Image.Image:
    """The upright image in the mode of `channels`; a JPEG no larger than `enough` requires."""
    image.draft(None, enough)
    image.load()
    turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
    return _convert(ImageOps.exif_transpose(image) if turned else image, channels)


def _tensor(image: Image.Image) -> UInt8[Tensor, "c h w"]:
    pixels = torch.from_numpy(np.array(image))
    return pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1)


def _convert(image: Image.Image, channels: int) -> Image.Image:
    """The image in mode L or RGB."""
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
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)


def image_kind(path: str | Path) -> str:
    """The format of an image by its content, such as PNG; empty where it is none of FORMATS."""
    try:
        with _without_warnings(), Image.open(path, formats=RECOGNISED) as image:
            return str(image.format)
    except Exception:  # other files make Pillow raise nearly anything
        return ""
