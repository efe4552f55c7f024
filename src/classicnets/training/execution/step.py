"""One training step, and the backend settings it runs under."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from classicnets.support.errors import option
from classicnets.training.recipe.loss import Scores, main_head

from .batches import batch_sizes
from .execution import TINY, Execution, require_graphs

SMALL = 2**15  # elements in a batch; below, threads wait for one another longer than they work


def step(
    model: nn.Module,
    optimizer: Optimizer,
    loss: Callable[[Scores, Tensor], Tensor],
    x: Float32[Tensor, "n c h w"],
    labels: Int64[Tensor, " n"],
    execution: Execution,
    weight: float = 1.0,
    minimum: int = 1,
) -> tuple[Tensor, Tensor]:
    """One update. Returns the mean loss and the number of wrong answers, still on the device.

    `weight` scales the gradients where these images are only a shard of the batch. Parts of a batch
    whose gradients are accumulated have at least `minimum` images.
    """
    for p in (p for group in optimizer.param_groups for p in group["params"]):
        p.grad = None  # zero_grad has overhead that a small network feels
    losses, wrongs = [], []
    count = execution.accumulation_steps
    sizes = batch_sizes(len(x), max(math.ceil(len(x) / count), minimum), minimum)
    parts = list(zip(x.split(sizes), labels.split(sizes), strict=True))  # there may be fewer
    for i, (part, answers) in enumerate(parts, start=1):
        with _synchronized_at(model, last=i == len(parts)):
            with execution.autocast(x.device):
                scores = model(execution.to_layout(part))
                value = loss(scores, answers).float()
            fraction = len(part) / len(x)
            value.backward(torch.full_like(value, fraction * weight))
        losses.append(value.detach() * fraction)
        wrongs.append((main_head(scores).argmax(1) != answers).sum())
    optimizer.step()
    return sum(losses[1:], losses[0]), sum(wrongs[1:], wrongs[0])


def set_lr(optimizer: Optimizer, lr: float) -> None:
    """Sets the learning rate of the next step, times the factor of a group that has one; in place
    where a CUDA graph reads it."""
    for group in optimizer.param_groups:
        own = lr * group.get("factor", 1.0)
        if isinstance(held := group["lr"], Tensor):
            held.fill_(own)
        else:
            group["lr"] = own


def make_graphable(optimizer: Optimizer, device: torch.device) -> None:
    """Puts what a recorded step reads on the device: the learning rate, and a count of steps.

    Raises a ValueError where a step of this optimizer cannot be recorded.
    """
    require_graphs(device)
    if not isinstance(optimizer, torch.optim.SGD | torch.optim.Adam):
        raise ValueError(
            "a CUDA graph needs an optimizer that keeps its learning rate on the device, unlike "
            f"{type(optimizer).__name__}; leave out {option('graph')}"
        )
    for group in optimizer.param_groups:
        group["lr"] = torch.zeros((), device=device)
        if "capturable" in group:  # Adam also counts its steps on the device
            group["capturable"] = True


@contextmanager
def backends_for(elements: int, benchmark: bool = False) -> Iterator[None]:
    """One thread and no oneDNN while batches have too few elements to gain from them.

    `benchmark` lets cuDNN try out algorithms, worthwhile for shapes that recur.
    """
    threads, onednn = torch.get_num_threads(), torch.backends.mkldnn.enabled
    before = torch.backends.cudnn.benchmark
    torch.set_num_threads(1 if elements < SMALL else threads)
    torch.backends.mkldnn.enabled = onednn and elements >= TINY
    torch.backends.cudnn.benchmark = benchmark or before
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.backends.mkldnn.enabled = onednn
        torch.backends.cudnn.benchmark = before


@contextmanager
def _synchronized_at(model: nn.Module, last: bool) -> Iterator[None]:
    """DDP exchanges gradients between processes after the last part only."""
    if not last and isinstance(model, DistributedDataParallel):
        with model.no_sync():
            yield
    else:
        yield
