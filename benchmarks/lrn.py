"""Local response normalisation: ours and torch's, and what it adds to a step of AlexNet."""

from functools import partial

import environment
import torch
from harness import Benchmark, Case, Contender, Cost, Target
from steps import classicnets_step
from torch import Tensor, nn

from classicnets.layers.lrn import LocalResponseNorm
from classicnets.support.devices import DTYPES

COMPARED = 8  # images whose outputs are compared
SHAPES = {"AlexNet norm1": (96, 55, 55), "AlexNet norm2": (256, 27, 27)}
LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}
MODULES = {
    "torch": lambda: nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0),  # divides alpha by 5
    "classicnets": LocalResponseNorm,
}
WITHOUT = "without LRN"
NOT_COMPARED = "one network has the two LRN layers, the other has not"


def forward_backward(
    module: str, shape: tuple[int, ...], layout: str, precision: str = "fp32"
) -> Contender:
    torch.manual_seed(0)
    layer = MODULES[module]()
    options = {
        "device": environment.device,
        "dtype": DTYPES[precision],
        "memory_format": LAYOUTS[layout],
    }
    x = (30 * torch.randn(shape)).to(**options).requires_grad_()
    g = torch.randn(shape).to(**options)

    def run() -> Tensor:
        x.grad = None
        y = layer(x)
        y.backward(g)
        return y

    def output() -> Tensor:
        y = run().detach().float()[:COMPARED]
        assert x.grad is not None
        dx = x.grad.float()[:COMPARED]
        return torch.stack([y / y.abs().max(), dx / dx.abs().max()])

    return Contender(run, output, precision)


def traffic(shape: tuple[int, ...], size: int = 4) -> Cost:
    """Memory traffic: forward reads x and writes y; backward reads x and dy and writes dx."""
    return [(0.0, 5.0 * size * torch.Size(shape).numel())]


def benchmarks(quick: bool) -> tuple[Benchmark, ...]:
    batch = 2 if quick else 8
    layers = [
        Case(
            f"{layer}, {'x'.join(map(str, (batch, *shape)))}, {layout}",
            {name: partial(forward_backward, name, (batch, *shape), layout) for name in MODULES},
            (Target("classicnets", 4.0, "torch"),),
            partial(traffic, (batch, *shape)),
        )
        for layer, shape in list(SHAPES.items())[-1 if quick else 0 :]  # norm2, the smaller one
        for layout in LAYOUTS
    ]
    batch = 2 if quick else 16
    step = Case(
        f"AlexNet, training step, batch {batch}",
        {
            WITHOUT: partial(classicnets_step, "alexnet", batch, without=LocalResponseNorm),
            "classicnets": partial(classicnets_step, "alexnet", batch),
        },
        (Target("classicnets", 1 / 1.25, WITHOUT),),
        not_compared=NOT_COMPARED,
    )
    title = (
        "Local response normalisation, forward and backward, fp32; and a training step with and "
        "without it"
    )
    return (Benchmark("lrn", title, (*layers, step)),)
