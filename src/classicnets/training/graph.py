"""Work as one CUDA graph, so that a small network does not wait for its launches."""

from collections.abc import Callable

import torch
from torch import Tensor

Work = Callable[..., tuple[Tensor, ...]]
Recording = tuple[Callable[[], None], tuple[Tensor, ...]]  # what replays it; where its results lie
WARM = 3  # calls as they are, which choose kernels and allocate what later ones reuse


class Graph:
    """What `work` does to tensors of the same shapes, recorded once and then replayed.

    The first calls go as they are, and so do those of other shapes, as of the last batch of a pass,
    until as many come one after another: then they are recorded in place of the former. All that
    the work changes must lie where it lay before: weights, velocities, rates and running averages
    do, gradients have the recording's own place, and dropout draws anew each time, as the seed and
    position of torch's generator are read when a recording is replayed. Python code in it, such as
    a hook, is not run again. Raises a ValueError for work that cannot be recorded.
    """

    def __init__(self, work: Work):
        self.work = work
        self.others = 0  # calls in a row that are not of the recorded shapes
        self.shapes: list[torch.Size] = []
        self.recorded: list[torch.Size] = []
        self.recording: Recording | None = None
        self.side: torch.cuda.Stream | None = None

    def __call__(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        shapes = [tensor.shape for tensor in tensors]
        with torch.cuda.device_of(tensors[0]):
            if self.recording is None or shapes != self.recorded:
                self.others = self.others + 1 if shapes == self.shapes else 1
                self.shapes = shapes
                if self.others > 1:  # they are here to stay, and need the memory of the former
                    self.recording = None
                if self.others <= WARM:
                    return self._aside(*tensors)
                with torch.inference_mode(False):  # or they could only be written to within it
                    self.given = [tensor.clone() for tensor in tensors]
                self.recording, self.recorded = self._recorded(), shapes
            self.others = 0
            replay, out = self.recording
            for held, tensor in zip(self.given, tensors, strict=True):
                held.copy_(tensor)
            replay()
            return tuple(tensor.clone() for tensor in out)

    def record(self) -> Recording:
        """Notes the kernels without running them; what they give lies where it will lie again."""
        graph = torch.cuda.CUDAGraph()
        # other threads may pin pictures meanwhile, which a stricter mode forbids
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            out = self.work(*self.given)
        return graph.replay, out

    def _recorded(self) -> Recording:
        try:
            return self.record()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            told = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ValueError(
                f"what this network does cannot be recorded as a CUDA graph ({told}); "
                "go without one, by --no-graph or Execution(graph=False)"
            ) from error

    def _aside(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """On another stream, as a recording is."""
        if not tensors[0].is_cuda:
            return self.work(*tensors)
        here = torch.cuda.current_stream()
        self.side = self.side or torch.cuda.Stream()
        self.side.wait_stream(here)
        with torch.cuda.stream(self.side):
            out = self.work(*tensors)
        here.wait_stream(self.side)
        return out
