"""What a service has done, as Prometheus reads it."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds


class Figures:
    """Counts of requests and images, and how long the requests took."""

    def __init__(self) -> None:
        self.requests: Counter[int] = Counter()  # by status
        self.images = 0
        self.below = [0] * len(BOUNDS)
        self.seconds = 0.0

    def add(self, status: int, images: int, seconds: float) -> None:
        """Counts a request."""
        self.requests[status] += 1
        self.images += images
        self.seconds += seconds
        for k, bound in enumerate(BOUNDS):
            self.below[k] += seconds <= bound

    def text(self, waiting: int, batches: int) -> str:
        """All of it in Prometheus's text format, with the images that wait now."""
        return "".join(f"{line}\n" for line in self._lines(waiting, batches))

    def _lines(self, waiting: int, batches: int) -> Iterator[str]:
        yield from _head("requests_total", "counter", "Requests to /predict, by HTTP status.")
        for status, count in sorted(self.requests.items()):
            yield f'classicnets_requests_total{{status="{status}"}} {count}'
        yield from _head("request_seconds", "histogram", "Time from a request to its answer.")
        total = sum(self.requests.values())
        for bound, count in zip(BOUNDS, self.below, strict=True):
            yield f'classicnets_request_seconds_bucket{{le="{bound}"}} {count}'
        yield f'classicnets_request_seconds_bucket{{le="+Inf"}} {total}'
        yield f"classicnets_request_seconds_sum {self.seconds:.6f}"
        yield f"classicnets_request_seconds_count {total}"
        yield from _head("images_total", "counter", "Images predicted.")
        yield f"classicnets_images_total {self.images}"
        yield from _head("batches_total", "counter", "Batches that the network has predicted.")
        yield f"classicnets_batches_total {batches}"
        yield from _head("waiting_images", "gauge", "Images in the queue.")
        yield f"classicnets_waiting_images {waiting}"
        if memory := resident_bytes():
            yield from _head("resident_bytes", "gauge", "Memory of the process.")
            yield f"classicnets_resident_bytes {memory}"


def _head(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP classicnets_{name} {text}"
    yield f"# TYPE classicnets_{name} {kind}"


def resident_bytes() -> int:
    """The memory of this process; 0 where the system does not say."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0
