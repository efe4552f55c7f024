"""All that is drawn by chance: each draw has its own source, which follows from seed and step.

So nothing of it need be saved, and nothing depends on who drew what before.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b

import torch
from torch import Generator


def source(seed: int, purpose: str, number: int) -> Generator:
    """Where the draws for one purpose come from: the order of a pass, the windows of a step."""
    return Generator().manual_seed(_mixed(seed, purpose, number))


@contextmanager
def torch_drawing_from(
    seed: int, purpose: str, number: int, device: torch.device
) -> Iterator[None]:
    """Inside, torch itself draws from there, as for dropout; outside, from what it did before."""
    gpus = [device] if device.type == "cuda" else []
    number = _mixed(seed, purpose, number)
    with torch.random.fork_rng(gpus):
        torch.default_generator.manual_seed(number)  # torch.manual_seed takes 2 ms for this
        for gpu in gpus:
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(number)
        yield


def _mixed(seed: int, purpose: str, number: int) -> int:
    digest = blake2b(f"{seed} {purpose} {number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
