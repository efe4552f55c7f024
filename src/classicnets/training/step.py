"""How one step is executed. Precision, memory layout and compilation belong here, nowhere else."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float32, Int64
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from .loss import Loss, main_head

SMALL = 2**15  # numbers in a batch; below, threads wait for one another longer than they work


def step(
    network: nn.Module,
    optimizer: Optimizer,
    loss: Loss,
    rate: float,
    x: Float32[Tensor, "n c h w"],
    labels: Int64[Tensor, " n"],
) -> tuple[Tensor, Tensor]:
    """One update. Returns the loss and the number of wrong answers, still on the device."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    network.train()
    scores = network(x)
    value = loss(scores, labels)
    value.backward()
    optimizer.step()
    return value.detach(), (main_head(scores).argmax(1) != labels).sum()


@contextmanager
def threads_for(numbers: int) -> Iterator[None]:
    """One thread while batches of so few numbers are trained on; torch's own choice otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(1 if numbers < SMALL else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def seeded(device: torch.device, seed: int) -> list[Tensor]:
    """What torch draws from, as in dropout, at its beginning: of the CPU, and of a GPU."""
    return [Generator(where).manual_seed(seed).get_state() for where in ("cpu", *_gpus(device))]


@contextmanager
def drawing_from(chance: list[Tensor], device: torch.device) -> Iterator[None]:
    """Inside, torch draws from this, which goes on; outside, from what it did before."""
    gpus = _gpus(device)
    with torch.random.fork_rng(gpus):
        torch.set_rng_state(chance[0])
        for gpu, state in zip(gpus, chance[1:], strict=False):  # saved elsewhere, it may lack one
            torch.cuda.set_rng_state(state, gpu)
        yield
        chance[:] = [torch.get_rng_state(), *map(torch.cuda.get_rng_state, gpus)]


def _gpus(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []
