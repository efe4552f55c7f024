"""Transfers to the device that do not wait for the work already queued there."""

from collections import deque
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

Pair = tuple[Tensor, Tensor]


def to_device(x: Tensor, device: torch.device) -> Tensor:
    """x on the device.

    Copies to a GPU go through pinned memory: a copy from pageable memory would block the program
    until the GPU has finished everything queued before it.
    """
    if device.type != "cuda" or x.device.type != "cpu":
        return x.to(device)
    return (x if x.is_pinned() else x.pin_memory()).to(device, non_blocking=True)


def prefetch(batches: Iterable[Pair], device: torch.device) -> Iterator[Pair]:
    """The batches on the device; each is copied while the one before it is in use."""
    if device.type != "cuda":
        yield from ((to_device(x, device), to_device(labels, device)) for x, labels in batches)
        return
    copy_stream = torch.cuda.Stream(device)
    in_flight: deque[tuple[Pair, torch.cuda.Event]] = deque()

    def oldest() -> Pair:
        """The oldest batch in flight; the compute stream waits for its copy."""
        batch, copied = in_flight.popleft()
        compute_stream = torch.cuda.current_stream(device)
        compute_stream.wait_event(copied)
        for x in batch:
            x.record_stream(compute_stream)  # else its memory could be reused too early
        return batch

    for x, labels in batches:
        with torch.cuda.stream(copy_stream):
            batch = to_device(x, device), to_device(labels, device)
            copied = torch.cuda.Event()
            copied.record(copy_stream)
        in_flight.append((batch, copied))
        if len(in_flight) > 1:
            yield oldest()
    while in_flight:
        yield oldest()
