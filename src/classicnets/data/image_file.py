"""Image files: which formats are read, how much time and memory one may take, and the image upright
in mode L or RGB. Needs no torch.
"""

import io
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import Condition

import numpy as np
from PIL import ExifTags, Image, ImageOps

from classicnets.support.errors import plain_reason
from classicnets.support.files import open_regular

from .tar import Member

Edges = tuple[int, int, int, int]  # left, top, right, bottom

MAX_PIXELS = 2**28
VARIABLE = "CLASSICNETS_MAX_PIXELS"  # of the environment, which worker processes inherit
BAND = 2**18  # pixels that are converted at a time
WHITE_16_BIT = 65535
TURNED = (5, 6, 7, 8)  # EXIF orientations that exchange height and width
METADATA = 2**24  # bytes before the pixels of a JPEG or PNG
SCANS = 100  # of a progressive JPEG, which usually has about ten
METERED = ("JPEG", "PNG")
PACKAGES = {
    "HEIF": "the package pillow-heif (pip install 'classicnets[heif]')",
    "AVIF": "Pillow 11.3 or later, built with libavif (pip install --upgrade pillow)",
}
SIGNATURE = 64  # bytes at the beginning of a file that tell its format
# formats that Pillow recognises but cannot decode, or only through another program, and FITS,
# which it unpacks whatever the size
NOT_DECODED = {"BUFR", "EPS", "FITS", "GRIB", "HDF5", "MPEG", "WMF"}
COMMON = ("BMP", "GIF", "JPEG", "PPM", "PNG")  # which Pillow knows before it imports the others
SIGNATURES = {  # how the files of common formats begin; other formats are known by their suffix
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "GIF": rb"GIF8[79]a",
    "TIFF": rb"II[*+]\0|MM\0[*+]",
    "WEBP": rb"RIFF....WEBP",
    "BMP": rb"BM....\0\0\0\0",
    "PPM": rb"P[1-6]\s+[#\d]",
    "JPEG2000": rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51",
    "AVIF": rb"....ftyp(avi[fs]|(mif1|msf1).*avi[fs])",
    "HEIF": rb"....ftyp(hei[cmsx]|hev[cmsx]|mif1|msf1)",
}

SUFFIXES = {
    "JPEG": ".jpg",
    "PNG": ".png",
    "GIF": ".gif",
    "TIFF": ".tif",
    "WEBP": ".webp",
    "BMP": ".bmp",
    "PPM": ".ppm",
    "JPEG2000": ".jp2",
    "AVIF": ".avif",
    "HEIF": ".heic",
}


@cache
def formats() -> tuple[str, ...]:
    """The formats that are read. Pillow imports forty modules for all of them."""
    with suppress(ImportError):  # an optional package, which adds HEIF to the formats of Pillow
        import_module("pillow_heif").register_heif_opener()
    Image.init()
    return tuple(sorted(Image.OPEN.keys() - NOT_DECODED))


@cache
def image_suffixes() -> frozenset[str]:
    """How the names of images end, also of those that nothing decodes here."""
    read, known = formats(), Image.registered_extensions()
    return frozenset(suffix for suffix, name in known.items() if name in read) | {
        *(".avif", ".heic", ".heif")
    }


def image_kind(path: str | Path) -> str | None:
    """The format of an image file by its first bytes, whatever its name, as in `SIGNATURES`.

    None for any other file, including one that cannot be opened or is not a regular file. An image
    may still be damaged, or need a package to be read.
    """
    try:
        with open_regular(path) as file:
            return _kind(file.read(SIGNATURE))
    except (OSError, ValueError):
        return None


@contextmanager
def open_image(path: str | Path | Member) -> Iterator[Image.Image]:
    """The opened image; any exception in the block becomes a ValueError that names the file.

    Only the header has been read. Nothing but a regular file is opened.
    """
    try:
        with reading, _opened(path) as file, _identify(file) as image:
            yield image
    except FileNotFoundError:
        raise ValueError(f"no such file: {path}") from None
    except Exception as error:  # a damaged file makes Pillow raise nearly anything
        raise ValueError(f"{path} cannot be read as an image: {plain_reason(error)}") from error


def _opened(path: str | Path | Member) -> io.BufferedReader:
    return path.open() if isinstance(path, Member) else open_regular(path)


