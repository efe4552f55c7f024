"""Whole passes, from bytes to updated weights, and LeNet-5's single steps."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import islice

import place
import torch
from harness import Bar, Contest, Make, Ready, Work
from loaders import PerImage, loader, noise, random_crop, random_flip
from networks import ours, plain, training_cost
from steps import classicnets_step, eager_step
from torch import Tensor, nn
from torch.nn import functional as F

from classicnets import catalog
from classicnets.data.images import Images, Splits
from classicnets.training.execution.graph import WARM
from classicnets.training.execution.step import Execution, resolve_execution
from classicnets.training.recipe.init import AsBuilt
from classicnets.training.recipe.loss import CrossEntropy
from classicnets.training.recipe.optimizers import SGD
from classicnets.training.recipe.recipe import Recipe
from classicnets.training.recipe.schedules import Constant
from classicnets.training.run import loop
from classicnets.training.run.loop import Plan, Record

CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
FEW = 64  # pictures to validate on at the end of a pass


def records(
    name: str, recipe: Recipe, count: int, execution: Execution
) -> tuple[nn.Module, str, Iterator[Record]]:
    """A network, the precision it is trained in, and its training by the package's own loop."""
    network = ours(name).to(place.device)
    shape = catalog.find(name).input
    train, few = (Images(*noise(n, shape)).to(place.device) for n in (count, FEW))
    splits = Splits("noise", tuple("0123456789"), train, few, few)
    recipe = replace(recipe, init=AsBuilt(), epochs=10**6, steps=None)
    execution, _ = resolve_execution(execution, network, shape, recipe.batch, recipe.optimizer)
    plan = planned(recipe, splits, execution)
    precision = execution.precision if execution.precision == "bf16" else place.full()
    return network, precision, loop.train(loop.start(network, plan), plan)


def planned(recipe: Recipe, splits: Splits, execution: Execution, seed: int = 0) -> Plan:
    """What the package's loop is given, with figures from these training pictures."""
    scaling = recipe.pixels.fit(splits.train, recipe.side, recipe.crop).to(place.device)
    augment = tuple(part.fit(splits.train) for part in recipe.augment)
    return Plan(recipe, splits, scaling, augment, execution, seed)


def our_pass(
    name: str,
    recipe: Recipe,
    count: int,
    execution: Execution = Execution(),  # noqa: B008
) -> Ready:
    network, precision, steps = records(name, recipe, count, execution)

    def once() -> None:
        while next(steps).validation is None:
            pass

    return Ready(once, partial(scores, network, name), precision)


def our_step(name: str, recipe: Recipe, count: int) -> Ready:
    network, precision, steps = records(name, recipe, count, Execution())
    output = scores(network, name)
    if place.on_gpu():  # until a step is recorded
        list(islice(steps, WARM + 1))
    return Ready(partial(next, steps), lambda: output, precision)


def scores(network: nn.Module, name: str) -> Tensor:
    """That it is the same network, before it is trained."""
    x = noise(4, catalog.find(name).input)[0].to(place.device).float() / 255
    with torch.no_grad():
        return network.eval()(x).clone()


def cifar_script(name: str, count: int, batch: int = 128, workers: int = 2) -> Ready:
    """The shape of the popular CIFAR scripts: transforms by picture, running sums by `.item()`."""
    torch.backends.cudnn.benchmark = True
    network = plain(ours(name)).to(place.device)
    output = scores(network, name)
    pixels, labels = noise(count, (3, 32, 32))
    arrays = list(pixels.permute(0, 2, 3, 1).numpy())
    transforms = (random_crop, random_flip)
    data = PerImage(arrays, labels.tolist(), transforms, CIFAR_MEAN, CIFAR_STD)
    batches = loader(data, batch, workers)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, 0.9, weight_decay=1e-4)

    def once() -> None:
        network.train()
        total, correct = 0.0, 0
        for x, targets in batches:
            x, targets = x.to(place.device), targets.to(place.device)
            optimizer.zero_grad()
            out = network(x)
            loss = F.cross_entropy(out, targets)
            loss.backward()
            optimizer.step()
            total += loss.item()
            correct += out.max(1)[1].eq(targets).sum().item()

    return Ready(once, lambda: output, place.full())


