"""Local response normalisation: ours beside torch's, and what it adds to a step of AlexNet."""

from functools import partial

import place
import torch
from harness import Bar, Contest, Cost, Ready, Work
from steps import classicnets_step
from torch import Tensor, nn

from classicnets.layers.lrn import LocalResponseNorm
from classicnets.measure import roofline

MOST = 8  # images that are compared
SHAPES = {"AlexNet norm1": (96, 55, 55), "AlexNet norm2": (256, 27, 27)}
LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}
MODULES = {
    "torch": lambda: nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0),  # divides alpha by 5
    "classicnets": LocalResponseNorm,
}


def both_ways(module: str, shape: tuple[int, ...], layout: str, precision: str = "fp32") -> Ready:
    torch.manual_seed(0)
    layer, kind = MODULES[module](), roofline.PRECISIONS[precision]
    laid = {"device": place.device, "dtype": kind, "memory_format": LAYOUTS[layout]}
    x = (30 * torch.randn(shape)).to(**laid).requires_grad_()
    g = torch.randn(shape).to(**laid)

    def once() -> Tensor:
        x.grad = None
        y = layer(x)
        y.backward(g)
        return y

    def output() -> Tensor:
        y = once().detach().float()[:MOST]
        assert x.grad is not None
        dx = x.grad.float()[:MOST]
        return torch.stack([y / y.abs().max(), dx / dx.abs().max()])

    return Ready(once, output, precision)


def cost(shape: tuple[int, ...], size: int = 4) -> Cost:
    """What must be moved: x is read and y written, then x and dy are read and dx written."""
    return [(0.0, 5.0 * size * torch.Size(shape).numel())]


def contests(quick: bool) -> tuple[Contest, ...]:
    batch = 2 if quick else 8
    layers = [
        Work(
            f"{layer}, {'x'.join(map(str, (batch, *shape)))}, {layout}",
            {name: partial(both_ways, name, (batch, *shape), layout) for name in MODULES},
            (Bar("classicnets", 4.0, "torch"),),
            partial(cost, (batch, *shape)),
        )
        for layer, shape in SHAPES.items()
        for layout in LAYOUTS
    ]
    batch = 2 if quick else 16
    step = Work(
        f"AlexNet, a step at batch {batch}",
        {
            "without": partial(classicnets_step, "alexnet", batch, without=LocalResponseNorm),
            "classicnets": partial(classicnets_step, "alexnet", batch),
        },
        (Bar("classicnets", 1 / 1.25, "without"),),
        differ="one network has the two layers and the other has not",
    )
    about = "Local response normalisation, forward and backward, fp32; and a step with and without"
    return (Contest("lrn", about, (*layers, step)),)