def _identify(file: io.BufferedReader) -> Image.Image:
    """The image in the file, of which only the header is read.

    Raises a ValueError for an unknown or damaged format, and an image that is too large.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    kind = _kind(file.read(SIGNATURE))
    if kind in PACKAGES and kind not in formats():
        raise ValueError(f"{kind} needs {PACKAGES[kind]}")
    metered = _Metered(file, enough=METADATA) if kind in METERED else file
    try:
        known = kind in COMMON or kind in formats()
        image = Image.open(metered, formats=(kind,) if kind and known else formats())
    except Image.UnidentifiedImageError:
        reason = f"a damaged {kind}, or an unknown variant" if kind else "unknown image format"
        raise ValueError(reason) from None
    if (pixels := image.width * image.height) > (limit := max_pixels()):
        raise ValueError(
            f"{image.width} x {image.height} are {pixels:,} pixels; at most {limit:,} are read "
            f"(--max-pixels {pixels}, or {VARIABLE}, to read it)"
        )
    if isinstance(metered, _Metered):
        metered.left += 3 * size
        if "progressive" in image.info:
            _require_few_scans(metered)
    return image


def _require_few_scans(file: io.BufferedReader) -> None:
    """Raises a ValueError for a progressive JPEG of so many scans that decoding it takes minutes.

    Each takes a pass over all coefficients, however few bytes it has. The file is at the first one.
    """
    scans = 1 + file.read().partition(b"\xff\xd9")[0].count(b"\xff\xda")
    if scans > SCANS:
        raise ValueError(f"a progressive JPEG of {scans} scans; at most {SCANS} are read")


class TooMuchMetadata(ValueError):
    """A file has more parts beside its pixels than are read."""


class _Metered(io.BufferedReader):
    """A file of many parts, of which Pillow reads as many as there are, however small.

    Each read costs its length and another 256 bytes, so that the time is bounded too.
    """

    def __init__(self, file: io.BufferedReader, enough: int):
        super().__init__(file.raw)  # pyright: ignore
        self.left = enough

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        self.left -= len(content) + 256
        if self.left < 0:
            raise TooMuchMetadata(f"its metadata are longer than {METADATA / 2**20:.0f} MiB")
        return content


def max_pixels() -> int:
    """The largest image that is read: 2^28 pixels, or what CLASSICNETS_MAX_PIXELS says.

    A phone's largest photographs have 2 x 10^8. Raises a ValueError unless it is a whole number
    from 1 to 10^15.
    """
    value = os.environ.get(VARIABLE) or str(MAX_PIXELS)
    if not re.fullmatch("[0-9]{1,15}", value) or not int(value):
        raise ValueError(
            f"--max-pixels, or {VARIABLE}, must be a whole number of pixels, such as {MAX_PIXELS}, "
            f"not {value!r}"
        )
    return int(value)


def set_max_pixels(value: str) -> None:
    """Sets the limit for this process and the workers it starts; see `max_pixels`."""
    os.environ[VARIABLE] = value
    max_pixels()


def suffix_of(content: bytes) -> str:
    """The usual ending of a file with this content, such as `.jpg`; empty for unknown formats."""
    return SUFFIXES.get(_kind(content[:SIGNATURE]) or "", "")


def _kind(start: bytes) -> str | None:
    return next((kind for kind, s in SIGNATURES.items() if re.match(s, start, re.DOTALL)), None)


BLOCK = 2**30  # bytes


class Reading:
    """While any thread reads images: Pillow neither warns nor applies a limit of its own, and
    allocates an image as one block, which malloc returns to the system when it is large.

    `room` lets the threads of this process decode `max_pixels` at a time, all together, so that
    their number does not multiply the memory of large images.
    """

    def __init__(self):
        self.changed = Condition()
        self.readers = self.pixels = 0
        self.restore = ExitStack()

    def __enter__(self) -> None:
        with self.changed:
            self.readers += 1
            if self.readers == 1:  # the settings belong to the whole process
                self.restore.callback(Image.core.set_block_size, Image.core.get_block_size())
                Image.core.set_block_size(BLOCK)
                self.restore.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
                self.restore.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")
                Image.MAX_IMAGE_PIXELS = None

    def __exit__(self, *exception: object) -> None:
        with self.changed:
            self.readers -= 1
            if not self.readers:
                self.restore.close()

    @contextmanager
    def room(self, pixels: int) -> Iterator[None]:
        with self.changed:
            self.changed.wait_for(lambda: not self.pixels or self.pixels + pixels <= max_pixels())
            self.pixels += pixels
        try:
            yield
        finally:
            with self.changed:
                self.pixels -= pixels
                self.changed.notify_all()


reading = Reading()
if hasattr(os, "register_at_fork"):  # a worker process has none of these threads
    os.register_at_fork(after_in_child=lambda: reading.__init__())


def image_size(path: str | Path | Member, channels: int = 0) -> tuple[int, int]:
    """Height and width of an image file after EXIF rotation.

    With `channels` it is decoded far enough to find damage, else only its header is read. Raises a
    ValueError that names the file when it is not an image or is damaged.
    """
    with open_image(path) as image:
        size = upright_size(image)
        if channels:
            with load(image, (1, 1)):  # a JPEG at 1/8, but to its end
                convert(image, channels)
    return size


def upright_size(image: Image.Image) -> tuple[int, int]:
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
def load(image: Image.Image, enough: tuple[int, int]) -> Iterator[None]:
    """Decodes the pixels and turns them upright; a JPEG as small as `enough` allows."""
    full = image.width * image.height
    image.draft(None, enough)
    whole = "progressive" in image.info  # whose coefficients are all kept until the last scan
    with reading.room(full if whole else image.width * image.height):
        image.load()
        if _orientation(image) != 1:
            ImageOps.exif_transpose(image, in_place=True)
        yield


def bands(edges: Edges) -> Iterator[Edges]:
    """A rectangle in parts of whole rows, so that what is computed from it needs little memory."""
    left, top, right, bottom = edges
    rows = max(1, BAND // max(1, right - left))
    return ((left, y, right, min(y + rows, bottom)) for y in range(top, bottom, rows))


def convert(image: Image.Image, channels: int) -> Image.Image:
    """The image in mode L or RGB."""
    mode = "L" if channels == 1 else "RGB"
    if image.mode == mode and not image.has_transparency_data:
        return image
    converted = Image.new(mode, image.size)
    for band in bands((0, 0, *image.size)):
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
