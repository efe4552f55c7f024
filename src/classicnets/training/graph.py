"""A whole step as one CUDA graph, so that a small network does not wait for its launches."""

from collections.abc import Callable

import torch
from torch import Tensor

Update = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
WARM = 3  # steps as they are, which choose kernels and allocate what later ones reuse


class Graph:
    """What `update` does to a batch of this size, recorded once and then replayed.

    The first steps of each size of picture, and the last batch of a pass if it is smaller, go as
    they are.
    """

    def __init__(self, update: Update, batch: int):
        self.update = update
        self.batch = batch
        self.steps = 0
        self.shape: torch.Size | None = None

    def __call__(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        if len(x) != self.batch:
            return self.update(x, labels)
        if x.shape != self.shape:
            self.steps, self.shape = 0, x.shape
        self.steps += 1
        if self.steps <= WARM:
            return self._aside(x, labels)
        if self.steps == WARM + 1:
            self.x, self.labels = x.clone(), labels.clone()
            self.replay, self.out = self.record()
        self.x.copy_(x)
        self.labels.copy_(labels)
        self.replay()
        loss, wrong = self.out
        return loss.clone(), wrong.clone()

    def record(self) -> tuple[Callable[[], None], tuple[Tensor, Tensor]]:
        """Notes the kernels without running them; what they give lies where it will lie again."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            out = self.update(self.x, self.labels)
        return graph.replay, out

    def _aside(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """On another stream, as a recording is."""
        if not x.is_cuda:
            return self.update(x, labels)
        side, here = torch.cuda.Stream(), torch.cuda.current_stream()
        side.wait_stream(here)
        with torch.cuda.stream(side):
            out = self.update(x, labels)
        here.wait_stream(side)
        return out
