"""Local response normalisation: ours beside torch's, forward and backward, on the processor.

    python benchmarks/lrn.py            prints a Markdown table and writes benchmarks/results/lrn.md

Both sides run in one process, in turn, nine rounds after two to warm up; medians and their ratio.
Equal results are checked before anything is timed.
"""

import platform
import statistics
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from classicnets.layers.lrn import LocalResponseNorm

SHAPES = {"AlexNet norm1": (8, 96, 55, 55), "AlexNet norm2": (8, 256, 27, 27)}
LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}
ROUNDS, WARM_UP = 9, 2

CONTESTANTS = {
    "torch": nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0),  # torch divides alpha by 5
    "classicnets": LocalResponseNorm(),
}


def once(module: nn.Module, x: Tensor, g: Tensor) -> float:
    x.grad = None
    began = time.perf_counter()
    module(x).backward(g)
    return time.perf_counter() - began


def row(layer: str, shape: tuple[int, ...], layout: str) -> str:
    memory_format = LAYOUTS[layout]
    x = (30 * torch.randn(shape)).to(memory_format=memory_format).requires_grad_()
    g = torch.randn(shape).to(memory_format=memory_format)
    outputs, gradients = [], []
    for module in CONTESTANTS.values():
        once(module, x, g)
        assert x.grad is not None
        outputs.append(module(x).detach())
        gradients.append(x.grad)
    torch.testing.assert_close(*outputs, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-5)
    times: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    for _ in range(WARM_UP + ROUNDS):
        for name, module in CONTESTANTS.items():
            times[name].append(once(module, x, g))
    theirs, ours = (1e3 * statistics.median(t[WARM_UP:]) for t in times.values())
    size = "x".join(map(str, shape))
    return f"| {layer} | {size} | {layout} | {theirs:.1f} | {ours:.1f} | {theirs / ours:.1f} |"


def main() -> None:
    torch.manual_seed(0)
    machine = f"{torch.get_num_threads()} threads of {processor()}"
    lines = [
        f"Forward and backward, float32, {machine}, torch {torch.__version__}, "
        f"Python {platform.python_version()}, medians of {ROUNDS} rounds "
        "(`python benchmarks/lrn.py`).",
        "",
        "| layer | shape | layout | torch, ms | classicnets, ms | ratio |",
        "|---|---|---|---:|---:|---:|",
        *(row(layer, shape, layout) for layer, shape in SHAPES.items() for layout in LAYOUTS),
    ]
    report = "\n".join(lines) + "\n"
    print(report)
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "lrn.md").write_text(report)


def processor() -> str:
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    names = [line.partition(": ")[2] for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.processor()


main()
