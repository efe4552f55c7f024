"""Random numbers: each draw has a generator of its own, derived from seed, purpose and step.

So no generator state needs saving, and no draw depends on what was drawn before.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b

import torch
from torch import Generator


def generator_for(seed: int, purpose: str, number: int) -> Generator:
    """The generator for one purpose, such as the order of an epoch or the crops of a step."""
    return Generator().manual_seed(_mixed(seed, purpose, number))


def require_seed(seed: object) -> None:
    """Raises a ValueError for a seed that torch does not take."""
    if not isinstance(seed, int) or not 0 <= seed < 2**64:
        raise ValueError(f"seed must be a whole number from 0 to 2**64 - 1, not {seed!r}")


@contextmanager
def seeded_torch(seed: int, purpose: str, number: int, device: torch.device) -> Iterator[None]:
    """Seeds torch's global generators inside, as for dropout, and restores them afterwards."""
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
