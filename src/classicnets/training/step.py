"""How one step is executed. Precision, memory layout and compilation live here, nowhere else."""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from classicnets.measure import measure

from . import parallel
from .loss import Loss, main_head
from .optim import SGD

SMALL = 2**15  # numbers in a batch; below, threads wait for one another longer than they work
TINY = 2**13  # below, oneDNN takes longer to choose a convolution than plain code to do it
LAUNCHED = 2**21  # below, a GPU is done with an operator before the next one has been started
WIDE = 32  # maps read by a convolution; with fewer, half precision and channels last gain nothing
BYTES = {"fp32": 4, "bf16": 2}  # of a number that is kept for the way back
SPARE = 0.8  # of the free memory; operators need some of it for their own work
LEGAL = {
    "precision": ("auto", "fp32", "bf16"),
    "layout": ("auto", "channels_first", "channels_last"),
}


@dataclass(frozen=True)
class Execution:
    """How steps are executed: what changes time and memory, and results by rounding at most.

    `precision` is fp32, or bf16 for the arithmetic of convolutions and full layers with weights,
    updates and losses in fp32. With `graph` each step, or each batch in inference, is replayed as
    one CUDA graph. A batch goes through the network in `parts`, whose gradients are added; batch
    normalisation then sees a part at a time. "auto", None and 0 parts are for `settled`.
    """

    precision: str = "auto"
    layout: str = "auto"
    compile: bool = False
    graph: bool | None = None
    parts: int = 0

    def __post_init__(self):
        for name, legal in LEGAL.items():
            if (value := getattr(self, name)) not in legal:
                raise ValueError(f"{name} must be {', '.join(legal)}, not {value!r}")
        if self.graph not in (True, False, None):
            raise ValueError(
                f"graph must be True, False, or None for as needed, not {self.graph!r}"
            )
        if type(self.parts) is not int or self.parts < 0:
            raise ValueError(f"parts must be a whole number, 0 for as needed, not {self.parts!r}")

    def casting(self, device: torch.device) -> AbstractContextManager:
        """Inside, torch computes in this precision."""
        return torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def laid(self, x: Tensor) -> Tensor:
        """A batch in this memory layout."""
        last = self.layout == "channels_last"
        return x.contiguous(memory_format=torch.channels_last) if last else x

    def prepared(self, network: nn.Module, device: torch.device) -> nn.Module:
        """What is called in place of the network, and shares its weights."""
        if self.layout == "channels_last":
            network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        if self.compile:
            network = cast(nn.Module, torch.compile(network))
        return parallel.wrapped(network, device)


def settled(
    execution: Execution,
    network: nn.Module,
    shape: tuple[int, int, int],
    batch: int,
    rule: object = None,
) -> tuple[Execution, str]:
    """What "auto" means for this network, of images of `shape`, on its device; and why.

    `rule` is the update's, where the network is to be trained.
    """
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    wide = any(p.ndim == 4 and p.shape[1] >= WIDE for p in network.parameters())
    reasons = []
    if execution.precision == "auto":
        # without oneDNN a processor is slow in it, above all on the way back
        tiny = rule is not None and device.type == "cpu" and batch * math.prod(shape) < TINY
        if not wide:
            picked, why = "fp32", "a small network"
        elif tiny:
            picked, why = "fp32", "a small batch"
        elif native_bf16(device):
            picked, why = "bf16", "the processor has it"
        else:
            picked, why = "fp32", "as published"
        execution = replace(execution, precision=picked)
        reasons.append(f"{picked} ({why})")
    if execution.layout == "auto":
        layout = "channels_last" if wide else "channels_first"
        execution = replace(execution, layout=layout)
        reasons.append(layout)
    if execution.parts == 0:
        parts, why = _parts(network, shape, batch, free_bytes(device), execution.precision)
        execution = replace(execution, parts=parts)
        reasons += [f"each batch in {parts} parts ({why})"] * (parts > 1)
    if execution.graph is None:
        few = execution.parts == 1 and batch * math.prod(shape) < LAUNCHED
        graph = few and isinstance(rule, SGD | None) and _can_record(device)
        graph = graph and not _needs_values(network, shape)
        execution = replace(execution, graph=graph)
        reasons += ["each step one CUDA graph (small batches wait for launches)"] * graph
    return execution, ", ".join(reasons)


