"""What `classicnets plan` predicts beside what is measured: peak memory of a training step."""

from functools import partial

from harness import Benchmark, Case, Contender, Target
from networks import our_network
from steps import classicnets_step, peak_memory

from classicnets import catalog
from classicnets.training.execution.execution import Execution
from classicnets.training.execution.memory import MARGIN, step_peak

# batches; the constants of the prediction were chosen on the first six networks
FITTED = {"lenet5": 32, "resnet20": 128, "alexnet": 16, "resnet50": 8, "googlenet": 8, "vgg_a": 4}
OTHERS = {"resnet18": 16, "plain34": 8, "resnet110": 32, "zfnet": 16, "vgg_d": 2, "resnet152": 2}
UNSPLIT = Execution("fp32", accumulation_steps=1)


def predicted_memory(name: str, batch: int) -> Contender:
    network, shape = our_network(name), catalog.find(name).input
    return Contender(lambda: step_peak(network, shape, batch).total, lambda: [0.0])


def memory(name: str, batch: int) -> Case:
    contenders = {
        "predicted": partial(predicted_memory, name, batch),
        "classicnets": partial(peak_memory, partial(classicnets_step, name, batch, UNSPLIT)),
    }
    # neither is more than MARGIN times the other
    targets = (
        Target("classicnets", 1 / MARGIN, "predicted"),
        Target("predicted", 1 / MARGIN, "classicnets"),
    )
    chosen = ", among those that the prediction was fitted to" * (name in FITTED)
    reason = "a prediction has no output"
    return Case(f"{name}, batch {batch}{chosen}", contenders, targets, not_compared=reason)


def benchmarks(quick: bool) -> tuple[Benchmark, ...]:
    networks = {"lenet5": 2, "resnet20": 2} if quick else FITTED | OTHERS
    cases = tuple(memory(name, batch) for name, batch in networks.items())
    title = "Peak memory of a training step in fp32, predicted and measured; the whole process"
    return (Benchmark("planning", title, cases, unit="bytes"),)
