"""Six seeds of a network: one training after another, and as an experiment trains them."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter

import torch
from harness import Benchmark, Case, Contender, Target

import classicnets as cn
from classicnets.api.members import Job, Pool
from classicnets.support.machine import cpu_count

SEEDS = 6
ONE_BY_ONE, IN_PROCESSES = "one after another", "in processes"
NARROW_VGG = "vgg_a.net"


@contextmanager
def _directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def _jobs(folder: Path, network: str, data: str, steps: int) -> list[Job]:
    if network == NARROW_VGG:
        text = cn.design("vgg_a", classes=10, width="1/8", size=(3, 32, 32))
        (folder / NARROW_VGG).write_text(text)
        network = str(folder / NARROW_VGG)
    sizes = {"size": "32"} if network.endswith(".net") else {}
    overrides = {"steps": str(steps), **sizes}
    return [
        Job(
            str(folder / f"{seed}"), network, data, None, None, overrides, seed, "cpu", False, False
        )
        for seed in range(SEEDS)
    ]


def _first(jobs: list[Job], folder: Path) -> Job:
    """A run of one step, after which a process has imported and read all it needs."""
    overrides = {**jobs[0].overrides, "steps": "1"}
    return replace(jobs[0], directory=str(folder / "first"), overrides=overrides)


def _finish(job: Job) -> None:
    options = {"out": job.directory, "seed": job.seed, "overrides": job.overrides}
    cn.train(job.network, job.data, **options).finish()


def one_by_one(network: str, data: str, steps: int) -> Contender:
    """`cn.train`, in one process with all threads."""
    torch.set_num_threads(cpu_count())

    def run() -> float:
        with _directory() as folder:
            jobs = _jobs(folder, network, data, steps)
            _finish(_first(jobs, folder))
            began = perf_counter()
            for job in jobs:
                _finish(job)
            return perf_counter() - began

    return Contender(run, lambda: [0.0])


def in_processes(network: str, data: str, steps: int) -> Contender:
    """The processes of an experiment, one for each core."""

    def run() -> float:
        with _directory() as folder, Pool(cpu_count(), 1, folder / "log") as pool:
            jobs = _jobs(folder, network, data, steps)
            list(pool.train(_first(jobs, folder / f"warm{k}") for k in range(cpu_count())))
            began = perf_counter()
            list(pool.train(jobs))
            return perf_counter() - began

    return Contender(run, lambda: [0.0])


def _case(name: str, network: str, data: str, steps: int) -> Case:
    ways: dict[str, Callable[..., Contender]] = {ONE_BY_ONE: one_by_one, IN_PROCESSES: in_processes}
    contenders = {label: partial(way, network, data, steps) for label, way in ways.items()}
    target = (Target(IN_PROCESSES, 3.0, ONE_BY_ONE),)
    return Case(name, contenders, target, not_compared="a training has no output to compare")


def benchmarks(quick: bool) -> tuple[Benchmark, ...]:
    cases = (_case("LeNet-5, 80 steps", "lenet5", "digits", 2 if quick else 80),)
    if not quick:
        cases += (
            _case("narrow VGG A, 20 steps", NARROW_VGG, "synthetic", 20),
            _case("ResNet-20, 20 steps", "resnet20", "synthetic", 20),
        )
    title = f"{SEEDS} seeds of a network: one training after another, and as `experiment` does it"
    return (Benchmark("experiments", title, cases, rounds=3),)
