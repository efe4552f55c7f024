"""What this machine can do at best: arithmetic in either precision, and moving bytes.

A floor is not what a data sheet promises but what the fastest known piece of work reaches here, at
this hour: a large matrix product, a 3x3 convolution of 64 maps, a copy beyond the caches.
"""

from collections.abc import Callable
from time import perf_counter

import torch
from torch.nn import functional as F

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
TRIES = 3  # the fastest of which counts in a round


@torch.inference_mode()
def sample(quick: bool = False) -> dict[str, float]:
    """FLOP/s by name, and bytes/s read and written by a copy."""
    n, images, size = (256, 1, 2**20) if quick else (2048, 16, 2**26)
    peaks = {}
    for name, kind in PRECISIONS.items():
        a = torch.ones(n, n, dtype=kind)
        peaks[f"matrix product {name}"] = 2 * n**3 / _fastest(lambda a=a: a @ a)
        x = torch.ones(images, 64, 56, 56, dtype=kind).to(memory_format=torch.channels_last)
        w = torch.ones(64, 64, 3, 3, dtype=kind).to(memory_format=torch.channels_last)
        flop = 2 * images * 56 * 56 * 64 * 64 * 9
        peaks[f"convolution {name}"] = flop / _fastest(lambda x=x, w=w: F.conv2d(x, w, padding=1))
    a, b = torch.ones(size), torch.ones(size)
    peaks["copy"] = 2 * 4 * size / _fastest(lambda: b.copy_(a))
    return peaks


def _fastest(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(TRIES):
        began = perf_counter()
        work()
        seconds.append(perf_counter() - began)
    return min(seconds)
