"""Batches of crops and labels, read ahead by worker processes or threads where that helps."""

import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
from jaxtyping import Int64, UInt8
from torch import Generator, Tensor
from torch.utils.data import DataLoader, Dataset

from classicnets.support.machine import cpu_count

from .crops import Boxes
from .images import ImageFiles, Images, Indices
from .transfer import prefetch, to_device

PREFETCH = 4  # batches read ahead by each worker process, or by all threads together
MAX_WORKERS = 16

Request = tuple[Indices, Boxes]
Batch = tuple[UInt8[Tensor, "n c h w"], Int64[Tensor, " n"]]


def stream(
    images: Images | ImageFiles,
    requests: Iterable[Request],
    side: int,
    workers: int | None = None,
) -> Iterator[Batch]:
    """A batch for each request: the images at its indices, cropped to its boxes, and their labels.

    `workers` processes read files ahead. By default there is one per CPU when training on a GPU,
    and none on the CPU: there the computing threads read each batch when it is needed, which is
    faster than competing with workers. The batches do not depend on it. Raises a ValueError that
    names a file that cannot be read, and an OSError when a worker was killed.
    """
    if isinstance(images, ImageFiles):
        yield from prefetch(_by_processes(images, requests, side, workers), images.labels.device)
    elif images.memory_mapped:
        yield from _by_threads(images, requests, side)
    else:
        yield from (_read(images, request, side) for request in requests)


def _read(images: Images, request: Request, side: int) -> Batch:
    indices, boxes = request
    labels = images.labels[to_device(indices, images.labels.device)]
    return images.crop(indices, boxes, side), labels


def _by_threads(images: Images, requests: Iterable[Request], side: int) -> Iterator[Batch]:
    """Reads ahead in threads, which wait for the disk while the caller computes."""
    with ThreadPoolExecutor(PREFETCH) as threads:
        pending = deque()
        for request in requests:
            pending.append(threads.submit(_read, images, request, side))
            if len(pending) > PREFETCH:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _by_processes(
    files: ImageFiles, requests: Iterable[Request], side: int, workers: int | None
) -> Iterator[Batch]:
    """Batches on the CPU, in pinned memory if they go to a GPU."""
    default = min(cpu_count(), MAX_WORKERS) if files.labels.is_cuda else 0
    count = default if workers is None else workers
    loader = DataLoader(
        _Batches(files.to(torch.device("cpu")), side),
        batch_size=None,
        sampler=((i.cpu().numpy(), boxes.cpu().numpy()) for i, boxes in requests),
        num_workers=count,
        prefetch_factor=PREFETCH if count else None,
        collate_fn=_identity,
        pin_memory=files.labels.is_cuda,
        generator=Generator(),  # the loader draws a seed, which must not advance torch's generator
    )
    batches = _start(loader)
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            return
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise OSError(
                "a worker process that reads images was killed, perhaps for lack of memory; "
                "use fewer workers"
            ) from error
        if isinstance(batch, str):
            raise ValueError(batch)
        x, labels = batch
        yield x, labels


def _start(loader: DataLoader) -> Iterator:
    """The loader's iterator, which reports a killed worker only when a batch is asked for.

    torch's SIGCHLD handler would raise wherever the program happens to be, as in a training step.
    """
    sigchld = getattr(signal, "SIGCHLD", None)  # not on every platform
    handler = sigchld and signal.getsignal(sigchld)
    batches = iter(loader)
    if sigchld and handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(sigchld, handler)
    return batches


class _Batches(Dataset):
    """Request -> batch, or the reason why it cannot be read."""

    def __init__(self, files: ImageFiles, side: int) -> None:
        self.files, self.side = files, side

    def __getitem__(self, request):  # pyright: ignore[reportIncompatibleMethodOverride]
        indices, boxes = map(torch.from_numpy, request)
        try:
            return self.files.crop(indices, boxes, self.side), self.files.labels[indices]
        except ValueError as error:
            return str(error)  # an exception would arrive with the worker's traceback


def _identity(batch):
    return batch
