"""Training steps, the update alone, and the memory of a step."""

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import place
import torch
from harness import Bar, Contest, Cost, Make, NotHere, Ready, Work, peer
from networks import ours, pictures, plain, poured, stride_first, training_cost
from torch import Tensor, nn
from torch.nn import functional as F

from classicnets import catalog
from classicnets.training.execution.step import (
    Execution,
    backends_for,
    resolve_execution,
    set_lr,
    step,
)
from classicnets.training.recipe.optimizers import SGD

MOMENTUM, DECAY = 0.9, 5e-4
RATE = 1e-6  # a large first step makes much of rounding; and the pictures are always the same
OTHERS = ("alexnet", "vgg_a", "googlenet", "zfnet")
MODES = {"compiled": "default", "max-autotune": "max-autotune"}


def classicnets_step(
    name: str,
    batch: int,
    execution: Execution = Execution(),  # noqa: B008
    without: type[nn.Module] | None = None,
) -> Ready:
    """A step as `classicnets train` executes it, `without` a kind of layer if one is given."""
    network = ours(name).to(place.device).train()
    for stage, layer in list(network.named_children()):
        if without is not None and isinstance(layer, without):
            setattr(network, stage, nn.Identity())
    x, labels = pictures(name, batch)
    entry = catalog.find(name)
    execution, _ = resolve_execution(execution, network, entry.input, batch)
    called = execution.wrap(network, x.device)
    optimizer = SGD(MOMENTUM, DECAY).build(network)
    set_lr(optimizer, RATE)
    loss = entry.recipe.loss

    def once() -> Tensor:
        with backends_for(x.numel(), True):
            return step(called, optimizer, loss, x, labels, execution)[0]

    precision = execution.precision if execution.precision == "bf16" else place.full()
    return Ready(once, partial(two_losses, network, once), precision)


def cross_entropy(scores: Tensor | tuple[Tensor, ...], labels: Tensor) -> Tensor:
    """Of all heads, the auxiliary ones by 0.3 (Szegedy et al., section 5)."""
    if isinstance(scores, Tensor):
        return F.cross_entropy(scores, labels)
    main, *others = (F.cross_entropy(head, labels) for head in scores)
    return main + 0.3 * sum(others)


def eager_step(
    name: str,
    batch: int,
    build: Callable[[nn.Module], nn.Module],
    setting: str = "default",
    loss: Callable[..., Tensor] = cross_entropy,
) -> Ready:
    """The loop that people copy; `setting` is "default" (fp32, NCHW), "AMP" or how it is compiled.

    AMP is bfloat16 by autocast with channels last and torch's fused update, the best that the same
    network has without being rewritten; "compiled" and "max-autotune" are that by torch.compile.
    """
    network = build(ours(name)).to(place.device).train()
    x, labels = pictures(name, batch)
    optimizer = torch.optim.SGD(
        network.parameters(), RATE, MOMENTUM, weight_decay=DECAY, fused=setting != "default"
    )
    called, x = set_up(network, x, setting)

    def once() -> Tensor:
        optimizer.zero_grad()
        with torch.autocast(place.device.type, torch.bfloat16, enabled=setting != "default"):
            value = loss(called(x), labels)
        value.backward()
        optimizer.step()
        return value

    precision = place.full() if setting == "default" else "bf16"
    return Ready(once, partial(two_losses, network, once), precision)


def set_up(network: nn.Module, x: Tensor, setting: str) -> tuple[nn.Module, Tensor]:
    """A network and its pictures in a setting; where compiling is not possible, that is said."""
    if setting == "default":
        return network, x
    torch.backends.cudnn.benchmark = True  # as the zoo's own scripts have it
    network = network.to(memory_format=torch.channels_last)
    if setting in MODES:
        if not place.on_gpu() and not shutil.which(os.environ.get("CXX", "g++")):
            raise NotHere("torch.compile: no C++ compiler")
        network = torch.compile(network, mode=MODES[setting])
    return network, x.contiguous(memory_format=torch.channels_last)


def two_losses(network: nn.Module, once: Callable[[], Tensor]) -> list[float]:
    """Before and after an update, without what is drawn by chance."""
    drops = [m for m in network.modules() if isinstance(m, nn.Dropout)]
    kept = [drop.p for drop in drops]
    for drop in drops:
        drop.p = 0.0
    losses = [once().item(), once().item()]
    for drop, p in zip(drops, kept, strict=True):
        drop.p = p
    return losses


def torchvision(name: str, network: nn.Module) -> nn.Module:
    """Its network of this name, made the published one where it is another."""
    models = peer("torchvision.models")
    return poured(network, stride_first(getattr(models, ZOO[name])(weights=None)))


def timm(name: str, network: nn.Module) -> nn.Module:
    models = peer("timm")
    return poured(network, stride_first(models.create_model(ZOO[name])))


