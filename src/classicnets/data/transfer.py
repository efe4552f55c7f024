"""From the processor to the device without waiting for what that is doing."""

from collections import deque
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

Pair = tuple[Tensor, Tensor]


def to_device(x: Tensor, device: torch.device) -> Tensor:
    """x on the device.

    A GPU fetches by itself what lies in pinned memory; for anything else the program has to stand
    by until the GPU has done all that it was given before.
    """
    if device.type != "cuda" or x.device.type != "cpu":
        return x.to(device)
    return (x if x.is_pinned() else x.pin_memory()).to(device, non_blocking=True)


def prefetch(batches: Iterable[Pair], device: torch.device) -> Iterator[Pair]:
    """The batches on the device; the next one is under way while one is worked on."""
    if device.type != "cuda":
        yield from ((to_device(x, device), to_device(labels, device)) for x, labels in batches)
        return
    road = torch.cuda.Stream(device)  # beside the one on which the device computes
    under_way: deque[tuple[Pair, torch.cuda.Event]] = deque()

    def arrived() -> Pair:
        """The batch that went first; what the device is given from now on finds it there."""
        batch, there = under_way.popleft()
        here = torch.cuda.current_stream(device)
        here.wait_event(there)
        for x in batch:
            x.record_stream(here)  # so that its memory is not given away while it is worked on
        return batch

    for x, labels in batches:
        with torch.cuda.stream(road):
            arriving = to_device(x, device), to_device(labels, device)
            there = torch.cuda.Event()
            there.record(road)
        under_way.append((arriving, there))
        if len(under_way) > 1:
            yield arrived()
    while under_way:
        yield arrived()
