"""One picture file, whatever it holds, as a square of bytes."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageOps
from torch import Tensor

SUFFIXES = frozenset(Image.registered_extensions())


def read_picture(path: Path, side: int, channels: int) -> UInt8[Tensor, "c side side"]:
    """The picture with its shorter side brought to `side`, and the centre square of that.

    Any mode Pillow knows; turned as its EXIF note says; transparency on white. Raises a ValueError
    that names the file when it is not a picture, or a damaged one.
    """
    try:
        with Image.open(path) as image:
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
        deep = np.asarray(image, dtype=np.float64)
        if deep.max(initial=0) > 255:  # sixteen bits
            deep = deep / 257
        image = Image.fromarray(deep.round().clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert(mode)


def _reason(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "no picture format is recognised"
    return str(error) or type(error).__name__