def mnist_example(count: int, batch: int = 64) -> Ready:
    """The shape of pytorch/examples' mnist, which loads in the process itself on a CPU."""
    network = plain(ours("lenet5")).to(place.device)
    output = scores(network, "lenet5")
    pixels, labels = noise(count, (32, 32))
    data = PerImage(list(pixels.numpy()), labels.tolist(), (), (0.1307,), (0.3081,))
    batches = loader(data, batch, 0)
    optimizer = torch.optim.SGD(network.parameters(), 1e-3)

    def once() -> None:
        network.train()
        for i, (x, targets) in enumerate(batches):
            x, targets = x.to(place.device), targets.to(place.device)
            optimizer.zero_grad()
            loss = F.nll_loss(F.log_softmax(network(x), 1), targets)
            loss.backward()
            optimizer.step()
            if i % 10 == 0:
                loss.item()

    return Ready(once, lambda: output, place.full())


def single_pictures() -> Ready:
    """The rule of 1998 as one would write it down: a picture, and a rate for each weight."""
    network = plain(ours("lenet5"))
    output = scores(network, "lenet5")
    pixels, labels = noise(1000, (1, 32, 32))
    rates = [torch.full_like(p, 5e-4 / (0.02 * 84 + 1)) for p in network.parameters()]
    pictures = endless(len(labels))

    def once() -> None:
        i = next(pictures)
        x = pixels[i : i + 1].float() / 255 * 1.275 - 0.1
        loss = map_loss(network(x), labels[i : i + 1])
        network.zero_grad()
        loss.backward()
        with torch.no_grad():
            for p, rate in zip(network.parameters(), rates, strict=True):
                p -= rate * p.grad

    return Ready(once, lambda: output)


def map_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """LeCun et al. 1998, equation 9, with j = 10: one class more, always as far away."""
    return F.cross_entropy(F.pad(scores, (0, 1), value=-10.0), labels)


def endless(count: int) -> Iterator[int]:
    while True:
        yield from torch.randperm(count).tolist()


def contests(quick: bool) -> tuple[Contest, ...]:
    lenet, cifar = catalog.find("lenet5").recipe, catalog.find("resnet20").recipe
    sgd, steady = SGD(), Constant(1e-3)
    by_64 = replace(lenet, batch=64, optimizer=sgd, lr=steady, loss=CrossEntropy())
    pictures, digits, batch = (256, 256, 32) if quick else (2560, 12_800, 256)
    script, example, eager = "popular CIFAR script", "pytorch/examples loop", "plain torch"
    residual = {
        script: partial(cifar_script, "resnet20", pictures),
        "classicnets": partial(our_pass, "resnet20", cifar, pictures),
    }
    passes = {
        example: partial(mnist_example, digits),
        "classicnets": partial(our_pass, "lenet5", by_64, digits),
    }
    steps = {
        eager: partial(eager_step, "lenet5", batch, plain, loss=map_loss),
        "classicnets": partial(classicnets_step, "lenet5", batch),
    }
    singly = {eager: single_pictures, "classicnets": partial(our_step, "lenet5", lenet, 60_000)}

    def work(what: str, sides: dict[str, Make], bar: float, network: str, count: int) -> Work:
        cost = partial(training_cost, network, count)
        return Work(what, sides, (Bar("classicnets", bar, next(iter(sides))),), cost)

    a_pass = work(f"a pass over {pictures:,} pictures", residual, 2.0, "resnet20", pictures)
    of_lenet = (
        work(f"a pass over {digits:,} digits, batch 64", passes, 8.0, "lenet5", digits),
        work(f"a step, batch {batch}", steps, 2.0, "lenet5", batch),
        work("a step, batch 1, by the rule of 1998", singly, 2.0, "lenet5", 1),
    )
    about = "ResNet-20 on pictures of 32 pixels, batch 128, shifted and mirrored by chance"
    return (
        Contest("cifar", about, (a_pass,)),
        Contest("lenet", "LeNet-5 in training", of_lenet),
    )
