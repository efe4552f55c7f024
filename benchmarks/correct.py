"""Whether what the contests time is right: on a GPU, or wherever one looks, against float64.

Networks are compared at four pictures. Their gradients jump where a rectifier or a maximum changes
sides, which rounding alone can bring about; so they may be as far from float64 as those of float32
on the processor are, a few times over.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import place
import torch
from epochs import planned
from lrn import SHAPES
from networks import ours, pictures
from torch import Tensor, nn

from classicnets import catalog
from classicnets.data.images import Images, Splits
from classicnets.data.synthetic import shapes
from classicnets.layers import lrn
from classicnets.training.execution.graph import WARM
from classicnets.training.execution.inference import Inference
from classicnets.training.execution.step import Execution, resolve_execution
from classicnets.training.recipe.loss import main_head
from classicnets.training.recipe.optimizers import SGD
from classicnets.training.run import loop

PICTURES = 4
TIMES = 5  # as far from float64 as float32 on the processor
STEPS = 12
LEAST = {"scores": 1e-5, "gradients": 5e-3}  # that rounding is granted in any case
LRN = {"fp32": 2e-6, "bf16": 1e-2}  # of the largest value


@dataclass(frozen=True)
class Check:
    what: str
    far: float
    allowed: float
    remark: str = ""

    @property
    def right(self) -> bool:
        return self.far <= self.allowed


def checks(names: Sequence[str], small: Sequence[str]) -> Iterator[Check]:
    """All of them; `small` are networks of which a few steps are trained."""
    with place.tf32(False):
        yield from normalisation()
        for name in names:
            yield from network(name)
            yield from inference(name)
        for name in small:
            yield from recorded(name)


def normalisation() -> Iterator[Check]:
    """The layer's values and gradients, in both layouts and precisions."""
    layer = lrn.LocalResponseNorm()
    for name, shape in SHAPES.items():
        torch.manual_seed(0)
        x, g = 30 * torch.randn(2, *shape), torch.randn(2, *shape)
        for precision, kind in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
            wanted = both_ways(layer, x.to(kind).double(), g.to(kind).double())
            way = lrn._implementation(x.to(place.device, kind), layer.size)
            remark = way.forward.__module__.rpartition(".")[2]
            for layout in (torch.contiguous_format, torch.channels_last):
                laid = {"device": place.device, "dtype": kind, "memory_format": layout}
                found = both_ways(layer, x.to(**laid), g.to(**laid))
                far = max(map(apart, found, wanted))
                what = f"{name}, {precision}, {str(layout).removeprefix('torch.')}"
                yield Check(what, far, LRN[precision], remark)


def both_ways(layer: nn.Module, x: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    x = x.requires_grad_()
    y = layer(x)
    (slope,) = torch.autograd.grad(y, x, g)
    return y.detach(), slope


def network(name: str) -> Iterator[Check]:
    """Scores and gradients of a training step in float32, without dropout."""
    exact = step(name, torch.float64, torch.device("cpu"))
    short = step(name, torch.float32, torch.device("cpu"))
    found = step(name, torch.float32, place.device)
    for what, distance in (("scores", apart), ("gradients", partial(apart, norm=True))):
        far, usual = (distance(side[what], exact[what]) for side in (found, short))
        remark = f"float32 on the processor: {usual:.1e}"
        yield Check(f"{name}, {what}", far, max(LEAST[what], TIMES * usual), remark)


def step(name: str, kind: torch.dtype, device: torch.device) -> dict[str, Tensor]:
    network = ours(name).to(device, kind).train()
    for layer in network.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    x, labels = (t.to(device) for t in pictures(name, PICTURES))
    scores = network(x.to(kind))
    catalog.find(name).recipe.loss(scores, labels).backward()
    slopes = [p.grad.flatten() for p in network.parameters() if p.grad is not None]
    return {"scores": main_head(scores).detach(), "gradients": torch.cat(slopes)}


def inference(name: str) -> Iterator[Check]:
    x, _ = pictures(name, PICTURES)
    network = ours(name).eval()
    with torch.no_grad():
        exact = copy.deepcopy(network).double()(x.cpu().double())
    network.to(place.device)
    for precision, allowed in (("fp32", 1e-4), ("bf16", 5e-2)):
        wanted = Execution(precision, accumulation_steps=1)
        execution, _ = resolve_execution(wanted, network, catalog.find(name).input, PICTURES)
        ready = Inference(network, execution)
        found = [ready(x) for _ in range(WARM + 2)][-1]  # of a recording where there is one
        yield Check(f"{name}, Inference, {precision}", apart(found, exact), allowed)


def recorded(name: str) -> Iterator[Check]:
    """A few steps with augmentation and a smaller last batch, recorded and one by one."""
    if not place.on_gpu():
        return
    alone, together = (trained(name, graph) for graph in (False, True))
    far = apart(together, alone, norm=True)
    yield Check(f"{name}, {STEPS} recorded steps and as many one by one", far, 1e-3)


def trained(name: str, graph: bool) -> Tensor:
    """The weights and running figures after these steps, fp32."""
    entry = catalog.find(name)
    side = entry.input[-1]
    splits = shapes(130, side=side, channels=entry.input[0])  # five batches and a smaller one
    recipe = replace(entry.recipe, optimizer=SGD(0.9, 1e-4), batch=16, epochs=10**6, steps=None)
    recipe = replace(recipe, side=side, crop=side)
    network = catalog.build(name, classes=len(splits.classes)).to(place.device)
    execution, _ = resolve_execution(
        Execution("fp32", graph=graph, accumulation_steps=1),
        network,
        entry.input,
        16,
        recipe.optimizer,
    )
    plan = planned(recipe, there(splits), execution)
    steps = loop.train(loop.start(network, plan), plan)
    for record in steps:
        if record.step == STEPS:
            break
    state = network.state_dict().values()
    return torch.cat([t.flatten().double() for t in state if t.is_floating_point()])


def there(splits: Splits) -> Splits:
    def moved(part: object) -> Images:
        assert isinstance(part, Images)
        return part.to(place.device)

    parts = {name: moved(getattr(splits, name)) for name in ("train", "validation", "test")}
    return replace(splits, **parts)


def apart(found: Tensor, wanted: Tensor, norm: bool = False) -> float:
    """The largest difference as a share of the largest value, or the same of the lengths."""
    found, wanted = found.detach().cpu().double(), wanted.detach().cpu().double()
    length: Callable[[Tensor], Tensor] = torch.linalg.norm if norm else lambda t: t.abs().max()
    return (length(found - wanted) / length(wanted)).item()


def table(found: Sequence[Check], where: str) -> str:
    lines = [
        f"# Is it right? {where}",
        "",
        "| what | far | allowed | | |",
        "|---|--:|--:|---|---|",
        *(
            f"| {c.what} | {c.far:.1e} | {c.allowed:.1e} | {'' if c.right else '**wrong**'} | "
            f"{c.remark} |"
            for c in found
        ),
    ]
    return "\n".join(lines) + "\n"
