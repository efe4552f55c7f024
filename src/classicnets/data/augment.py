"""Augmentation, bytes to bytes: each picture of a batch gets its own draw."""

from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from torch import Generator, Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class RandomCrop:
    """A square of `side` pixels from anywhere in the picture, with `pad` black pixels around it."""

    side: int
    pad: int = 0

    def __call__(
        self, x: UInt8[Tensor, "n c h w"], generator: Generator
    ) -> UInt8[Tensor, "n c side side"]:
        x = F.pad(x, (self.pad,) * 4)
        n, c, h, w = x.shape
        top = torch.randint(h - self.side + 1, (n, 1), generator=generator)
        left = torch.randint(w - self.side + 1, (n, 1), generator=generator)
        along = torch.arange(self.side)
        rows, columns = (top + along).to(x.device), (left + along).to(x.device)
        picture = torch.arange(n, device=x.device)[:, None, None, None]
        channel = torch.arange(c, device=x.device)[None, :, None, None]
        return x[picture, channel, rows[:, None, :, None], columns[:, None, None, :]]


@dataclass(frozen=True)
class Flip:
    """Left and right exchanged in every second picture, by chance."""

    def __call__(
        self, x: UInt8[Tensor, "n c h w"], generator: Generator
    ) -> UInt8[Tensor, "n c h w"]:
        heads = torch.rand(len(x), generator=generator) < 0.5
        return torch.where(heads.to(x.device)[:, None, None, None], x.flip(-1), x)
