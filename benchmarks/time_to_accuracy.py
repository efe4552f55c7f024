"""Time to accuracy: whole trainings with one seed each, on data that are already on the device.

Reading the data and a first warm-up training are not timed. Everything after that is, up to the
predictions for the test images: on CIFAR-10 from six views of each, as in airbench's scripts. Those
scripts time their epochs and test views only; our times also include the initial values, recording
CUDA graphs and a validation on a few images after each epoch. The validation part of the data is
used for training too.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import count, islice
from pathlib import Path
from time import perf_counter
from typing import Any

import environment
import torch
from epochs import FEW, run_config
from harness import (
    Benchmark,
    Case,
    Contender,
    ContenderError,
    Factory,
    Outcome,
    Result,
    Target,
    Unavailable,
    Worker,
)
from loaders import noise
from torch import Tensor
from torch.nn import functional as F

from classicnets import catalog
from classicnets.data.crops import RandomCrop
from classicnets.data.images import Images, Splits
from classicnets.data.sets import open_data
from classicnets.recipes import lenet
from classicnets.recipes.fast import fast
from classicnets.training.execution.execution import Execution, resolve_execution
from classicnets.training.execution.inference import Inference
from classicnets.training.recipe.recipe import Recipe
from classicnets.training.recipe.schedules import OneCycle
from classicnets.training.run import loop

TRAININGS = 25
DATA = "CLASSICNETS_DATA"  # the folder of the data sets
AIRBENCH = "AIRBENCH"  # the folder of a clone of KellerJordan/cifar10-airbench
SCRIPTS = {
    "airbench94_compiled": "legacy/airbench94_compiled.py",
    "airbench94_muon": "airbench94_muon.py",
}
# with this many epochs a published network may come near; the paper trains for 164
EPOCHS = {"resnet20": 20, "resnet56": 40, "resnet110": 40}
CIFAR = replace(fast(32), batch=512, lr=OneCycle(0.16))  # eight times the batch size and the lr
# found by trial on the validation part
MNIST = replace(lenet.FAST, batch=128, epochs=5, lr=OneCycle(0.004), crop_sampler=RandomCrop(pad=1))


def benchmarks(quick: bool) -> tuple[Benchmark, ...]:
    def contender(network: str, recipe: Recipe, data: str, views: int) -> Factory:
        return partial(our_trainings, network, recipe, data, views, quick)

    scripts: dict[str, Factory] = {}
    if not quick:
        scripts = {name: partial(airbench, file) for name, file in SCRIPTS.items()}
    networks = {
        f"classicnets, {name}, {epochs} epochs": contender(
            name, replace(CIFAR, epochs=epochs), "cifar10", 6
        )
        for name, epochs in EPOCHS.items()
    }
    cifar = Case(
        "94 % on CIFAR-10",
        scripts | networks,
        tuple(Target(name, 1.0, script) for script in list(scripts)[:1] for name in networks),
        accuracy=94.0,
    )
    mnist = Case(
        "99 % on MNIST",
        {"classicnets": contender("lenet5", MNIST, "mnist", 1)},
        (Target("classicnets", 1.0, 1.0),),
        accuracy=99.0,
    )
    titles = {
        "time-to-94": ("Time to 94 % on CIFAR-10", cifar),
        "time-to-99": ("Time to 99 % on MNIST by LeNet-5", mnist),
    }
    return tuple(
        Benchmark(name, title, (case,), "s", TRAININGS, run_trainings)
        for name, (title, case) in titles.items()
    )


def run_trainings(
    benchmark: Benchmark, trainings: int, threads: int, quick: bool = False, device: str = "cpu"
) -> list[Outcome]:
    """Half of the trainings of each contender in turn, then the other half; a script runs once."""
    for name in (AIRBENCH, DATA):  # workers change the directory
        if name in os.environ:
            os.environ[name] = str(Path(os.environ[name]).resolve())
    outcomes = []
    for case in benchmark.cases:
        outcome = Outcome(case, {name: Result() for name in case.contenders})
        outcomes.append(outcome)
        with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
            workers = {
                name: stack.enter_context(Worker(factory, True, directory, threads, device))
                for name, factory in case.contenders.items()
            }
            for fraction in (0.5, 1.0):
                outcome.loads.append(os.getloadavg()[0])
                for name, worker in workers.items():
                    _train_until(worker, outcome.results[name], fraction * trainings)
    return outcomes


def _train_until(worker: Worker, result: Result, trainings: float) -> None:
    """Trains until the result has so many trainings, or the contender fails."""
    if result.status:
        return
    try:
        if not result.rounds:
            result.precision = worker.ask("precision", 1)
            result.startup = worker.seconds
        while len(result.rounds) < trainings:
            measured = worker.ask("measure", 1)
            result.rounds += measured["seconds"]
            result.accuracies += measured["accuracies"]
    except ContenderError as error:
        result.status = str(error)


def our_trainings(network: str, recipe: Recipe, data: str, views: int, quick: bool) -> Contender:
    splits = noise_splits(data, network) if quick else published_splits(data, network)
    if quick:
        recipe = replace(recipe, batch=FEW // 2, epochs=1)
    train_seed = partial(train, network, recipe, splits, views)
    precision, _, _ = train_seed(0)  # the warm-up
    seeds = count(1)

    def run() -> dict[str, Any]:
        _, seconds, accuracy = train_seed(next(seeds))
        return {"seconds": [seconds], "accuracies": [accuracy]}

    return Contender(run, lambda: 0.0, precision)


def train(
    name: str, recipe: Recipe, splits: Splits, views: int, seed: int
) -> tuple[str, float, float]:
    """Trains once; returns the precision, the seconds and the test accuracy in %."""
    torch.manual_seed(seed)
    entry = catalog.find(name)
    network = catalog.build(name, classes=len(splits.classes)).to(environment.device)
    execution, _ = resolve_execution(
        Execution(), network, entry.input, recipe.batch, recipe.optimizer
    )
    environment.synchronize()
    start = perf_counter()
    config = run_config(name, recipe, splits, execution, seed)
    loop.initialise(network, recipe, seed)
    state = loop.start(network, config)
    for _ in loop.train(state, config, splits):
        pass
    test = splits.test
    assert isinstance(test, Images)
    inference = Inference(state.evaluated, replace(execution, graph=False))
    parts = (config.scaling(part) for part in test.pixels.split(2000))
    predicted = torch.cat([view_scores(inference, part, views).argmax(1) for part in parts])
    accuracy = 100 * (predicted == test.labels).double().mean().item()
    precision = environment.reported_precision(execution.precision)
    return precision, perf_counter() - start, accuracy


def view_scores(network: Inference, x: Tensor, views: int) -> Tensor:
    """Scores of the images or, for six views, with two shifts by a pixel and all of it mirrored."""
    if views == 1:
        return network(x)
    side, padded = x.shape[-1], F.pad(x, (1, 1, 1, 1), "reflect")
    shifts = ((0.25, padded[:, :, k : k + side, k : k + side]) for k in (0, 2))
    return sum(
        (weight * (network(view) + network(view.flip(-1))) for weight, view in ((0.5, x), *shifts)),
        torch.zeros((), device=x.device),
    )


def published_splits(data: str, network: str) -> Splits:
    """A published data set, on the device. Raises Unavailable where it cannot be read."""
    channels, side, _ = catalog.find(network).input
    try:
        splits = open_data(data, side, channels)
    except (ValueError, OSError) as error:
        raise Unavailable(f"{data}: {str(error).splitlines()[0]}") from error
    parts = (splits.train, splits.validation, splits.test)
    train, validation, test = (p for p in parts if isinstance(p, Images))
    pixels = torch.cat([train.pixels, validation.pixels])
    train = Images(pixels, torch.cat([train.labels, validation.labels]))
    return _splits(data, splits.classes, train, test)


def noise_splits(data: str, network: str) -> Splits:
    """Noise in the place of a data set."""
    train, test = (Images(*noise(n, catalog.find(network).input)) for n in (2 * FEW, FEW))
    return _splits(data, tuple("0123456789"), train, test)


def _splits(data: str, classes: tuple[str, ...], train: Images, test: Images) -> Splits:
    """On the device, with a few test images as validation part, which takes hardly any time."""
    few = Images(test.pixels[:FEW], test.labels[:FEW])
    return Splits(data, classes, train, few, test).to(environment.device)


def airbench(file: str) -> Contender:
    """An unchanged airbench script, with the data where it would download them to."""
    script = Path(os.environ.get(AIRBENCH, "nowhere")) / file
    if not script.is_file():
        raise Unavailable(
            f"no {file}: {AIRBENCH} must be the path of a clone of KellerJordan/cifar10-airbench"
        )
    save_for_airbench(published_splits("cifar10", "resnet20"), Path("cifar10"))

    def run() -> dict[str, Any]:
        found = list(islice(run_script(script.resolve()), TRAININGS))
        if not found:
            raise RuntimeError(f"{file} ended without a training; its error is above")
        return {"seconds": [s for s, _ in found], "accuracies": [a for _, a in found]}

    return Contender(run, lambda: 0.0, "fp16")


def save_for_airbench(splits: Splits, folder: Path) -> None:
    """Saves the data in airbench's format: uint8 images (n, h, w, c), labels, classes."""
    folder.mkdir(exist_ok=True)
    for name, part in (("train", splits.train), ("test", splits.test)):
        assert isinstance(part, Images)
        images = part.pixels.permute(0, 2, 3, 1).contiguous().cpu()
        data = {"images": images, "labels": part.labels.cpu(), "classes": list(splits.classes)}
        torch.save(data, folder / f"{name}.pt")


def run_script(script: Path) -> Iterator[tuple[float, float]]:
    """Seconds and accuracy in % of each training as printed; closing it stops the script."""
    command = [sys.executable, "-u", str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield from parse(process.stdout)
        finally:
            process.kill()


def parse(lines: Iterable[str]) -> Iterator[tuple[float, float]]:
    """The last row of each training in airbench's table, except the warm-up.

    >>> list(parse("|run|epoch|tta_val_acc|time_seconds|\\n|warmup|0| |1|\\n| |eval|0.1|1|\\n"
    ...            "|0|0| |1.5|\\n| |eval|0.94|2.5|".splitlines()))
    [(2.5, 94.0)]
    """
    head: list[str] = []
    current = ""
    for line in lines:
        if not line.startswith("|"):
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if cells[0] == "run":
            head = cells
            continue
        row = dict(zip(head, cells, strict=True))
        current = row["run"] or current
        if row["epoch"] == "eval" and current != "warmup":
            yield float(row[head[-1]]), 100 * float(row["tta_val_acc"])
