"""Several processes, on one machine or many, that train one network: started by torchrun.

Each takes its share of every batch and of everything that is judged; the first one alone writes.
"""

import os
from inspect import signature
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")
# the newer name of the same since torch 2.13
SYNC_BUFFERS = next(
    name
    for name in ("forward_sync_buffers", "broadcast_buffers")
    if name in signature(DistributedDataParallel).parameters
)


def join(device: torch.device) -> torch.device:
    """Joins the processes that torchrun has started, and returns this one's device.

    Does nothing in a process that stands alone.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return device


def rank() -> int:
    """Which of the processes this is; the first is 0."""
    return dist.get_rank() if _together() else 0


def size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if _together() else 1


def share(whole: Tensor) -> Tensor:
    """This process's part of what all of them have: none is in two, and none is left out."""
    return whole[rank() :: size()]


def summed(part: Tensor) -> Tensor:
    """The sum over all processes, in place."""
    if _together():
        dist.all_reduce(part)
    return part


def told(value: T) -> T:
    """What the first process has, to all of them."""
    if not _together():
        return value
    held = [value]
    dist.broadcast_object_list(held)
    return held[0]


def wrapped(network: nn.Module, device: torch.device) -> nn.Module:
    """The network, with gradients that are the mean over all processes."""
    if not _together():
        return network
    options: dict[str, Any] = {SYNC_BUFFERS: False}
    if device.type == "cuda":
        options["device_ids"] = [device]
    return DistributedDataParallel(network, **options)


def agree_on_buffers(network: nn.Module) -> None:
    """Everyone takes the first process's running averages of batch normalisation."""
    if _together():
        for buffer in network.buffers():
            dist.broadcast(buffer, 0)


def require_shares(pictures: int, batch: int) -> None:
    """Raises a ValueError when a batch of a pass is too small for every process to have a part."""
    smallest = pictures % batch or batch
    if smallest < size():
        raise ValueError(
            f"{pictures} pictures in batches of {batch} leave {smallest} for the last, fewer than "
            f"the {size()} processes; another batch leaves more"
        )


def _together() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
