"""The execution of a run: precision, memory layout, compilation, CUDA graphs, accumulation.

Results differ between two executions by rounding at most.
"""

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from classicnets.support.devices import free_memory, network_device, supports_bf16
from classicnets.support.errors import option
from classicnets.training.recipe.optimizers import SGD, Adam, as_spec

from . import distributed

TINY = 2**13  # elements in a batch; below, oneDNN takes longer to choose a kernel than to run it
LAUNCH_BOUND = 2**21  # below, a GPU finishes an operator before the next one is launched
WIDE = 32  # input maps of a convolution; with fewer, bf16 and channels_last gain nothing
LEGAL = {
    "precision": ("auto", "fp32", "bf16"),
    "layout": ("auto", "channels_first", "channels_last"),
}


@dataclass(frozen=True)
class Execution:
    """How steps are executed.

    `precision` is fp32, or bf16 for convolutions and fully connected layers, with weights, updates
    and losses in fp32. With `graph` each step, or each batch in inference, is replayed as one CUDA
    graph. A batch is processed in `accumulation_steps` parts whose gradients are added; batch
    normalisation then sees one part at a time. `resolve_execution` settles "auto", None and 0.

    Raises a ValueError for any other value.
    """

    precision: str = "auto"
    layout: str = "auto"
    compile: bool = False
    graph: bool | None = None
    accumulation_steps: int = 0

    def __post_init__(self):
        for name, legal in LEGAL.items():
            if (value := getattr(self, name)) not in legal:
                raise ValueError(f"{name} must be {', '.join(legal)}, not {value!r}")
        if self.graph not in (True, False, None):
            raise ValueError(f"graph must be True, False or None (automatic), not {self.graph!r}")
        steps = self.accumulation_steps
        if type(steps) is not int or steps < 0:
            raise ValueError(
                "accumulation_steps must be a whole number of at least 0 (0: automatic), "
                f"not {steps!r}"
            )

    def autocast(self, device: torch.device) -> AbstractContextManager:
        """Inside, torch computes in this precision."""
        return torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def to_layout(self, x: Tensor) -> Tensor:
        """A batch in this memory layout."""
        last = self.layout == "channels_last"
        return x.contiguous(memory_format=torch.channels_last) if last else x

    def wrap(self, network: nn.Module, device: torch.device, unused: bool = False) -> nn.Module:
        """The network laid out, compiled and wrapped in DDP as asked; it shares the weights.

        `unused` says that steps may leave out parameters.
        """
        if self.layout == "channels_last":
            network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        if self.compile:
            network = cast(nn.Module, torch.compile(network))
        return distributed.wrap_ddp(network, device, unused)

    def __str__(self) -> str:
        parts, graph = self.accumulation_steps, bool(self.graph)
        words = [self.precision, self.layout, *["compiled"] * self.compile]
        words += [f"gradients accumulated over {parts} parts of a batch"] * (parts > 1)
        return ", ".join(words + ["one CUDA graph per step"] * graph)

    def on(self, device: torch.device) -> "Execution":
        """The same on another device: without CUDA graphs where there are none."""
        return self if _has_graphs(device) else replace(self, graph=False)


def resolve_execution(
    execution: Execution,
    network: nn.Module,
    shape: tuple[int, int, int],
    batch: int,
    optimizer: object = None,
) -> tuple[Execution, str]:
    """What "auto" means for this network on its device, for images of `shape`; and why.

    `optimizer` is given where the network is to be trained.
    """
    device = network_device(network)
    wide = _is_wide(network)
    elements = batch * math.prod(shape)
    reasons = []
    if execution.precision == "auto":
        cpu = optimizer is not None and device.type == "cpu"
        precision, why = choose_precision(network, elements, cpu, supports_bf16(device))
        execution = replace(execution, precision=precision)
        reasons.append(f"{precision} ({why})")
    if execution.layout == "auto":
        layout = "channels_last" if wide else "channels_first"
        execution = replace(execution, layout=layout)
        reasons.append(layout)
    if execution.accumulation_steps == 0:
        from .memory import accumulation_steps  # noqa: PLC0415  # only a training counts memory

        free = free_memory(device)
        copies = as_spec(optimizer).copies
        steps, why = accumulation_steps(network, shape, batch, free, execution.precision, copies)
        execution = replace(execution, accumulation_steps=steps)
        reasons += [f"gradients accumulated over {steps} parts of a batch ({why})"] * (steps > 1)
    if execution.graph is None:
        graph = (
            execution.accumulation_steps == 1
            and elements < LAUNCH_BOUND
            and isinstance(optimizer, SGD | Adam | None)
            and _has_graphs(device)
            and not _depends_on_values(network, shape)
        )
        execution = replace(execution, graph=graph)
        reasons += ["one CUDA graph per step (small batches are launch-bound)"] * graph
    return execution, ", ".join(reasons)


def choose_precision(
    network: nn.Module, elements: int, training_on_cpu: bool, bf16: bool
) -> tuple[str, str]:
    """fp32 or bf16 for a batch of so many elements, and why; `bf16` is what the device supports."""
    if not _is_wide(network):
        return "fp32", "a small network"
    # without oneDNN a CPU is slow in bf16, above all in the backward pass
    if training_on_cpu and elements < TINY:
        return "fp32", "a small batch"
    return ("bf16", "supported by the hardware") if bf16 else ("fp32", "no bf16 hardware")


def _is_wide(network: nn.Module) -> bool:
    return any(p.ndim == 4 and p.shape[1] >= WIDE for p in network.parameters())


def require_graphs(device: torch.device) -> None:
    """Raises a ValueError where CUDA graphs cannot be recorded."""
    if device.type != "cuda":
        raise ValueError(f"a CUDA graph needs a CUDA device, not {device}")
    if distributed.world_size() > 1:
        raise ValueError(
            f"CUDA graphs need a single process; leave out {option('graph')} under torchrun"
        )


def _has_graphs(device: torch.device) -> bool:
    return device.type == "cuda" and distributed.world_size() == 1


def _depends_on_values(network: nn.Module, shape: tuple[int, int, int]) -> bool:
    """Whether the forward pass reads values of tensors, which a graph cannot record."""
    from classicnets.measure import measure  # noqa: PLC0415  # only a training records graphs

    try:
        measure(network, shape)
    except (ValueError, RuntimeError):
        return True
    return False
