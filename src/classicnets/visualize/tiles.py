"""Image tiles: enlarged, centred on grey, put side by side; and numbers in their titles."""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .forward import Batch, Image

GAP = 6  # pixels between tiles
GAP_COLOUR = (0.82, 0.88, 0.95)  # a pale blue that no tile has
MIN_SIDE = 96  # pixels


def montage(tiles: Batch, columns: int) -> Float[Tensor, "3 y x"]:
    """Tiles in rows, with a pale blue gap between them; small ones are enlarged."""
    tiles = torch.stack([enlarge(tile) for tile in tiles])
    n, _, h, w = tiles.shape
    rows = math.ceil(n / columns)
    canvas = torch.tensor(GAP_COLOUR)[:, None, None].repeat(
        1, rows * (h + GAP) - GAP, columns * (w + GAP) - GAP
    )
    for i, tile in enumerate(tiles):
        y, x = i // columns * (h + GAP), i % columns * (w + GAP)
        canvas[:, y : y + h, x : x + w] = tile
    return canvas


def enlarge(image: Image) -> Float[Tensor, "3 y x"]:
    """In colour, enlarged by a whole factor to at least 96 pixels on the longer side."""
    factor = scale_factor(max(image.shape[1:]))
    colour = image if len(image) == 3 else image.mean(0, keepdim=True).expand(3, -1, -1)
    return colour.repeat_interleave(factor, 1).repeat_interleave(factor, 2)


def rgb(image: Image) -> np.ndarray:
    """The enlarged image as matplotlib takes it: (h, w, 3), clipped to between 0 and 1."""
    return enlarge(image).clamp(0, 1).permute(1, 2, 0).numpy()


def scale_factor(side: int) -> int:
    """The factor by which a tile of this side is enlarged.

    >>> scale_factor(11), scale_factor(224)
    (9, 1)
    """
    return math.ceil(MIN_SIDE / side)


def around_grey(values: Image) -> Image:
    """Signed values as an image: zero is middle grey, the largest magnitude is black or white.

    >>> around_grey(torch.tensor([[[-2.0, 0.0, 1.0]]])).flatten().tolist()
    [0.0, 0.5, 0.75]
    """
    return fraction_of(values, values.abs().max()) / 2 + 0.5


def fraction_of(values: Tensor, peak: Tensor) -> Tensor:
    """Values as fractions of their largest, however small that is; zeros where it is zero.

    >>> fraction_of(torch.tensor([1e-30, 2e-30]), torch.tensor(2e-30)).tolist()
    [0.5, 1.0]
    """
    return values / torch.where(peak > 0, peak, 1.0)


def format_value(value: float) -> str:
    """A number with three significant digits.

    >>> format_value(1334.5), format_value(0.50041)
    ('1330', '0.5')
    """
    return np.format_float_positional(value, 3, fractional=False, trim="-")