ZOO = {name: name for name in ("resnet18", "resnet50", "resnet152")} | {"vgg_d": "vgg16"}


def zoo_steps(name: str, batch: int, settings: tuple[str, ...]) -> dict[str, Make]:
    return {
        f"{zoo.__name__}, {setting}": partial(eager_step, name, batch, partial(zoo, name), setting)
        for zoo in (torchvision, timm)
        for setting in settings
    }


def update(build: Callable[[list[nn.Parameter]], torch.optim.Optimizer] | None) -> Ready:
    """One update of VGG D, whose gradients lie ready; without `build` it is the package's."""
    network = ours("vgg_d").to(place.device)
    if build is None:
        optimizer = SGD(MOMENTUM, DECAY).build(network)
        set_lr(optimizer, 0.01)
    else:
        optimizer = build(list(network.parameters()))
    torch.manual_seed(2)
    for p in network.parameters():
        p.grad = torch.randn(p.shape).to(p.device)

    def output() -> Tensor:
        before = sampled()
        optimizer.step()
        optimizer.step()
        return sampled() - before

    def sampled() -> Tensor:
        return torch.cat([p.detach().flatten()[:100].clone() for p in network.parameters()])

    return Ready(optimizer.step, output)


def stock(foreach: bool | None, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, 0.01, MOMENTUM, weight_decay=DECAY, foreach=foreach)


def update_cost() -> Cost:
    """Weight, gradient and velocity are read, weight and velocity written, four bytes each."""
    return [(0.0, 20.0 * catalog.find("vgg_d").params)]


def peak(make: Make) -> Ready:
    """The same step, by the most memory that its process held during it; on a GPU its tensors."""
    ready = make()

    def once() -> int:
        if place.on_gpu():
            torch.cuda.reset_peak_memory_stats()
            ready.once()
            return torch.cuda.max_memory_allocated()
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        ready.once()
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.partition("VmHWM:")[2].split()[0])

    return Ready(once, ready.output, ready.precision)


def contests(quick: bool) -> tuple[Contest, ...]:
    batch = 2 if quick else 16
    settings = ("default", "AMP") if quick else ("default", "AMP", "compiled")
    default, amp, plainly = "torchvision, default", "torchvision, AMP", "plain torch, default"
    stock_update = "torch.optim.SGD, default"
    steps = [residual(batch, settings, default, plainly)]
    steps += [other(name, batch, plainly) for name in OTHERS]
    updates: dict[str, Make] = {
        stock_update: partial(update, partial(stock, None)),
        "torch.optim.SGD, foreach": partial(update, partial(stock, True)),
        "classicnets": partial(update, None),
    }
    memory: dict[str, Make] = {
        **zoo_steps("resnet50", batch, ("default", "AMP")),
        "classicnets, fp32": partial(classicnets_step, "resnet50", batch, Execution("fp32")),
        "classicnets": partial(classicnets_step, "resnet50", batch),
    }
    peaks = {name: partial(peak, make) for name, make in memory.items()}
    limits = (Bar("classicnets, fp32", 1.0, default), Bar("classicnets", 1.0, amp))
    of_vgg = Work("vgg_d", updates, (Bar("classicnets", 5.0, stock_update),), update_cost)
    of_resnet = Work(f"resnet50, batch {batch}", peaks, limits)
    about_memory = "The most memory that a training step of ResNet-50 holds, the whole process"
    return (
        Contest("steps", "A training step: forward, backward, update; 224 pixels", tuple(steps)),
        Contest("update", "The update alone: SGD with momentum and decay of VGG D", (of_vgg,)),
        Contest("memory", about_memory, (of_resnet,), unit="bytes"),
    )


def residual(batch: int, settings: tuple[str, ...], default: str, plainly: str) -> Work:
    sides = {
        **zoo_steps("resnet18", batch, settings),
        plainly: partial(eager_step, "resnet18", batch, plain),
        "classicnets": partial(classicnets_step, "resnet18", batch),
    }
    bars = (Bar("classicnets", 2.3, default), Bar("classicnets", 0.75, "the floor"))
    cost = partial(training_cost, "resnet18", batch)
    return Work(f"resnet18, batch {batch}", sides, bars, cost)


def other(name: str, batch: int, plainly: str) -> Work:
    """A network that no zoo has as published; VGG A, which has one, beside them."""
    sides: dict[str, Make] = {
        plainly: partial(eager_step, name, batch, plain),
        "plain torch, AMP": partial(eager_step, name, batch, plain, "AMP"),
        "classicnets": partial(classicnets_step, name, batch),
    }
    cost = partial(training_cost, name, batch)
    return Work(f"{name}, batch {batch}", sides, (Bar("classicnets", 2.0, plainly),), cost)
