"""A data set a batch at a time."""

import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Generator, Tensor
from torch.utils.data import DataLoader, Dataset

from .images import ImageFiles, Images
from .transfer import prefetch, to_device

AHEAD = 4  # batches that each worker, or all threads, prepare before they are asked for
MOST_WORKERS = 16


Request = tuple[Int64[Tensor, " m"], Float32[Tensor, "m 4"]]
Batch = tuple[UInt8[Tensor, "n c h w"], Int64[Tensor, " n"]]


def stream(
    images: Images | ImageFiles,
    requests: Iterable[Request],
    side: int,
    workers: int | None = None,
) -> Iterator[Batch]:
    """For each request, the pictures of these indices cut to these windows, and their labels.

    Files are read ahead by `workers` processes; if not given, by one for each processor where a GPU
    computes, and else by none: the threads that compute read each batch when it is asked for, which
    is faster than to compete with them. Nothing of what is read depends on it. Raises a ValueError
    that names the file which cannot be read, and an OSError when a process was ended from outside.
    """
    if isinstance(images, ImageFiles):
        yield from prefetch(_by_processes(images, requests, side, workers), images.labels.device)
    elif images.mapped:
        yield from _by_threads(images, requests, side)
    else:
        yield from (_one(images, request, side) for request in requests)


def _one(images: Images, request: Request, side: int) -> Batch:
    indices, windows = request
    labels = images.labels[to_device(indices, images.labels.device)]
    return images.cut(indices, windows, side), labels


def _by_threads(images: Images, requests: Iterable[Request], side: int) -> Iterator[Batch]:
    """The disk may have to be waited for; other threads do that while this one computes."""
    with ThreadPoolExecutor(AHEAD) as threads:
        begun = deque()
        for request in requests:
            begun.append(threads.submit(_one, images, request, side))
            if len(begun) > AHEAD:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()


def _by_processes(
    files: ImageFiles, requests: Iterable[Request], side: int, workers: int | None
) -> Iterator[Batch]:
    """Batches on the CPU; for a GPU in memory that it can fetch them from by itself."""
    usual = min(_processors(), MOST_WORKERS) if files.labels.is_cuda else 0
    count = usual if workers is None else workers
    loader = DataLoader(
        _Reader(files.to(torch.device("cpu")), side),
        batch_size=None,
        sampler=((i.cpu().numpy(), w.cpu().numpy()) for i, w in requests),
        num_workers=count,
        prefetch_factor=AHEAD if count else None,
        collate_fn=_as_it_is,
        pin_memory=files.labels.is_cuda,
        generator=Generator(),  # it draws a number for the workers, which must not be torch's next
    )
    read = _begun(loader)
    while True:
        try:
            batch = next(read)
        except StopIteration:
            return
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise OSError(
                "a process that reads pictures was ended from outside, perhaps for want of memory; "
                "fewer workers need less"
            ) from error
        if isinstance(batch, str):
            raise ValueError(batch)
        x, labels = batch
        yield x, labels


def _begun(loader: DataLoader) -> Iterator:
    """Its iterator, where a worker that has ended is told of when a batch is asked for.

    torch's handler of that signal raises wherever the program happens to be, a training step say.
    """
    ended = getattr(signal, "SIGCHLD", None)  # not everywhere
    handler = ended and signal.getsignal(ended)
    read = iter(loader)
    if ended and handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(ended, handler)
    return read


class _Reader(Dataset):
    """What a worker does: reads a batch, or says in a sentence why it cannot."""

    def __init__(self, files: ImageFiles, side: int) -> None:
        self.files, self.side = files, side

    def __getitem__(self, request):  # pyright: ignore[reportIncompatibleMethodOverride]
        indices, windows = map(torch.from_numpy, request)
        try:
            return self.files.cut(indices, windows, self.side), self.files.labels[indices]
        except ValueError as error:
            return str(error)  # an exception would come with the traceback of the worker


def _as_it_is(batch):
    return batch


def _processors() -> int:
    usable = getattr(os, "sched_getaffinity", None)  # not everywhere; knows of containers' limits
    return len(usable(0)) if usable else os.cpu_count() or 1
