"""Whole epochs, from bytes to updated weights, and single steps of LeNet-5."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import islice

import environment
import torch
from harness import Benchmark, Case, Contender, Factory, Target
from loaders import PerImage, loader, noise, random_crop, random_flip
from networks import our_network, plain_torch, training_cost
from steps import classicnets_step, eager_step
from torch import Tensor, nn
from torch.nn import functional as F

from classicnets import catalog
from classicnets.data.images import Images, Splits
from classicnets.training.execution.execution import Execution, resolve_execution
from classicnets.training.execution.graph import WARMUP
from classicnets.training.recipe.init import AsBuilt
from classicnets.training.recipe.loss import CrossEntropy
from classicnets.training.recipe.optimizers import SGD
from classicnets.training.recipe.recipe import Recipe
from classicnets.training.recipe.schedules import Constant
from classicnets.training.run import loop
from classicnets.training.run.config import RunConfig
from classicnets.training.run.state import Record

CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
FEW = 64  # images of the validation at the end of an epoch


def records(
    name: str, recipe: Recipe, count: int, execution: Execution
) -> tuple[nn.Module, str, Iterator[Record]]:
    """A network, the precision of its training, and its training in the package's own loop."""
    network = our_network(name).to(environment.device)
    shape = catalog.find(name).input
    train, few = (Images(*noise(n, shape)).to(environment.device) for n in (count, FEW))
    splits = Splits("noise", tuple("0123456789"), train, few, few)
    recipe = replace(recipe, init=AsBuilt(), epochs=10**6, steps=None)
    execution, _ = resolve_execution(execution, network, shape, recipe.batch, recipe.optimizer)
    config = run_config(name, recipe, splits, execution)
    precision = environment.reported_precision(execution.precision)
    return network, precision, loop.train(loop.start(network, config), config, splits)


def run_config(
    name: str, recipe: Recipe, splits: Splits, execution: Execution, seed: int = 0
) -> RunConfig:
    """The configuration of a run on these splits, with the statistics of their training images."""
    config = RunConfig.fit(recipe, splits, execution, seed, name)
    return replace(config, scaling=config.scaling.to(environment.device))


def our_epoch(
    name: str,
    recipe: Recipe,
    count: int,
    execution: Execution = Execution(),  # noqa: B008
) -> Contender:
    network, precision, steps = records(name, recipe, count, execution)

    def run() -> None:
        while next(steps).validation is None:
            pass

    return Contender(run, partial(scores, network, name), precision)


def our_step(name: str, recipe: Recipe, count: int) -> Contender:
    network, precision, steps = records(name, recipe, count, Execution())
    output = scores(network, name)
    if environment.on_gpu():  # until the CUDA graph is recorded
        list(islice(steps, WARMUP + 1))
    return Contender(partial(next, steps), lambda: output, precision)


def scores(network: nn.Module, name: str) -> Tensor:
    """Scores before training, which show that the contenders start from the same network."""
    x = noise(4, catalog.find(name).input)[0].to(environment.device).float() / 255
    with torch.no_grad():
        return network.eval()(x).clone()


def cifar_script(name: str, count: int, batch: int = 128, workers: int = 2) -> Contender:
    """Like the popular CIFAR scripts: transforms per image, running sums through `.item()`."""
    torch.backends.cudnn.benchmark = True
    network = plain_torch(our_network(name)).to(environment.device)
    output = scores(network, name)
    pixels, labels = noise(count, (3, 32, 32))
    arrays = list(pixels.permute(0, 2, 3, 1).numpy())
    transforms = (random_crop, random_flip)
    data = PerImage(arrays, labels.tolist(), transforms, CIFAR_MEAN, CIFAR_STD)
    batches = loader(data, batch, workers)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, 0.9, weight_decay=1e-4)

    def run() -> None:
        network.train()
        total, correct = 0.0, 0
        for x, targets in batches:
            x, targets = x.to(environment.device), targets.to(environment.device)
            optimizer.zero_grad()
            out = network(x)
            loss = F.cross_entropy(out, targets)
            loss.backward()
            optimizer.step()
            total += loss.item()
            correct += out.max(1)[1].eq(targets).sum().item()

    return Contender(run, lambda: output, environment.float32())


