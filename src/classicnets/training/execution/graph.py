"""CUDA graphs: work recorded once and replayed, so that a small network is not launch-bound."""

from collections.abc import Callable

import torch
from torch import Tensor

Work = Callable[..., tuple[Tensor, ...]]
Recording = tuple[Callable[[], None], tuple[Tensor, ...]]  # how to replay it; its static outputs
WARMUP = 3  # eager calls, which choose kernels and allocate what later ones reuse


class GraphedCallable:
    """`work` on tensors of fixed shapes, recorded as a CUDA graph and then replayed.

    The first calls are eager, and so are those of other shapes, as for the last batch of an epoch,
    until enough of them come in a row: then they replace the recorded ones. All that the work
    changes must stay at its address: weights, momentum, learning rates and running averages do,
    gradients live in the recording's own pool, and dropout draws anew each time since the generator
    state is read at replay. Python code inside, such as a hook, does not run again. Raises a
    ValueError for work that cannot be recorded.
    """

    def __init__(self, work: Work):
        self.work = work
        self.repeats = 0  # calls in a row of the same shapes that are not recorded
        self.shapes: list[torch.Size] = []
        self.recorded_shapes: list[torch.Size] = []
        self.recording: Recording | None = None
        self.side_stream: torch.cuda.Stream | None = None

    def __call__(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        shapes = [tensor.shape for tensor in tensors]
        with torch.cuda.device_of(tensors[0]):
            if self.recording is None or shapes != self.recorded_shapes:
                self.repeats = self.repeats + 1 if shapes == self.shapes else 1
                self.shapes = shapes
                if self.repeats > 1:  # these shapes recur and need the memory of the former
                    self.recording = None
                if self.repeats <= WARMUP:
                    return self._eager(*tensors)
                with torch.inference_mode(False):  # or they could only be written to within it
                    self.static_inputs = [tensor.clone() for tensor in tensors]
                self.recording, self.recorded_shapes = self._recorded(), shapes
            self.repeats = 0
            replay, out = self.recording
            for held, tensor in zip(self.static_inputs, tensors, strict=True):
                held.copy_(tensor)
            replay()
            return tuple(tensor.clone() for tensor in out)

    def forget(self) -> None:
        """Drops the recording: the work has changed."""
        self.recording, self.repeats = None, 0

    def record(self) -> Recording:
        """Records the kernels without running them."""
        graph = torch.cuda.CUDAGraph()
        # other threads may pin images meanwhile, which a stricter mode forbids
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            out = self.work(*self.static_inputs)
        return graph.replay, out

    def _recorded(self) -> Recording:
        try:
            return self.record()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise ValueError(
                f"this network cannot be recorded as a CUDA graph ({reason}); "
                "use --no-graph or Execution(graph=False)"
            ) from error

    def _eager(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """On a side stream, as a recording is."""
        if not tensors[0].is_cuda:
            return self.work(*tensors)
        current = torch.cuda.current_stream()
        self.side_stream = self.side_stream or torch.cuda.Stream()
        self.side_stream.wait_stream(current)
        with torch.cuda.stream(self.side_stream):
            out = self.work(*tensors)
        current.wait_stream(self.side_stream)
        return out
