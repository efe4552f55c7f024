"""Picture files, whatever they hold, as squares of bytes."""

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageOps
from torch import Tensor

DEEP = 65535  # white in sixteen bits
# what Pillow recognises and cannot decode, or only through another program
NOT_DECODED = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
SUFFIXES = frozenset(
    suffix
    for suffix, name in Image.registered_extensions().items()
    if name in Image.OPEN and name not in NOT_DECODED
)
FORMATS = tuple(sorted(Image.OPEN.keys() - NOT_DECODED))


def read_pictures(
    paths: Sequence[Path], side: int, channels: int
) -> tuple[UInt8[Tensor, "n c side side"], dict[int, str]]:
    """All these pictures as `read_picture` reads one, and index -> why it cannot be read."""
    pixels = torch.empty(len(paths), channels, side, side, dtype=torch.uint8)
    reasons: dict[int, str] = {}

    def decode(i: int) -> None:
        try:
            pixels[i] = read_picture(paths[i], side, channels)
        except ValueError as error:
            reasons[i] = str(error)

    threads = ThreadPoolExecutor()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on oddities that Pillow gets over
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            list(threads.map(decode, range(len(paths))))
        finally:
            threads.shutdown(cancel_futures=True)
    return pixels, reasons


def read_picture(path: Path, side: int, channels: int) -> UInt8[Tensor, "c side side"]:
    """The picture with its shorter side brought to `side`, and the centre square of that.

    Any mode Pillow knows, where whole numbers beyond bytes have 16 bits and floating-point ones lie
    in [0, 1]; turned as its EXIF note says; transparency on white. Raises a ValueError that names
    the file when it is not a picture, or a damaged one.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            plain = _flattened(ImageOps.exif_transpose(image), "L" if channels == 1 else "RGB")
    except FileNotFoundError:
        raise ValueError(f"there is no file {path}") from None
    except Exception as error:  # a damaged file makes Pillow raise nearly anything
        raise ValueError(f"{path} cannot be read as a picture: {_reason(error)}") from error
    square = ImageOps.fit(plain, (side, side), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.array(square))
    return pixels[None] if channels == 1 else pixels.permute(2, 0, 1)


def _flattened(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        white = 1 if image.mode == "F" else DEEP
        light = np.asarray(image, dtype=np.float64) / white
        if not ((light >= 0) & (light <= 1)).all():
            raise ValueError(f"its values do not lie between 0 and {white}")
        image = Image.fromarray((light * 255).round().astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert(mode)


def _reason(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "no picture format is recognised"
    return str(error) or type(error).__name__