def mnist_example(count: int, batch: int = 64) -> Contender:
    """Like the mnist of pytorch/examples, which on a CPU loads the data in the same process."""
    network = plain_torch(our_network("lenet5")).to(environment.device)
    output = scores(network, "lenet5")
    pixels, labels = noise(count, (32, 32))
    data = PerImage(list(pixels.numpy()), labels.tolist(), (), (0.1307,), (0.3081,))
    batches = loader(data, batch, 0)
    optimizer = torch.optim.SGD(network.parameters(), 1e-3)

    def run() -> None:
        network.train()
        for i, (x, targets) in enumerate(batches):
            x, targets = x.to(environment.device), targets.to(environment.device)
            optimizer.zero_grad()
            loss = F.nll_loss(F.log_softmax(network(x), 1), targets)
            loss.backward()
            optimizer.step()
            if i % 10 == 0:
                loss.item()

    return Contender(run, lambda: output, environment.float32())


def lenet_1998_step() -> Contender:
    """The update rule of 1998 in plain torch: one image, and a learning rate per weight."""
    network = plain_torch(our_network("lenet5"))
    output = scores(network, "lenet5")
    pixels, labels = noise(1000, (1, 32, 32))
    lrs = [torch.full_like(p, 5e-4 / (0.02 * 84 + 1)) for p in network.parameters()]
    indices = shuffled_forever(len(labels))

    def run() -> None:
        i = next(indices)
        x = pixels[i : i + 1].float() / 255 * 1.275 - 0.1
        loss = map_loss(network(x), labels[i : i + 1])
        network.zero_grad()
        loss.backward()
        with torch.no_grad():
            for p, lr in zip(network.parameters(), lrs, strict=True):
                p -= lr * p.grad

    return Contender(run, lambda: output)


def map_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """LeCun et al. 1998, equation 9, with j = 10: one more class at a constant distance."""
    return F.cross_entropy(F.pad(scores, (0, 1), value=-10.0), labels)


def shuffled_forever(count: int) -> Iterator[int]:
    while True:
        yield from torch.randperm(count).tolist()


def benchmarks(quick: bool) -> tuple[Benchmark, ...]:
    lenet, cifar = catalog.find("lenet5").recipe, catalog.find("resnet20").recipe
    sgd, constant = SGD(), Constant(1e-3)
    batch_64 = replace(lenet, batch=64, optimizer=sgd, lr=constant, loss=CrossEntropy())
    images, digits, batch = (256, 256, 32) if quick else (2560, 12_800, 256)
    script, example, eager = "popular CIFAR script", "pytorch/examples loop", "plain torch"
    cifar_epochs = {
        script: partial(cifar_script, "resnet20", images),
        "classicnets": partial(our_epoch, "resnet20", cifar, images),
    }
    lenet_epochs = {
        example: partial(mnist_example, digits),
        "classicnets": partial(our_epoch, "lenet5", batch_64, digits),
    }
    steps = {
        eager: partial(eager_step, "lenet5", batch, plain_torch, loss=map_loss),
        "classicnets": partial(classicnets_step, "lenet5", batch),
    }
    single = {eager: lenet_1998_step, "classicnets": partial(our_step, "lenet5", lenet, 60_000)}

    def case(
        name: str, contenders: dict[str, Factory], ratio: float, network: str, count: int
    ) -> Case:
        cost = partial(training_cost, network, count)
        targets = (Target("classicnets", ratio, next(iter(contenders))),)
        return Case(name, contenders, targets, cost)

    cifar_case = case(f"epoch over {images:,} images", cifar_epochs, 2.0, "resnet20", images)
    lenet_cases = (
        case(f"epoch over {digits:,} digits, batch 64", lenet_epochs, 8.0, "lenet5", digits),
        case(f"step, batch {batch}", steps, 2.0, "lenet5", batch),
        case("step, batch 1, the update rule of 1998", single, 2.0, "lenet5", 1),
    )
    title = "ResNet-20 on images of 32 pixels, batch 128, random crop and flip"
    return (
        Benchmark("cifar", title, (cifar_case,)),
        Benchmark("lenet", "Training of LeNet-5", lenet_cases),
    )