def step(
    called: nn.Module,
    optimizer: Optimizer,
    loss: Loss,
    x: Float32[Tensor, "n c h w"],
    labels: Int64[Tensor, " n"],
    execution: Execution,
    share: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """One update. Returns the mean loss and the number of wrong answers, still on the device.

    `share` weighs the gradients where these images are only a part of the batch.
    """
    for p in (p for group in optimizer.param_groups for p in group["params"]):
        p.grad = None  # zero_grad does more around it, which a small network feels
    losses, wrongs = [], []
    parts = list(zip(x.chunk(execution.parts), labels.chunk(execution.parts), strict=True))
    for i, (part, answers) in enumerate(parts, start=1):
        with _alone(called, i < len(parts)):
            with execution.casting(x.device):
                scores = called(execution.laid(part))
                value = loss(scores, answers).float()
            weight = len(part) / len(x)
            value.backward(torch.full_like(value, weight * share))
        losses.append(value.detach() * weight)
        wrongs.append((main_head(scores).argmax(1) != answers).sum())
    optimizer.step()
    return sum(losses[1:], losses[0]), sum(wrongs[1:], wrongs[0])


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """The rate of the next step, put where a recorded step reads it."""
    for group in optimizer.param_groups:
        if isinstance(held := group["lr"], Tensor):
            held.fill_(rate)
        else:
            group["lr"] = rate


def elsewhere(execution: Execution, device: torch.device) -> Execution:
    """How a run goes on here: without the recording of its steps where there is none."""
    return execution if _can_record(device) else replace(execution, graph=False)


def require_graph(device: torch.device, optimizer: Optimizer | None = None) -> None:
    """Raises a ValueError when a step, or inference without an update, cannot be recorded here."""
    if device.type != "cuda":
        raise ValueError(f"a CUDA graph needs a CUDA device, not {device}")
    if parallel.size() > 1:
        raise ValueError("a CUDA graph is for one process; leave --graph away under torchrun")
    if optimizer is None:
        return
    if not isinstance(optimizer, torch.optim.SGD):
        raise ValueError(
            f"a CUDA graph needs an update with its rate on the device, which "
            f"{type(optimizer).__name__} has not; leave --graph away"
        )
    for group in optimizer.param_groups:
        group["lr"] = torch.zeros((), device=device)


@contextmanager
def suited_to(numbers: int, often: bool = False) -> Iterator[None]:
    """Without threads, and without oneDNN, while batches are too small to gain from them.

    With shapes that come `often` it is worth while to try out on a GPU how they convolve fastest.
    """
    threads, onednn = torch.get_num_threads(), torch.backends.mkldnn.enabled
    tried = torch.backends.cudnn.benchmark
    torch.set_num_threads(1 if numbers < SMALL else threads)
    torch.backends.mkldnn.enabled = onednn and numbers >= TINY
    torch.backends.cudnn.benchmark = often or tried
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.backends.mkldnn.enabled = onednn
        torch.backends.cudnn.benchmark = tried


@contextmanager
def _alone(called: nn.Module, more: bool) -> Iterator[None]:
    """Gradients are exchanged between processes after the last part only."""
    if more and isinstance(called, DistributedDataParallel):
        with called.no_sync():
            yield
    else:
        yield


def _can_record(device: torch.device) -> bool:
    return device.type == "cuda" and parallel.size() == 1


def _needs_values(network: nn.Module, shape: tuple[int, int, int]) -> bool:
    """Whether a network looks at what it computes, of which a recording has nothing to show."""
    try:
        measure(network, shape)
    except ValueError:
        return True
    return False


def native_bf16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16 by itself, and does not only imitate it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    has = getattr(torch.cpu, "get_capabilities", dict)()
    return device.type == "cpu" and bool(has.get("avx512_bf16") or has.get("amx_bf16"))


def largest_batch(
    network: nn.Module, shape: tuple[int, int, int], free: float, precision: str = "fp32"
) -> float:
    """How many images of `shape` (c, h, w) a training step has room for in so many `free` bytes.

    In bf16 what is kept for the way back takes half as much. Infinitely many where that is not
    known: of a network that needs values, or of the memory.
    """
    try:
        one = measure(network, shape).step
    except ValueError:
        return math.inf
    if math.isinf(free) or not one.activations:
        return math.inf
    room = SPARE * free - (one.total - one.activations)
    return max(0.0, room // (one.activations * BYTES[precision] / 4))


def free_bytes(device: torch.device) -> float:
    """The memory that is free on a device; infinite where that is not known."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    table = Path("/proc/meminfo")
    if device.type != "cpu" or not table.exists():
        return math.inf
    rows = dict(line.split(":") for line in table.read_text().splitlines())
    return 1024.0 * int(rows["MemAvailable"].split()[0])


def _parts(
    network: nn.Module, shape: tuple[int, int, int], batch: int, free: float, precision: str
) -> tuple[int, str]:
    """The fewest parts whose memory is free; and the figures, where that is not one."""
    largest = largest_batch(network, shape, free, precision)
    if batch <= largest:
        return 1, ""
    whole = measure(network, shape, batch).step
    need = (whole.total - whole.activations * (1 - BYTES[precision] / 4)) / 2**30
    why = f"all at once {need:.1f} GiB, {free / 2**30:.1f} are free"
    why += f"; the largest batch that fits is {largest:.0f}" if largest else "; not one image fits"
    return min(batch, math.ceil(batch / max(largest, 1))), why
