"""Data-parallel training by several processes, on one machine or many, started by torchrun.

Each process takes its shard of every batch and of all that is evaluated; rank 0 alone writes.
"""

import os
from inspect import signature
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")
# torch 2.13 renamed it
SYNC_BUFFERS = next(
    name
    for name in ("forward_sync_buffers", "broadcast_buffers")
    if name in signature(DistributedDataParallel).parameters
)


def init(device: torch.device) -> torch.device:
    """Joins the process group that torchrun has started, and returns this process's device.

    Does nothing in a single process.
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
    """The rank of this process; the first is 0."""
    return dist.get_rank() if _is_distributed() else 0


def world_size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if _is_distributed() else 1


def shard(whole: Tensor) -> Tensor:
    """This process's rows: none is in two shards, and none is left out."""
    return whole[rank() :: world_size()]


def all_reduce(x: Tensor) -> Tensor:
    """The sum over all processes, in place."""
    if _is_distributed():
        dist.all_reduce(x)
    return x


def broadcast(value: T) -> T:
    """The value of rank 0, on every process."""
    if not _is_distributed():
        return value
    held = [value]
    dist.broadcast_object_list(held)
    return held[0]


def wrap_ddp(network: nn.Module, device: torch.device) -> nn.Module:
    """The network in DistributedDataParallel, which averages gradients over all processes."""
    if not _is_distributed():
        return network
    options: dict[str, Any] = {SYNC_BUFFERS: False}
    if device.type == "cuda":
        options["device_ids"] = [device]
    return DistributedDataParallel(network, **options)


def broadcast_buffers(network: nn.Module) -> None:
    """Gives every process rank 0's running averages of batch normalisation."""
    if _is_distributed():
        for buffer in network.buffers():
            dist.broadcast(buffer, 0)


def require_full_batches(images: int, batch: int) -> None:
    """Raises a ValueError when the last batch of an epoch has too few images for every process."""
    last = images % batch or batch
    if last < world_size():
        raise ValueError(
            f"{images} images in batches of {batch} leave {last} for the last batch, fewer than "
            f"the {world_size()} processes; choose another batch size"
        )


def _is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
