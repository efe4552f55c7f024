"""Data-parallel training by several processes, on one machine or many, started by torchrun.

Each process takes its shard of every batch and of all that is evaluated; rank 0 alone writes.
"""

import itertools
import os
import pickle
from inspect import signature
from time import monotonic, sleep
from typing import Any, TypeVar
from uuid import uuid4

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")
POLL = 0.002  # seconds
_ROUND = itertools.count()  # of the values broadcast
# torch 2.13 renamed it
SYNC_BUFFERS = next(
    name
    for name in ("forward_sync_buffers", "broadcast_buffers")
    if name in signature(DistributedDataParallel).parameters
)


def init(device: torch.device, what: str) -> torch.device:
    """Joins the process group that torchrun has started, and returns this process's device.

    Does nothing in a single process. Raises a ValueError in all where one is to do something else
    than `what` the first does.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        store, number, count = next(dist.rendezvous("env://"))  # pyright: ignore[reportPrivateImportUsage]
        try:
            name = _agree(store, number, count)
        except RuntimeError:  # as the store's
            raise OSError(f"not all {count} processes have come") from None
        store = dist.PrefixStore(name, store)  # pyright: ignore[reportPrivateImportUsage]
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=store, rank=number, world_size=count)
    require_same("what to do", what)
    return device


def _agree(store: Any, number: int, count: int) -> str:
    """A name for this start of the processes, which no earlier start has had.

    torchrun may keep its store when it restarts them, with addresses of processes that are gone,
    and each machine counts restarts of its own. So the first process draws the name, and tells it
    to each other one that asks under a name of its own, until that has heard it.
    """
    name, deadline = uuid4().hex, monotonic() + store.timeout.total_seconds()
    if number:
        store.set(f"asking {number}", name)
        name = store.get(f"answer to {name}").decode()
        store.set(f"{number} knows {name}", "")
    for other in range(1, 1 if number else count):
        while not store.check([f"{other} knows {name}"]):
            if monotonic() > deadline:
                raise RuntimeError
            store.set(f"answer to {store.get(f'asking {other}').decode()}", name)
            sleep(POLL)
    return name


def require_same(about: str, value: object) -> None:
    """Raises a ValueError in all processes where one has another value than the first."""
    if not _is_distributed():
        return
    store, key = _store(), f"value {next(_ROUND)}"
    store.set(f"{key} of {rank()}", str(value))
    differs = ""
    if rank() == 0:
        found = [store.get(f"{key} of {k}").decode() for k in range(world_size())]
        other = next((k for k, one in enumerate(found) if one != found[0]), 0)
        if other:
            differs = (
                f"the processes differ in {about}: {found[0]} in process 0, {found[other]} in "
                f"process {other}; all machines need the same command, data and run directory"
            )
    if differs := broadcast(differs):
        raise ValueError(differs)


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
    """The value of rank 0, on every process.

    It goes through the store: a thread of gloo may still hold the last tensor it has sent when the
    interpreter ends, and then takes the process down.
    """
    if not _is_distributed():
        return value
    store, key = _store(), f"value {next(_ROUND)}"
    if rank() == 0:
        store.set(key, pickle.dumps(value))
        store.get(f"{key} has come")  # the store may end with this process
        return value
    value = pickle.loads(store.get(key))  # by rank 0 of this training
    if store.add(f"{key} has come to", 1) == world_size() - 1:
        store.set(f"{key} has come", "")
    return value


def wrap_ddp(network: nn.Module, device: torch.device, unused: bool) -> nn.Module:
    """The network in DistributedDataParallel, which averages gradients over all processes.

    With `unused` each step looks for the parameters that it leaves out, which takes some time.
    """
    if not _is_distributed():
        return network
    options: dict[str, Any] = {SYNC_BUFFERS: False, "find_unused_parameters": unused}
    if device.type == "cuda":
        options["device_ids"] = [device]
    return DistributedDataParallel(network, **options)


def broadcast_buffers(network: nn.Module) -> None:
    """Gives every process rank 0's running averages of batch normalisation."""
    if _is_distributed():
        for buffer in network.buffers():
            dist.broadcast(buffer, 0)


def is_first_to_fail() -> bool:
    """Whether no other process has called this before: the others fail because this one has gone.

    Without a process group, rank 0 is the first.
    """
    if not dist.is_available() or not dist.is_initialized():
        return os.environ.get("RANK", "0") == "0"
    try:
        return _store().add("failures", 1) == 1
    except RuntimeError:  # the process that holds the store has gone as well
        return False


def _is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _store() -> Any:
    """What all processes read and write: texts by key, which is waited for."""
    return dist.distributed_c10d._get_default_store()  # pyright: ignore[reportAttributeAccessIssue]
