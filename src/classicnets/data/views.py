"""The parts of a picture that are shown to a network at test time."""

from jaxtyping import Shaped
from torch import Tensor


def centre(x: Shaped[Tensor, "n c h w"], side: int) -> Shaped[Tensor, "n c side side"]:
    """The square of `side` pixels in the middle.

    >>> import torch
    >>> centre(torch.arange(16).view(1, 1, 4, 4), 2).flatten().tolist()
    [5, 6, 9, 10]
    """
    top, left = (x.shape[-2] - side) // 2, (x.shape[-1] - side) // 2
    return x[..., top : top + side, left : left + side]
