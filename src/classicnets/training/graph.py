"""A whole step as one CUDA graph, so that a small network does not wait for its launches."""

from collections.abc import Callable

import torch
from torch import Tensor

Update = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
WARM = 3  # steps as they are, which choose kernels and allocate what later ones reuse


class Graph:
    """What `update` does to a batch of this size, recorded once and then replayed.

    The first steps of each size of picture, and the last batch of a pass if it is smaller, go as
    they are. All that a step changes must lie where it lay before: weights, velocities, rates and
    running averages do, gradients have the recording's own place, and dropout draws anew each time,
    as the seed and position of torch's generator are read when a recording is replayed. Raises a
    ValueError for a step that cannot be recorded.
    """

    def __init__(self, update: Update, batch: int):
        self.update = update
        self.batch = batch
        self.steps = 0
        self.shape: torch.Size | None = None
        self.side: torch.cuda.Stream | None = None
        self.replay: Callable[[], None] | None = None

    def __call__(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        if len(x) != self.batch:
            return self.update(x, labels)
        if x.shape != self.shape:
            self.steps, self.shape = 0, x.shape
            self.replay = None  # its memory is free for the next one
        with torch.cuda.device_of(x):
            if self.steps < WARM:
                self.steps += 1
                return self._aside(x, labels)
            if self.replay is None:
                self.x, self.labels = x.clone(), labels.clone()
                self.replay, self.out = self._recorded()
            self.x.copy_(x)
            self.labels.copy_(labels)
            self.replay()
        loss, wrong = self.out
        return loss.clone(), wrong.clone()

    def record(self) -> tuple[Callable[[], None], tuple[Tensor, Tensor]]:
        """Notes the kernels without running them; what they give lies where it will lie again."""
        graph = torch.cuda.CUDAGraph()
        # other threads may pin pictures meanwhile, which a stricter mode forbids
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            out = self.update(self.x, self.labels)
        return graph.replay, out

    def _recorded(self) -> tuple[Callable[[], None], tuple[Tensor, Tensor]]:
        try:
            return self.record()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            told = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ValueError(
                f"a step of this network cannot be recorded as a CUDA graph ({told}); "
                "train it with --no-graph"
            ) from error

    def _aside(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """On another stream, as a recording is."""
        if not x.is_cuda:
            return self.update(x, labels)
        here = torch.cuda.current_stream()
        self.side = self.side or torch.cuda.Stream()
        self.side.wait_stream(here)
        with torch.cuda.stream(self.side):
            out = self.update(x, labels)
        here.wait_stream(self.side)
        return out
