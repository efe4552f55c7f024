"""The benchmarks on a GPU: bf16, channels_last, images that are already on the device.

Each network has a benchmark of its own, and each batch size in inference, so that a benchmark ends
within minutes. torch's max-autotune, which takes minutes to compile, has a separate one.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import time_to_accuracy
from epochs import cifar_script, map_loss, mnist_example, our_epoch, our_step
from harness import LOWER_BOUND, Benchmark, Case, Factory, Target
from inference import classicnets as our_inference, eager as eager_inference
from lower_bounds import inference_layer_costs, training_layer_costs
from lrn import LAYOUTS, MODULES, NOT_COMPARED, SHAPES, WITHOUT, forward_backward, traffic
from networks import plain_torch
from steps import (
    ZOO,
    classicnets_step,
    eager_step,
    peak_memory,
    torch_sgd,
    torchvision,
    update,
    update_cost,
)
from torch import nn

from classicnets import catalog
from classicnets.layers.lrn import LocalResponseNorm
from classicnets.training.execution.execution import Execution
from classicnets.training.recipe.loss import CrossEntropy
from classicnets.training.recipe.optimizers import SGD
from classicnets.training.recipe.schedules import Constant

STEPS = 50  # at least, in a round
UNSPLIT = Execution(accumulation_steps=1)
# network: batch size, lower bound / median to be reached
TRAINED = {
    "resnet18": (256, 0.45),
    "resnet50": (256, 0.45),
    "resnet152": (256, 0.45),
    "vgg_d": (256, 0.65),
    "googlenet": (256, 0.35),
    "alexnet": (512, 0.35),
    "zfnet": (512, 0.35),
}
INFERRED = {"resnet18": 0.5, "resnet50": 0.5, "vgg_d": 0.7}  # the same, at the largest batch
GOOGLENET = {"GoogLeNet norm1": (64, 56, 56), "GoogLeNet norm2": (192, 56, 56)}


def benchmarks(quick: bool) -> tuple[Benchmark, ...]:
    return (
        *(steps(name, quick) for name in TRAINED),
        autotune(quick),
        *(inference(name, n) for name in TRAINED for n in ((1,) if quick else (1, 32, 1024))),
        updates(),
        normalisation(quick),
        *(cifar(name, quick) for name in ("resnet20", "resnet110")),
        lenet(quick),
        memory(quick),
        *time_to_accuracy.benchmarks(quick),
    )


def peer_network(name: str, setting: str) -> tuple[str, Callable[[nn.Module], nn.Module]]:
    """A contender's name and network: torchvision, or plain torch where torchvision differs."""
    if name in ZOO:
        return f"torchvision, {setting}", partial(torchvision, name)
    return f"plain torch, {setting}", plain_torch


def steps(name: str, quick: bool) -> Benchmark:
    batch, bound_fraction = (2, 0.0) if quick else TRAINED[name]
    amp, build = peer_network(name, "AMP")
    compiled, _ = peer_network(name, "compiled")
    contenders: dict[str, Factory] = {
        amp: partial(eager_step, name, batch, build, "AMP"),
        compiled: partial(eager_step, name, batch, build, "compiled"),
        "classicnets": partial(classicnets_step, name, batch, UNSPLIT),
        "classicnets, compiled": partial(
            classicnets_step, name, batch, replace(UNSPLIT, compile=True)
        ),
    }
    at_least = 1.15 if name == "resnet50" else 1.0
    targets = (
        Target("classicnets", bound_fraction, LOWER_BOUND),
        *(Target("classicnets", at_least, peer) for peer in (amp, compiled)),
        Target("classicnets, compiled", at_least, compiled),
    )
    cost = partial(training_layer_costs, name, batch)
    case = Case(f"{name}, batch {batch}", contenders, targets, cost, min_calls=STEPS)
    return Benchmark(f"steps-{name}", f"Training step of {name} on a GPU", (case,))


def autotune(quick: bool) -> Benchmark:
    name, batch = "resnet50", 2 if quick else 256
    tuned, build = peer_network(name, "max-autotune")
    contenders: dict[str, Factory] = {
        tuned: partial(eager_step, name, batch, build, "max-autotune"),
        "classicnets": partial(classicnets_step, name, batch, UNSPLIT),
    }
    targets = (Target("classicnets", 1.15, tuned),)
    cost = partial(training_layer_costs, name, batch)
    case = Case(f"{name}, batch {batch}", contenders, targets, cost, min_calls=STEPS)
    title = "Training step of ResNet-50, compared with torch's max-autotune"
    return Benchmark("autotune", title, (case,))


def inference(name: str, batch: int) -> Benchmark:
    settings = ("AMP", "compiled", *(("max-autotune",) if name in INFERRED else ()))
    contenders: dict[str, Factory] = {}
    for setting in settings:
        peer, build = peer_network(name, setting)
        contenders[peer] = partial(eager_inference, name, batch, build, setting)
    first, best = next(iter(contenders)), list(contenders)[-1]
    contenders["classicnets"] = partial(our_inference, name, batch, "bf16")
    targets = [Target("classicnets", 1.05, best)]
    if batch == 1:
        targets.append(Target("classicnets", 3.0, first))
    elif batch > 32 and name in INFERRED:
        targets.append(Target("classicnets", INFERRED[name], LOWER_BOUND))
    cost = partial(inference_layer_costs, name, batch)
    case = Case(f"{name}, batch {batch}", contenders, tuple(targets), cost, min_calls=STEPS)
    title = f"Inference of {name} on images preloaded to a GPU"
    return Benchmark(f"inference-{name}-{batch}", title, (case,))


