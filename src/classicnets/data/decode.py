"""Picture files, whatever they hold, as squares of bytes."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from PIL import ExifTags, Image, ImageOps
from torch import Tensor
from torch.nn import functional as F

from .crops import centre_boxes
from .resample import resample

ROUNDING = 1e-2  # pixels by which a window may stick out for want of digits
DEEP = 65535  # white in sixteen bits
# what Pillow recognises and cannot decode, or only through another program
NOT_DECODED = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
IMAGE_SUFFIXES = frozenset(
    suffix
    for suffix, name in Image.registered_extensions().items()
    if name in Image.OPEN and name not in NOT_DECODED
)
FORMATS = tuple(sorted(Image.OPEN.keys() - NOT_DECODED))


def read_images(
    paths: Sequence[str | Path],
    side: int,
    channels: int,
    windows: Sequence[Sequence[float]] | None = None,
) -> tuple[UInt8[Tensor, "n c side side"], dict[int, str]]:
    """All these pictures as `read_image` reads one, and index -> why it cannot be read."""
    pixels = torch.empty(len(paths), channels, side, side, dtype=torch.uint8)
    rows = pixels.numpy()  # which are written without the threads that torch would start in each

    def decode(i: int) -> None:
        picture = read_image(paths[i], side, channels, windows[i] if windows else None)
        rows[i] = picture.numpy()

    return pixels, _each(decode, len(paths))


def read_sizes(
    paths: Sequence[str | Path], channels: int = 0
) -> tuple[Int64[Tensor, "n 2"], dict[int, str]]:
    """Height and width of each picture as it is shown, and index -> why it cannot be read.

    With `channels` each is decoded as far as it takes to find damage, else only its beginning read.
    """
    sizes = torch.ones(len(paths), 2, dtype=torch.long)

    def look(i: int) -> None:
        with _opened(paths[i]) as image:
            sizes[i] = torch.tensor(_shown(image))
            if channels:
                _decoded(image, (1, 1), channels)  # a JPEG at an eighth, still read to its end

    return sizes, _each(look, len(paths))


def read_image(
    path: str | Path, side: int, channels: int, window: Sequence[float] | None = None
) -> UInt8[Tensor, "c side side"]:
    """A window of the picture brought to `side`; if none is given, the largest square, centred.

    Any mode Pillow knows, where whole numbers beyond bytes have 16 bits and floating-point ones lie
    in [0, 1]; turned as its EXIF note says; transparency on white. A JPEG that is far too large is
    decoded at a half, a quarter or an eighth, still twice as large as needed. Raises a ValueError
    that names the file when it is not a picture, or a damaged one.
    """
    with _opened(path) as image:
        full = _shown(image)
        if window is None:
            window = centre_boxes(torch.tensor([full]), side, side)[0].tolist()
        reduction = min(window[2:]) / side
        enough = (int(2 * image.width / reduction), int(2 * image.height / reduction))
        plain = _decoded(image, enough, channels)
    smaller = plain.height / full[0], plain.width / full[1]
    return _cut(plain, [v * smaller[k % 2] for k, v in enumerate(window)], side)


def as_square(image: Image.Image, side: int, channels: int) -> UInt8[Tensor, "c side side"]:
    """The largest square in the middle of a picture that has been opened, brought to `side`."""
    window = centre_boxes(torch.tensor([_shown(image)]), side, side)[0].tolist()
    return _cut(_flattened(ImageOps.exif_transpose(image), channels), window, side)


def _cut(image: Image.Image, window: Sequence[float], side: int) -> Tensor:
    top, left, height, width = window
    box = (left, top, left + width, top + height)
    if height == width == side and left == int(left) and top == int(top):
        return _tensor(image.crop(box))
    inside = max(0, left), max(0, top), min(image.width, box[2]), min(image.height, box[3])
    if box == inside and all(v == int(v) for v in box):  # torch's resize is four times as fast
        x = _tensor(image.crop(box))[None]
        return F.interpolate(x, size=(side, side), mode="bicubic", antialias=True)[0]
    if max(abs(a - b) for a, b in zip(box, inside, strict=True)) < ROUNDING:
        return _tensor(image.resize((side, side), Image.Resampling.BICUBIC, inside))
    return resample(_tensor(image)[None], torch.tensor([window]), side)[0]


def grey(pixels: UInt8[Tensor, "n 3 h w"]) -> UInt8[Tensor, "n 1 h w"]:
    """Luminance with the weights of ITU-R 601, as Pillow has it."""
    weights = torch.tensor([0.299, 0.587, 0.114])
    parts = [
        (part.float() * weights[:, None, None]).sum(1, keepdim=True).round().to(torch.uint8)
        for part in pixels.split(1000)
    ]
    return torch.cat(parts)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Pillow's warnings on oddities that it gets over; a decompression bomb is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _each(work: Callable[[int], None], count: int) -> dict[int, str]:
    """Does the work for each number, in threads, and returns why it failed for some."""
    reasons: dict[int, str] = {}

    def attempt(i: int) -> None:
        try:
            work(i)
        except ValueError as error:
            reasons[i] = str(error)

    with _quiet():
        if (number := torch.get_num_threads()) == 1:  # as in a process that only reads
            for i in range(count):
                attempt(i)
            return reasons
        threads = ThreadPoolExecutor(number)
        try:
            list(threads.map(attempt, range(count)))
        finally:
            threads.shutdown(cancel_futures=True)
    return reasons


@contextmanager
def _opened(path: str | Path) -> Iterator[Image.Image]:
    """The picture in this file, where all that goes wrong is the file's fault."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            yield image
    except FileNotFoundError:
        raise ValueError(f"there is no file {path}") from None
    except Exception as error:  # a damaged file makes Pillow raise nearly anything
        raise ValueError(f"{path} cannot be read as a picture: {_reason(error)}") from error


def _shown(image: Image.Image) -> tuple[int, int]:
    """Height and width, after the turn that the EXIF note asks for."""
    width, height = image.size
    turned = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
    return (width, height) if turned else (height, width)


def _decoded(image: Image.Image, enough: tuple[int, int], channels: int) -> Image.Image:
    """The picture as it is shown; a JPEG no larger than it has to be for `enough` pixels."""
    image.draft(None, enough)
    image.load()
    turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
    return _flattened(ImageOps.exif_transpose(image) if turned else image, channels)


def _tensor(image: Image.Image) -> UInt8[Tensor, "c h w"]:
    pixels = torch.from_numpy(np.array(image))
    return pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1)


def _flattened(image: Image.Image, channels: int) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        white = 1 if image.mode == "F" else DEEP
        light = np.asarray(image, dtype=np.float64) / white
        if not ((light >= 0) & (light <= 1)).all():
            strange = ", and some are not numbers" if np.isnan(light).any() else ""
            raise ValueError(f"its values do not lie between 0 and {white}{strange}")
        image = Image.fromarray((light * 255).round().astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _reason(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "no picture format is recognised"
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return said.partition("\n")[0]
