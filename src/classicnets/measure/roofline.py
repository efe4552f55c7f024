"""Peak rates of this machine: arithmetic in each precision, and memory bandwidth.

They are measured, not taken from a data sheet, on the fastest known operations: a large matrix
product, a 3x3 convolution of 64 maps, and a copy larger than the caches.
"""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from statistics import median
from time import perf_counter

import torch
from torch.nn import functional as F

from classicnets.support.devices import DTYPES, synchronize

TRIES, COPIES = 3, 10  # a copy takes milliseconds, and varies most
# side of the matrices, images of the convolution, elements of the copy
QUICK, CPU, ACCELERATOR = (256, 1, 2**20), (2048, 16, 2**26), (8192, 256, 2**28)
BRIEF = (1024, 4, 2**24)  # on a CPU a third of a second instead of several


@torch.inference_mode()
def sample(
    device: torch.device = torch.device("cpu"),  # noqa: B008
    precisions: Collection[str] = tuple(DTYPES),
    quick: bool = False,
    brief: bool = False,
) -> dict[str, float]:
    """FLOP/s by operation and precision, and bytes/s read and written by a copy.

    The highest, as bounds are made of; `brief`, of less work, the usual ones, as a step meets them
    where others use the memory too.
    """
    full = (BRIEF if brief else CPU) if device.type == "cpu" else ACCELERATOR
    n, images, size = QUICK if quick else full
    seconds_of = partial(_seconds, device=device, choose=median if brief else min)
    peaks = {}
    for name in precisions:
        options = {"dtype": DTYPES[name], "device": device}
        a = torch.ones(n, n, **options)
        peaks[f"matrix product {name}"] = 2 * n**3 / seconds_of(lambda a=a: a @ a)
        x = torch.ones(images, 64, 56, 56, **options).to(memory_format=torch.channels_last)
        w = torch.ones(64, 64, 3, 3, **options).to(memory_format=torch.channels_last)
        flop = 2 * images * 56 * 56 * 64 * 64 * 9
        peaks[f"convolution {name}"] = flop / seconds_of(lambda x=x, w=w: F.conv2d(x, w, padding=1))
    a, b = torch.ones(size, device=device), torch.ones(size, device=device)
    peaks["copy"] = 2 * 4 * size / seconds_of(lambda: b.copy_(a), tries=COPIES)
    return peaks


def fastest(peaks: Mapping[str, float], precision: str) -> float:
    """The highest FLOP/s in this precision."""
    return max(peaks[f"matrix product {precision}"], peaks[f"convolution {precision}"])


def _seconds(
    operation: Callable[[], object],
    device: torch.device,
    choose: Callable[[list[float]], float],
    tries: int = TRIES,
) -> float:
    seconds, benchmark = [], torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    for _ in range(tries):
        synchronize(device)
        began = perf_counter()
        operation()
        synchronize(device)
        seconds.append(perf_counter() - began)
    torch.backends.cudnn.benchmark = benchmark
    return choose(seconds)
