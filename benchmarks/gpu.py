"""The contests on a GPU: bf16, channels_last, pictures that lie there already.

There is one for each network, and in inference for each batch, so that each ends within minutes.
torch's max-autotune, which takes minutes to compile, has one of its own.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import sprints
from epochs import cifar_script, map_loss, mnist_example, our_pass, our_step
from floors import inference_floor, training_floor
from harness import Bar, Contest, Make, Work
from inference import classicnets as inferring, eager
from lrn import LAYOUTS, MODULES, SHAPES, both_ways, cost
from networks import plain
from steps import ZOO, classicnets_step, eager_step, peak, stock, torchvision, update, update_cost
from torch import nn

from classicnets import catalog
from classicnets.layers.lrn import LocalResponseNorm
from classicnets.training.execution.step import Execution
from classicnets.training.recipe.loss import CrossEntropy
from classicnets.training.recipe.optimizers import SGD
from classicnets.training.recipe.schedules import Constant

FLOOR = "the floor"
STEPS = 50  # in a round, at least
WHOLE = Execution(accumulation_steps=1)
# network: pictures in a batch, the share of the floor that is to be reached
TRAINED = {
    "resnet18": (256, 0.45),
    "resnet50": (256, 0.45),
    "resnet152": (256, 0.45),
    "vgg_d": (256, 0.65),
    "googlenet": (256, 0.35),
    "alexnet": (512, 0.35),
    "zfnet": (512, 0.35),
}
INFERRED = {"resnet18": 0.5, "resnet50": 0.5, "vgg_d": 0.7}  # at the largest batch
GOOGLENET = {"GoogLeNet norm1": (64, 56, 56), "GoogLeNet norm2": (192, 56, 56)}


def contests(quick: bool) -> tuple[Contest, ...]:
    return (
        *(steps(name, quick) for name in TRAINED),
        autotune(quick),
        *(inference(name, n) for name in TRAINED for n in ((1,) if quick else (1, 32, 1024))),
        updates(),
        normalisation(quick),
        *(cifar(name, quick) for name in ("resnet20", "resnet110")),
        lenet(quick),
        memory(quick),
        *sprints.contests(quick),
    )


def others(name: str, setting: str) -> tuple[str, Callable[[nn.Module], nn.Module]]:
    """How others have the network: torchvision, or where that has another one, plain torch.nn."""
    if name in ZOO:
        return f"torchvision, {setting}", partial(torchvision, name)
    return f"plain torch, {setting}", plain


def steps(name: str, quick: bool) -> Contest:
    batch, share = (2, 0.0) if quick else TRAINED[name]
    amp, build = others(name, "AMP")
    compiled, _ = others(name, "compiled")
    sides: dict[str, Make] = {
        amp: partial(eager_step, name, batch, build, "AMP"),
        compiled: partial(eager_step, name, batch, build, "compiled"),
        "classicnets": partial(classicnets_step, name, batch, WHOLE),
        "classicnets, compiled": partial(
            classicnets_step, name, batch, replace(WHOLE, compile=True)
        ),
    }
    least = 1.15 if name == "resnet50" else 1.0
    bars = (
        Bar("classicnets", share, FLOOR),
        *(Bar("classicnets", least, other) for other in (amp, compiled)),
        Bar("classicnets, compiled", least, compiled),
    )
    floor = partial(training_floor, name, batch)
    work = Work(f"{name}, batch {batch}", sides, bars, floor, least=STEPS)
    return Contest(f"steps-{name}", f"A training step of {name} on a GPU", (work,))


def autotune(quick: bool) -> Contest:
    name, batch = "resnet50", 2 if quick else 256
    tuned, build = others(name, "max-autotune")
    sides: dict[str, Make] = {
        tuned: partial(eager_step, name, batch, build, "max-autotune"),
        "classicnets": partial(classicnets_step, name, batch, WHOLE),
    }
    bars = (Bar("classicnets", 1.15, tuned),)
    floor = partial(training_floor, name, batch)
    work = Work(f"{name}, batch {batch}", sides, bars, floor, least=STEPS)
    return Contest("autotune", "A training step of ResNet-50 beside torch's max-autotune", (work,))


def inference(name: str, batch: int) -> Contest:
    settings = ("AMP", "compiled", *(("max-autotune",) if name in INFERRED else ()))
    sides: dict[str, Make] = {}
    for setting in settings:
        told, build = others(name, setting)
        sides[told] = partial(eager, name, batch, build, setting)
    first, best = next(iter(sides)), list(sides)[-1]
    sides["classicnets"] = partial(inferring, name, batch, "bf16")
    bars = [Bar("classicnets", 1.05, best)]
    if batch == 1:
        bars.append(Bar("classicnets", 3.0, first))
    elif batch > 32 and name in INFERRED:
        bars.append(Bar("classicnets", INFERRED[name], FLOOR))
    floor = partial(inference_floor, name, batch)
    work = Work(f"{name}, batch {batch}", sides, tuple(bars), floor, least=STEPS)
    about = f"Scores of {name} for pictures that lie ready on a GPU"
    return Contest(f"inference-{name}-{batch}", about, (work,))


def updates() -> Contest:
    default = "torch.optim.SGD, default"
    sides: dict[str, Make] = {
        default: partial(update, partial(stock, None)),
        "classicnets": partial(update, None),
    }
    bars = Bar("classicnets", 0.8, FLOOR), Bar("classicnets", 1.0, default)
    work = Work("vgg_d", sides, bars, update_cost, least=STEPS)
    return Contest("update", "The update alone: SGD with momentum and decay of VGG D", (work,))


def normalisation(quick: bool) -> Contest:
    batch = 2 if quick else 512
    works = [
        Work(
            f"{layer}, {'x'.join(map(str, (batch, *shape)))}, {layout}, {precision}",
            {
                name: partial(both_ways, name, (batch, *shape), layout, precision)
                for name in MODULES
            },
            (Bar("classicnets", 3.0, "torch"), Bar("classicnets", 0.7, FLOOR)),
            partial(cost, (batch, *shape), size),
            least=STEPS,
        )
        for layer, shape in (SHAPES | GOOGLENET).items()
        for layout in LAYOUTS
        for precision, size in (("fp32", 4), ("bf16", 2))
    ]
    without = partial(classicnets_step, "alexnet", batch, WHOLE, LocalResponseNorm)
    sides = {"without": without, "classicnets": partial(classicnets_step, "alexnet", batch, WHOLE)}
    step = Work(
        f"AlexNet, a step at batch {batch}",
        sides,
        (Bar("classicnets", 1 / 1.25, "without"),),
        differ="one network has the two layers and the other has not",
        least=STEPS,
    )
    about = "Local response normalisation on a GPU, both ways; and a step with and without"
    return Contest("lrn", about, (*works, step))


def cifar(name: str, quick: bool) -> Contest:
    count, recipe = 256 if quick else 25_600, catalog.find(name).recipe
    script, eagerly, compiled = (
        "popular CIFAR script",
        "classicnets, eager",
        "classicnets, compiled",
    )
    ways = {
        eagerly: Execution(graph=False, accumulation_steps=1),
        compiled: Execution(graph=False, accumulation_steps=1, compile=True),
        "classicnets": Execution(),
    }
    sides: dict[str, Make] = {script: partial(cifar_script, name, count)}
    sides |= {way: partial(our_pass, name, recipe, count, how) for way, how in ways.items()}
    bars = (
        Bar("classicnets", 5.0, script),
        Bar("classicnets", 2.5, eagerly),
        Bar("classicnets", 1.3, compiled),
    )
    floor = partial(training_floor, name, count)
    work = Work(f"a pass over {count:,} pictures", sides, bars, floor)
    about = f"{name} on pictures of 32 pixels, batch 128, shifted and mirrored by chance"
    return Contest(f"cifar-{name}", about, (work,))


def lenet(quick: bool) -> Contest:
    digits, batch = (256, 32) if quick else (60_000, 256)
    example, eagerly = "pytorch/examples loop", "plain torch"
    steady = {"optimizer": SGD(), "lr": Constant(1e-3), "loss": CrossEntropy()}
    by_64, by_batch = (
        replace(catalog.find("lenet5").recipe, batch=n, **steady) for n in (64, batch)
    )
    passes: dict[str, Make] = {
        example: partial(mnist_example, digits),
        "classicnets": partial(our_pass, "lenet5", by_64, digits),
    }
    steps: dict[str, Make] = {
        eagerly: partial(eager_step, "lenet5", batch, plain, loss=map_loss),
        "classicnets": partial(our_step, "lenet5", by_batch, digits),
    }
    works = (
        Work(
            f"a pass over {digits:,} digits, batch 64", passes, (Bar("classicnets", 8.0, example),)
        ),
        Work(
            f"a step, batch {batch}",
            steps,
            (Bar("classicnets", 3.0, eagerly),),
            differ="one of them cuts, scales and counts its pictures too",
            least=STEPS,
        ),
    )
    return Contest("lenet", "LeNet-5 in training on a GPU", works)


def memory(quick: bool) -> Contest:
    name, batch = "resnet50", 2 if quick else 256
    amp, build = others(name, "AMP")
    sides: dict[str, Make] = {
        amp: partial(peak, partial(eager_step, name, batch, build, "AMP")),
        "classicnets": partial(peak, partial(classicnets_step, name, batch, WHOLE)),
    }
    work = Work(f"{name}, batch {batch}", sides, (Bar("classicnets", 1.0, amp),))
    about = "The most memory that tensors hold during a training step of ResNet-50"
    return Contest("memory", about, (work,), unit="bytes")