def updates() -> Benchmark:
    default = "torch.optim.SGD, default"
    contenders: dict[str, Factory] = {
        default: partial(update, partial(torch_sgd, None)),
        "classicnets": partial(update, None),
    }
    targets = Target("classicnets", 0.8, LOWER_BOUND), Target("classicnets", 1.0, default)
    case = Case("vgg_d", contenders, targets, update_cost, min_calls=STEPS)
    title = "The optimizer update alone: SGD with momentum and weight decay, VGG D"
    return Benchmark("update", title, (case,))


def normalisation(quick: bool) -> Benchmark:
    batch = 2 if quick else 512
    cases = [
        Case(
            f"{layer}, {'x'.join(map(str, (batch, *shape)))}, {layout}, {precision}",
            {
                name: partial(forward_backward, name, (batch, *shape), layout, precision)
                for name in MODULES
            },
            (Target("classicnets", 3.0, "torch"), Target("classicnets", 0.7, LOWER_BOUND)),
            partial(traffic, (batch, *shape), size),
            min_calls=STEPS,
        )
        for layer, shape in (SHAPES | GOOGLENET).items()
        for layout in LAYOUTS
        for precision, size in (("fp32", 4), ("bf16", 2))
    ]
    step = Case(
        f"AlexNet, training step, batch {batch}",
        {
            WITHOUT: partial(classicnets_step, "alexnet", batch, UNSPLIT, LocalResponseNorm),
            "classicnets": partial(classicnets_step, "alexnet", batch, UNSPLIT),
        },
        (Target("classicnets", 1 / 1.25, WITHOUT),),
        not_compared=NOT_COMPARED,
        min_calls=STEPS,
    )
    title = (
        "Local response normalisation on a GPU, forward and backward; and a training step with "
        "and without it"
    )
    return Benchmark("lrn", title, (*cases, step))


def cifar(name: str, quick: bool) -> Benchmark:
    count, recipe = 256 if quick else 25_600, catalog.find(name).recipe
    script, eager, compiled = (
        "popular CIFAR script",
        "classicnets, eager",
        "classicnets, compiled",
    )
    executions = {
        eager: Execution(graph=False, accumulation_steps=1),
        compiled: Execution(graph=False, accumulation_steps=1, compile=True),
        "classicnets": Execution(),
    }
    contenders: dict[str, Factory] = {script: partial(cifar_script, name, count)}
    contenders |= {
        contender: partial(our_epoch, name, recipe, count, execution)
        for contender, execution in executions.items()
    }
    targets = (
        Target("classicnets", 5.0, script),
        Target("classicnets", 2.5, eager),
        Target("classicnets", 1.3, compiled),
    )
    cost = partial(training_layer_costs, name, count)
    case = Case(f"epoch over {count:,} images", contenders, targets, cost)
    title = f"{name} on images of 32 pixels, batch 128, random crop and flip"
    return Benchmark(f"cifar-{name}", title, (case,))


def lenet(quick: bool) -> Benchmark:
    digits, batch = (256, 32) if quick else (60_000, 256)
    example, eager = "pytorch/examples loop", "plain torch"
    parts = {"optimizer": SGD(), "lr": Constant(1e-3), "loss": CrossEntropy()}
    batch_64, large_batch = (
        replace(catalog.find("lenet5").recipe, batch=n, **parts) for n in (64, batch)
    )
    epochs: dict[str, Factory] = {
        example: partial(mnist_example, digits),
        "classicnets": partial(our_epoch, "lenet5", batch_64, digits),
    }
    steps: dict[str, Factory] = {
        eager: partial(eager_step, "lenet5", batch, plain_torch, loss=map_loss),
        "classicnets": partial(our_step, "lenet5", large_batch, digits),
    }
    cases = (
        Case(
            f"epoch over {digits:,} digits, batch 64",
            epochs,
            (Target("classicnets", 8.0, example),),
        ),
        Case(
            f"step, batch {batch}",
            steps,
            (Target("classicnets", 3.0, eager),),
            not_compared="classicnets also crops and scales the images and counts errors",
            min_calls=STEPS,
        ),
    )
    return Benchmark("lenet", "Training of LeNet-5 on a GPU", cases)


def memory(quick: bool) -> Benchmark:
    name, batch = "resnet50", 2 if quick else 256
    amp, build = peer_network(name, "AMP")
    contenders: dict[str, Factory] = {
        amp: partial(peak_memory, partial(eager_step, name, batch, build, "AMP")),
        "classicnets": partial(peak_memory, partial(classicnets_step, name, batch, UNSPLIT)),
    }
    case = Case(f"{name}, batch {batch}", contenders, (Target("classicnets", 1.0, amp),))
    title = "Peak memory of tensors during a training step of ResNet-50"
    return Benchmark("memory", title, (case,), unit="bytes")
