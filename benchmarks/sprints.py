"""Time to accuracy: whole trainings, seed by seed, on data that lie on the device.

Reading the data and a first training that warms up do not count; what follows does, to the answers
for the test pictures, each seen in six views on CIFAR-10, as airbench's scripts see them. Those
count their passes and views alone; of ours the initial values, the recording of steps and a look at
a few pictures after each pass count as well. The validation part is trained on too.
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

import place
import torch
from epochs import FEW, planned
from harness import Bar, Contest, Gone, Make, NotHere, Outcome, Ready, Result, Side, Work
from loaders import noise
from torch import Tensor
from torch.nn import functional as F

from classicnets import catalog
from classicnets.data.crops import RandomCrop
from classicnets.data.images import Images, Splits
from classicnets.data.sets import open_data
from classicnets.recipes import lenet
from classicnets.recipes.fast import fast
from classicnets.training.execution.inference import Inference
from classicnets.training.execution.step import Execution, resolve_execution
from classicnets.training.recipe.recipe import Recipe
from classicnets.training.recipe.schedules import OneCycle
from classicnets.training.run import loop

TRAININGS = 25
FOLDER = "CLASSICNETS_DATA"  # names the one with the data
AIRBENCH = "AIRBENCH"  # names a folder with a clone of KellerJordan/cifar10-airbench
SCRIPTS = {
    "airbench94_compiled": "legacy/airbench94_compiled.py",
    "airbench94_muon": "airbench94_muon.py",
}
# passes in which a published network may come near; the paper's own take 164
PASSES = {"resnet20": 20, "resnet56": 40, "resnet110": 40}
ON_CIFAR = replace(fast(32), batch=512, lr=OneCycle(0.16))  # eight times the batch and the rate
# found by trial on the validation part
ON_MNIST = replace(
    lenet.FAST, batch=128, epochs=5, lr=OneCycle(0.004), crop_sampler=RandomCrop(pad=1)
)


def contests(quick: bool) -> tuple[Contest, ...]:
    def trains(network: str, recipe: Recipe, data: str, views: int) -> Make:
        return partial(ours, network, recipe, data, views, quick)

    scripts: dict[str, Make] = {}
    if not quick:
        scripts = {name: partial(theirs, file) for name, file in SCRIPTS.items()}
    networks = {
        f"classicnets, {name}, {passes} passes": trains(
            name, replace(ON_CIFAR, epochs=passes), "cifar10", 6
        )
        for name, passes in PASSES.items()
    }
    cifar = Work(
        "94 % on CIFAR-10",
        scripts | networks,
        tuple(Bar(name, 1.0, script) for script in list(scripts)[:1] for name in networks),
        accuracy=94.0,
    )
    mnist = Work(
        "99 % on MNIST",
        {"classicnets": trains("lenet5", ON_MNIST, "mnist", 1)},
        (Bar("classicnets", 1.0, 1.0),),
        accuracy=99.0,
    )
    return (
        Contest("sprint-cifar", "Time to 94 % on CIFAR-10", (cifar,), "s", TRAININGS, hold),
        Contest("sprint-mnist", "Time to 99 % on MNIST by LeNet-5", (mnist,), "s", TRAININGS, hold),
    )


def hold(
    contest: Contest, trainings: int, threads: int, quick: bool = False, device: str = "cpu"
) -> list[Outcome]:
    """Half of the trainings by each in turn, then the other half; a script makes all of its own."""
    for name in (AIRBENCH, FOLDER):  # contestants work in a folder of their own
        if name in os.environ:
            os.environ[name] = str(Path(os.environ[name]).resolve())
    outcomes = []
    for work in contest.works:
        outcome = Outcome(work, {name: Result() for name in work.contestants})
        outcomes.append(outcome)
        with tempfile.TemporaryDirectory() as desk, ExitStack() as stack:
            sides = {
                name: stack.enter_context(Side(make, True, desk, threads, device))
                for name, make in work.contestants.items()
            }
            for share in (0.5, 1.0):
                outcome.loads.append(os.getloadavg()[0])
                for name, side in sides.items():
                    _train(side, outcome.results[name], share * trainings)
    return outcomes


def _train(side: Side, result: Result, trainings: float) -> None:
    """Until there are so many of them, or none can be had."""
    if result.status:
        return
    try:
        if not result.rounds:
            result.precision = side.ask("precision", 1)
            result.start = side.seconds
        while len(result.rounds) < trainings:
            told = side.ask("measure", 1)
            result.rounds += told["seconds"]
            result.accuracies += told["accuracies"]
    except Gone as gone:
        result.status = str(gone)


def ours(network: str, recipe: Recipe, data: str, views: int, quick: bool) -> Ready:
    splits = some(data, network) if quick else whole(data, network)
    if quick:
        recipe = replace(recipe, batch=FEW // 2, epochs=1)
    trained = partial(train, network, recipe, splits, views)
    precision, _, _ = trained(0)  # warms up
    seeds = count(1)

    def once() -> dict[str, Any]:
        _, seconds, accuracy = trained(next(seeds))
        return {"seconds": [seconds], "accuracies": [accuracy]}

    return Ready(once, lambda: 0.0, precision)


def train(
    name: str, recipe: Recipe, splits: Splits, views: int, seed: int
) -> tuple[str, float, float]:
    """The precision, the seconds, and the share of right answers in %."""
    torch.manual_seed(seed)
    entry = catalog.find(name)
    network = catalog.build(name, classes=len(splits.classes)).to(place.device)
    execution, _ = resolve_execution(
        Execution(), network, entry.input, recipe.batch, recipe.optimizer
    )
    place.wait()
    began = perf_counter()
    plan = planned(recipe, splits, execution, seed)
    state = loop.start(network, plan)
    for _ in loop.train(state, plan):
        pass
    test = splits.test
    assert isinstance(test, Images)
    ready = Inference(state.judged, replace(execution, graph=False))
    found = [seen(ready, plan.scaling(part), views).argmax(1) for part in test.pixels.split(2000)]
    accuracy = 100 * (torch.cat(found) == test.labels).double().mean().item()
    precision = execution.precision if execution.precision == "bf16" else place.full()
    return precision, perf_counter() - began, accuracy


def seen(network: Inference, x: Tensor, views: int) -> Tensor:
    """Scores of pictures as they are, or with their mirror images and two shifts by a pixel."""
    if views == 1:
        return network(x)
    side, wide = x.shape[-1], F.pad(x, (1, 1, 1, 1), "reflect")
    places = ((0.5, x), *((0.25, wide[:, :, k : k + side, k : k + side]) for k in (0, 2)))
    return sum(
        (share * (network(part) + network(part.flip(-1))) for share, part in places),
        torch.zeros((), device=x.device),
    )


def whole(data: str, network: str) -> Splits:
    """A published set on the device. Raises NotHere where it cannot be had."""
    channels, side, _ = catalog.find(network).input
    try:
        splits = open_data(data, side, channels)
    except (ValueError, OSError) as error:
        raise NotHere(f"{data}: {str(error).splitlines()[0]}") from error
    parts = (splits.train, splits.validation, splits.test)
    train, validation, test = (p for p in parts if isinstance(p, Images))
    pixels = torch.cat([train.pixels, validation.pixels])
    train = Images(pixels, torch.cat([train.labels, validation.labels]))
    return _placed(data, splits.classes, train, test)


def some(data: str, network: str) -> Splits:
    """Noise, in place of it."""
    train, test = (Images(*noise(n, catalog.find(network).input)) for n in (2 * FEW, FEW))
    return _placed(data, tuple("0123456789"), train, test)


def _placed(data: str, classes: tuple[str, ...], train: Images, test: Images) -> Splits:
    """The passes end with a look at a few test pictures, which takes next to nothing."""
    few = Images(test.pixels[:FEW], test.labels[:FEW])
    return Splits(data, classes, *(part.to(place.device) for part in (train, few, test)))


def theirs(file: str) -> Ready:
    """A script of airbench, run as it is; it finds the data where it would put them."""
    script = Path(os.environ.get(AIRBENCH, "nowhere")) / file
    if not script.is_file():
        raise NotHere(f"{AIRBENCH} names no folder with {file}, of KellerJordan/cifar10-airbench")
    spread(whole("cifar10", "resnet20"), Path("cifar10"))

    def once() -> dict[str, Any]:
        found = list(islice(run(script.resolve()), TRAININGS))
        if not found:
            raise RuntimeError(f"{file} ended without a training; its last words are above")
        return {"seconds": [s for s, _ in found], "accuracies": [a for _, a in found]}

    return Ready(once, lambda: 0.0, "fp16")


def spread(splits: Splits, folder: Path) -> None:
    """The set as airbench keeps it: bytes (n, h, w, c), labels, classes."""
    folder.mkdir(exist_ok=True)
    for name, part in (("train", splits.train), ("test", splits.test)):
        assert isinstance(part, Images)
        images = part.pixels.permute(0, 2, 3, 1).contiguous().cpu()
        held = {"images": images, "labels": part.labels.cpu(), "classes": list(splits.classes)}
        torch.save(held, folder / f"{name}.pt")


def run(script: Path) -> Iterator[tuple[float, float]]:
    """The seconds and % of its trainings, as it says them; it is stopped when no more are asked."""
    command = [sys.executable, "-u", str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield from read(process.stdout)
        finally:
            process.kill()


def read(lines: Iterable[str]) -> Iterator[tuple[float, float]]:
    """What a table of airbench says: the last row of each training, but the one that warms up.

    >>> list(read("|run|epoch|tta_val_acc|time_seconds|\\n|warmup|0| |1|\\n| |eval|0.1|1|\\n"
    ...           "|0|0| |1.5|\\n| |eval|0.94|2.5|".splitlines()))
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
