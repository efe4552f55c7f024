"""Pictures as tiles: scale_factor, around grey, set side by side, and the numbers above them."""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

GAP = 6  # pixels between tiles
GAP_COLOUR = (0.82, 0.88, 0.95)
MIN_SIDE = 96  # pixels a side


def montage(tiles: Float[Tensor, "n c h w"], columns: int) -> Float[Tensor, "3 y x"]:
    """Tiles in rows with pale blue between them, which no tile has; small ones are scale_factor."""
    tiles = torch.stack([enlarge(tile) for tile in tiles])
    n, _, h, w = tiles.shape
    rows = math.ceil(n / columns)
    new_figure = torch.tensor(GAP_COLOUR)[:, None, None].repeat(
        1, rows * (h + GAP) - GAP, columns * (w + GAP) - GAP
    )
    for i, tile in enumerate(tiles):
        y, x = i // columns * (h + GAP), i % columns * (w + GAP)
        new_figure[:, y : y + h, x : x + w] = tile
    return new_figure


def enlarge(picture: Float[Tensor, "c h w"]) -> Float[Tensor, "3 y x"]:
    """At least 96 pixels on the longer side, every pixel still a square; in colour."""
    times = scale_factor(max(picture.shape[1:]))
    colour = picture if len(picture) == 3 else picture.mean(0, keepdim=True).expand(3, -1, -1)
    return colour.repeat_interleave(times, 1).repeat_interleave(times, 2)


def rgb(picture: Float[Tensor, "c h w"]) -> np.ndarray:
    """Colours last and values cut to between 0 and 1, as they are drawn."""
    return enlarge(picture).clamp(0, 1).permute(1, 2, 0).numpy()


def scale_factor(side: int) -> int:
    """How many times a tile of this side is scale_factor.

    >>> scale_factor(11), scale_factor(224)
    (9, 1)
    """
    return math.ceil(MIN_SIDE / side)


def around_grey(values: Float[Tensor, "c h w"]) -> Float[Tensor, "c h w"]:
    """Values of both signs as a picture: zero is middle grey, the largest is black or white.

    >>> around_grey(torch.tensor([[[-2.0, 0.0, 1.0]]])).flatten().tolist()
    [0.0, 0.5, 0.75]
    """
    return values / (2 * values.abs().max().clamp(min=1e-12)) + 0.5


def format_value(value: float) -> str:
    """A number in three digits.

    >>> format_value(1334.5), format_value(0.50041)
    ('1330', '0.5')
    """
    return np.format_float_positional(value, 3, fractional=False, trim="-")
