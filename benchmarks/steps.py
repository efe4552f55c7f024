"""Training steps, the optimizer update alone, and the memory of a step."""

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import environment
import torch
from harness import (
    LOWER_BOUND,
    Benchmark,
    Case,
    Contender,
    Cost,
    Factory,
    Target,
    Unavailable,
    peer,
)
from networks import (
    our_network,
    plain_torch,
    random_batch,
    stride_first,
    training_cost,
    with_weights_of,
)
from torch import Tensor, nn
from torch.nn import functional as F

from classicnets import catalog
from classicnets.training.execution.execution import Execution, resolve_execution
from classicnets.training.execution.step import backends_for, set_lr, step
from classicnets.training.recipe.optimizers import SGD

MOMENTUM, WEIGHT_DECAY = 0.9, 5e-4
LR = 1e-6  # the batch is always the same, and a large first step would amplify rounding
PLAIN_ONLY = ("alexnet", "vgg_a", "googlenet", "zfnet")  # compared with plain torch
MODES = {"compiled": "default", "max-autotune": "max-autotune"}
ZOO = {name: name for name in ("resnet18", "resnet50", "resnet152")} | {"vgg_d": "vgg16"}


def classicnets_step(
    name: str,
    batch: int,
    execution: Execution = Execution(),  # noqa: B008
    without: type[nn.Module] | None = None,
    of_recipe: bool = False,
) -> Contender:
    """A step as `classicnets train` executes it, `without` layers of one type if given.

    Its optimizer is SGD with momentum, or that `of_recipe`.
    """
    network = our_network(name).to(environment.device).train()
    for stage, layer in list(network.named_children()):
        if without is not None and isinstance(layer, without):
            setattr(network, stage, nn.Identity())
    x, labels = random_batch(name, batch)
    entry = catalog.find(name)
    execution, _ = resolve_execution(execution, network, entry.input, batch)
    model = execution.wrap(network, x.device)
    spec = entry.recipe.optimizer if of_recipe else SGD(MOMENTUM, WEIGHT_DECAY)
    optimizer = spec.build(network)
    spec.before_epoch(optimizer, network, lambda count: x[:count])
    set_lr(optimizer, LR)
    loss = entry.recipe.loss

    def run() -> Tensor:
        with backends_for(x.numel(), True):
            return step(model, optimizer, loss, x, labels, execution)[0]

    precision = environment.reported_precision(execution.precision)
    return Contender(run, partial(two_losses, network, run), precision)


def cross_entropy(scores: Tensor | tuple[Tensor, ...], labels: Tensor) -> Tensor:
    """The sum over the heads; auxiliary ones count 0.3 (Szegedy et al., section 5)."""
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
) -> Contender:
    """The usual training loop; `setting` is "default" (fp32, NCHW), "AMP" or a key of `MODES`.

    AMP is bf16 autocast with channels_last and torch's fused update, the fastest setting without
    changing the network; "compiled" and "max-autotune" are AMP under torch.compile.
    """
    network = build(our_network(name)).to(environment.device).train()
    x, labels = random_batch(name, batch)
    optimizer = torch.optim.SGD(
        network.parameters(), LR, MOMENTUM, weight_decay=WEIGHT_DECAY, fused=setting != "default"
    )
    model, x = configure(network, x, setting)

    def run() -> Tensor:
        optimizer.zero_grad()
        autocast = setting != "default"
        with torch.autocast(environment.device.type, torch.bfloat16, enabled=autocast):
            value = loss(model(x), labels)
        value.backward()
        optimizer.step()
        return value

    precision = environment.float32() if setting == "default" else "bf16"
    return Contender(run, partial(two_losses, network, run), precision)


def configure(network: nn.Module, x: Tensor, setting: str) -> tuple[nn.Module, Tensor]:
    """A network and its input in a setting of `eager_step`.

    Raises Unavailable where torch.compile lacks a C++ compiler.
    """
    if setting == "default":
        return network, x
    torch.backends.cudnn.benchmark = True  # as in torchvision's and timm's training scripts
    network = network.to(memory_format=torch.channels_last)
    if setting in MODES:
        if not environment.on_gpu() and not shutil.which(os.environ.get("CXX", "g++")):
            raise Unavailable("torch.compile: no C++ compiler")
        network = torch.compile(network, mode=MODES[setting])
    return network, x.contiguous(memory_format=torch.channels_last)


def two_losses(network: nn.Module, run: Callable[[], Tensor]) -> list[float]:
    """The losses before and after an update, without dropout."""
    dropouts = [m for m in network.modules() if isinstance(m, nn.Dropout)]
    before = [dropout.p for dropout in dropouts]
    for dropout in dropouts:
        dropout.p = 0.0
    losses = [run().item(), run().item()]
    for dropout, p in zip(dropouts, before, strict=True):
        dropout.p = p
    return losses


def torchvision(name: str, network: nn.Module) -> nn.Module:
    """torchvision's network of this name, changed to the published one where it differs."""
    models = peer("torchvision.models")
    return with_weights_of(network, stride_first(getattr(models, ZOO[name])(weights=None)))


