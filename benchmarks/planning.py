"""What `classicnets plan` predicts beside what is measured: memory and time of a training step."""

from functools import partial
from statistics import median
from time import perf_counter

import environment
from harness import Benchmark, Case, Contender, Target
from networks import our_network
from steps import classicnets_step, peak_memory

from classicnets import catalog
from classicnets.api.speed import time_steps
from classicnets.measure import roofline
from classicnets.measure.live import Live
from classicnets.support.devices import supports_bf16
from classicnets.training.execution.execution import Execution
from classicnets.training.execution.memory import MARGIN, step_peak
from classicnets.training.execution.plan import predict_step

# batches; the constants of the predictions were chosen on the first six networks
FITTED = {"lenet5": 32, "resnet20": 128, "alexnet": 16, "resnet50": 8, "googlenet": 8, "vgg_a": 4}
OTHERS = {"resnet18": 16, "plain34": 8, "resnet110": 32, "zfnet": 16, "vgg_d": 2, "resnet152": 2}
PREDICTED, MEASURED = 1.25, 1.07  # of the time, at most
CALLS = 5  # of a step, after one that is not counted: the first after a pause takes longer
REASON = "a prediction has no output"


def predicted_memory(name: str, batch: int, precision: str) -> Contender:
    network, shape = our_network(name), catalog.find(name).input

    def predict() -> int:
        return step_peak(network, shape, batch, precision=precision).total

    return Contender(predict, lambda: [0.0], precision)


def predicted_time(name: str, batch: int, precision: str) -> Contender:
    network, entry, live = our_network(name), catalog.find(name), Live()
    shape, passes = entry.input, entry.recipe.optimizer.passes
    step_peak(network, shape, batch, precision=precision, live=live)
    weights = sum(p.numel() * p.element_size() for p in network.parameters())

    def predict() -> float:
        rates = roofline.sample(environment.device, (precision,), brief=True)
        return predict_step(live, weights, passes, rates, precision, environment.device.type).likely

    return Contender(predict, lambda: [0.0], precision)


def measured_time(name: str, batch: int, precision: str) -> Contender:
    """The median of the steps that `plan --measure` times."""
    entry, execution = catalog.find(name), Execution(precision, accumulation_steps=1)
    network = our_network(name)
    arguments = (network, entry.recipe, entry.input, batch, environment.device, execution)
    return Contender(lambda: median(time_steps(*arguments)), lambda: [0.0], precision)


def real_time(name: str, batch: int, precision: str) -> Contender:
    """The median of some steps of the paper's recipe."""
    step = classicnets_step(name, batch, Execution(precision, accumulation_steps=1), of_recipe=True)

    def run() -> float:
        seconds = []
        for _ in range(1 + CALLS):
            began = perf_counter()
            step.run()
            seconds.append(perf_counter() - began)
        return median(seconds[1:])

    return Contender(run, lambda: [0.0], precision)


def within(factor: float, contender: str) -> tuple[Target, Target]:
    """Neither this contender nor the step itself is more than `factor` times the other."""
    return (
        Target("classicnets", 1 / factor, contender),
        Target(contender, 1 / factor, "classicnets"),
    )


def title(name: str, batch: int, precision: str) -> str:
    chosen = ", among those that the prediction was fitted to" * (name in FITTED)
    return f"{name}, batch {batch}, {precision}{chosen}"


def memory(name: str, batch: int, precision: str) -> Case:
    step = partial(classicnets_step, name, batch, Execution(precision, accumulation_steps=1))
    contenders = {
        "predicted": partial(predicted_memory, name, batch, precision),
        "classicnets": partial(peak_memory, step),
    }
    targets = within(MARGIN, "predicted")
    return Case(title(name, batch, precision), contenders, targets, not_compared=REASON)


def time(name: str, batch: int, precision: str) -> Case:
    contenders = {
        "predicted": partial(predicted_time, name, batch, precision),
        "five steps": partial(measured_time, name, batch, precision),
        "classicnets": partial(real_time, name, batch, precision),
    }
    targets = within(PREDICTED, "predicted") + within(MEASURED, "five steps")
    return Case(title(name, batch, precision), contenders, targets, not_compared=REASON)


def benchmarks(quick: bool) -> tuple[Benchmark, ...]:
    networks = {"lenet5": 2, "resnet20": 2} if quick else FITTED | OTHERS
    bf16 = ("bf16",) if supports_bf16(environment.device) and not quick else ()
    runs = [(*run, precision) for run in networks.items() for precision in ("fp32", *bf16)]
    steps = "of a training step, predicted and measured"
    return (
        Benchmark(
            "planning",
            f"Peak memory {steps}; the whole process",
            tuple(memory(*run) for run in runs),
            unit="bytes",
        ),
        Benchmark("planning-time", f"Time {steps}", tuple(time(*run) for run in runs)),
    )
