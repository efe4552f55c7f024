"""Correctness of what the benchmarks time: on this device, compared with float64 on the CPU.

Networks are compared on four images. Gradients jump where rounding alone moves a ReLU or a maximum
to the other side; so they may be a few times as far from float64 as float32 on the CPU is.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import environment
import torch
from epochs import run_config
from lrn import SHAPES
from networks import our_network, random_batch
from torch import Tensor, nn

from classicnets import catalog
from classicnets.data.synthetic import shapes
from classicnets.layers import lrn
from classicnets.training.execution.execution import Execution, resolve_execution
from classicnets.training.execution.graph import WARMUP
from classicnets.training.execution.inference import Inference
from classicnets.training.recipe.loss import main_head
from classicnets.training.recipe.optimizers import SGD
from classicnets.training.run import loop

IMAGES = 4
FACTOR = 5  # times the error of float32 on the CPU is allowed
STEPS = 12
ALWAYS_ALLOWED = {"scores": 1e-5, "gradients": 5e-3}  # however small that error is
LRN = {"fp32": 2e-6, "bf16": 1e-2}  # relative to the largest value


@dataclass(frozen=True)
class Check:
    """A relative error and the largest one that is allowed."""

    name: str
    error: float
    allowed: float
    note: str = ""

    @property
    def passed(self) -> bool:
        return self.error <= self.allowed


def checks(names: Sequence[str], small: Sequence[str]) -> Iterator[Check]:
    """All checks; the networks in `small` are also trained for a few steps."""
    with environment.tf32(False):
        yield from normalisation()
        for name in names:
            yield from network(name)
            yield from inference(name)
        for name in small:
            yield from graph(name)


def normalisation() -> Iterator[Check]:
    """Outputs and gradients of the LRN layer, in both layouts and precisions."""
    layer = lrn.LocalResponseNorm()
    for name, shape in SHAPES.items():
        torch.manual_seed(0)
        x, g = 30 * torch.randn(2, *shape), torch.randn(2, *shape)
        for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
            exact = forward_backward(layer, x.to(dtype).double(), g.to(dtype).double())
            way = lrn._implementation(x.to(environment.device, dtype), layer.size)
            note = way.forward.__module__.rpartition(".")[2]
            for layout in (torch.contiguous_format, torch.channels_last):
                options = {"device": environment.device, "dtype": dtype, "memory_format": layout}
                found = forward_backward(layer, x.to(**options), g.to(**options))
                error = max(map(relative_error, found, exact))
                check = f"{name}, {precision}, {str(layout).removeprefix('torch.')}"
                yield Check(check, error, LRN[precision], note)


def forward_backward(layer: nn.Module, x: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    x = x.requires_grad_()
    y = layer(x)
    (gradient,) = torch.autograd.grad(y, x, g)
    return y.detach(), gradient


def network(name: str) -> Iterator[Check]:
    """Scores and gradients of a training step in float32, without dropout."""
    exact = step(name, torch.float64, torch.device("cpu"))
    on_cpu = step(name, torch.float32, torch.device("cpu"))
    here = step(name, torch.float32, environment.device)
    for part, distance in (
        ("scores", relative_error),
        ("gradients", partial(relative_error, norm=True)),
    ):
        error, usual = (distance(found[part], exact[part]) for found in (here, on_cpu))
        note = f"float32 on the CPU: {usual:.1e}"
        yield Check(f"{name}, {part}", error, max(ALWAYS_ALLOWED[part], FACTOR * usual), note)


def step(name: str, dtype: torch.dtype, device: torch.device) -> dict[str, Tensor]:
    network = our_network(name).to(device, dtype).train()
    for layer in network.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    x, labels = (t.to(device) for t in random_batch(name, IMAGES))
    scores = network(x.to(dtype))
    catalog.find(name).recipe.loss(scores, labels).backward()
    gradients = [p.grad.flatten() for p in network.parameters() if p.grad is not None]
    return {"scores": main_head(scores).detach(), "gradients": torch.cat(gradients)}


def inference(name: str) -> Iterator[Check]:
    x, _ = random_batch(name, IMAGES)
    network = our_network(name).eval()
    with torch.no_grad():
        exact = copy.deepcopy(network).double()(x.cpu().double())
    network.to(environment.device)
    for precision, allowed in (("fp32", 1e-4), ("bf16", 5e-2)):
        execution = Execution(precision, accumulation_steps=1)
        execution, _ = resolve_execution(execution, network, catalog.find(name).input, IMAGES)
        optimized = Inference(network, execution)
        # the last one is replayed from a CUDA graph where there is one
        scores = [optimized(x) for _ in range(WARMUP + 2)][-1]
        yield Check(f"{name}, Inference, {precision}", relative_error(scores, exact), allowed)


def graph(name: str) -> Iterator[Check]:
    """Training with augmentation and a smaller last batch, with and without CUDA graphs."""
    if not environment.on_gpu():
        return
    eager, graphed = (trained(name, graph) for graph in (False, True))
    error = relative_error(graphed, eager, norm=True)
    yield Check(f"{name}, {STEPS} steps as CUDA graphs, against eager steps", error, 1e-3)


def trained(name: str, graph: bool) -> Tensor:
    """Weights and running averages after `STEPS` steps in fp32."""
    entry = catalog.find(name)
    side = entry.input[-1]
    splits = shapes(130, side=side, channels=entry.input[0])  # five batches and a smaller one
    recipe = replace(entry.recipe, optimizer=SGD(0.9, 1e-4), batch=16, epochs=10**6, steps=None)
    recipe = replace(recipe, side=side, crop=side)
    network = catalog.build(name, classes=len(splits.classes)).to(environment.device)
    execution, _ = resolve_execution(
        Execution("fp32", graph=graph, accumulation_steps=1),
        network,
        entry.input,
        16,
        recipe.optimizer,
    )
    splits = splits.to(environment.device)
    config = run_config(name, recipe, splits, execution)
    loop.initialise(network, recipe, config.seed)
    for record in loop.train(loop.start(network, config), config, splits):
        if record.step == STEPS:
            break
    state = network.state_dict().values()
    return torch.cat([t.flatten().double() for t in state if t.is_floating_point()])


def relative_error(found: Tensor, exact: Tensor, norm: bool = False) -> float:
    """The largest difference relative to the largest value; with `norm`, of Euclidean norms."""
    found, exact = found.detach().cpu().double(), exact.detach().cpu().double()
    size: Callable[[Tensor], Tensor] = torch.linalg.norm if norm else lambda t: t.abs().max()
    return (size(found - exact) / size(exact)).item()


def table(found: Sequence[Check], machine: str) -> str:
    lines = [
        f"# Correctness on {machine}",
        "",
        "| check | error | allowed | | note |",
        "|---|--:|--:|---|---|",
        *(
            f"| {c.name} | {c.error:.1e} | {c.allowed:.1e} | {'' if c.passed else '**wrong**'} | "
            f"{c.note} |"
            for c in found
        ),
    ]
    return "\n".join(lines) + "\n"