def timm(name: str, network: nn.Module) -> nn.Module:
    """timm's network of this name, changed to the published one where it differs."""
    models = peer("timm")
    return with_weights_of(network, stride_first(models.create_model(ZOO[name])))


def zoo_contenders(
    run: Callable[..., Contender], name: str, batch: int, settings: tuple[str, ...]
) -> dict[str, Factory]:
    """torchvision's and timm's network of this name, run as `eager_step` is in each setting."""
    return {
        f"{zoo.__name__}, {setting}": partial(run, name, batch, partial(zoo, name), setting)
        for zoo in (torchvision, timm)
        for setting in settings
    }


def update(build: Callable[[list[nn.Parameter]], torch.optim.Optimizer] | None) -> Contender:
    """An update of VGG D with random gradients; without `build` by this package's optimizer."""
    network = our_network("vgg_d").to(environment.device)
    if build is None:
        optimizer = SGD(MOMENTUM, WEIGHT_DECAY).build(network)
        set_lr(optimizer, 0.01)
    else:
        optimizer = build(list(network.parameters()))
    torch.manual_seed(2)
    for p in network.parameters():
        p.grad = torch.randn(p.shape).to(p.device)

    def output() -> Tensor:
        before = sample()
        optimizer.step()
        optimizer.step()
        return sample() - before

    def sample() -> Tensor:
        return torch.cat([p.detach().flatten()[:100].clone() for p in network.parameters()])

    return Contender(optimizer.step, output)


def torch_sgd(foreach: bool | None, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, 0.01, MOMENTUM, weight_decay=WEIGHT_DECAY, foreach=foreach)


def update_cost() -> Cost:
    """Reads weight, gradient and velocity, writes weight and velocity, four bytes each."""
    return [(0.0, 20.0 * catalog.find("vgg_d").params)]


def peak_memory(factory: Factory) -> Contender:
    """A contender measured by its peak memory: of the process, or of the tensors on a GPU."""
    contender = factory()

    def run() -> int:
        if environment.on_gpu():
            torch.cuda.reset_peak_memory_stats()
            contender.run()
            return torch.cuda.max_memory_allocated()
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        contender.run()
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.partition("VmHWM:")[2].split()[0])

    return Contender(run, contender.output, contender.precision)


def benchmarks(quick: bool) -> tuple[Benchmark, ...]:
    batch = 2 if quick else 16
    settings = ("default", "AMP") if quick else ("default", "AMP", "compiled")
    default, amp = "torchvision, default", "torchvision, AMP"
    default_sgd = "torch.optim.SGD, default"
    steps = [resnet18(batch, settings), *(plain_only(name, batch) for name in PLAIN_ONLY)]
    updates: dict[str, Factory] = {
        default_sgd: partial(update, partial(torch_sgd, None)),
        "torch.optim.SGD, foreach": partial(update, partial(torch_sgd, True)),
        "classicnets": partial(update, None),
    }
    memory: dict[str, Factory] = {
        **zoo_contenders(eager_step, "resnet50", batch, ("default", "AMP")),
        "classicnets, fp32": partial(classicnets_step, "resnet50", batch, Execution("fp32")),
        "classicnets": partial(classicnets_step, "resnet50", batch),
    }
    peaks = {name: partial(peak_memory, factory) for name, factory in memory.items()}
    limits = (Target("classicnets, fp32", 1.0, default), Target("classicnets", 1.0, amp))
    vgg_d = Case("vgg_d", updates, (Target("classicnets", 5.0, default_sgd),), update_cost)
    resnet50 = Case(f"resnet50, batch {batch}", peaks, limits)
    about_update = "The optimizer update alone: SGD with momentum and weight decay, VGG D"
    about_memory = "Peak memory of a training step of ResNet-50, the whole process"
    return (
        Benchmark("steps", "Training step: forward, backward, update; 224 pixels", tuple(steps)),
        Benchmark("update", about_update, (vgg_d,)),
        Benchmark("memory", about_memory, (resnet50,), unit="bytes"),
    )


def resnet18(batch: int, settings: tuple[str, ...]) -> Case:
    contenders = {
        **zoo_contenders(eager_step, "resnet18", batch, settings),
        "plain torch, default": partial(eager_step, "resnet18", batch, plain_torch),
        "classicnets": partial(classicnets_step, "resnet18", batch),
    }
    targets = (
        Target("classicnets", 2.3, "torchvision, default"),
        Target("classicnets", 0.75, LOWER_BOUND),
    )
    cost = partial(training_cost, "resnet18", batch)
    return Case(f"resnet18, batch {batch}", contenders, targets, cost)


def plain_only(name: str, batch: int) -> Case:
    """A network that neither torchvision nor timm has as published; and VGG A."""
    default = "plain torch, default"
    contenders: dict[str, Factory] = {
        default: partial(eager_step, name, batch, plain_torch),
        "plain torch, AMP": partial(eager_step, name, batch, plain_torch, "AMP"),
        "classicnets": partial(classicnets_step, name, batch),
    }
    targets = (Target("classicnets", 2.0, default),)
    cost = partial(training_cost, name, batch)
    return Case(f"{name}, batch {batch}", contenders, targets, cost)
