"""Runs benchmarks and writes their results: python benchmarks/run.py [NAME ...]

With --device cuda those on a GPU, after checking that the results there are correct. See
benchmarks/README.md.
"""

import argparse
import re
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

import commands
import correctness
import environment
import epochs
import experiments
import gpu
import image_folder
import inference
import lrn
import planning
import report
import steps
import torch
from harness import Benchmark, OutputMismatch, run_interleaved

from classicnets.support.devices import device_name

RESULTS = Path(__file__).parent / "results"
CORRECTNESS = "correctness"
SMALL = ("resnet20", "lenet5")


def benchmarks(quick: bool, device: str = "cpu") -> dict[str, Benchmark]:
    if device == "cuda":
        return {benchmark.name: benchmark for benchmark in gpu.benchmarks(quick)}
    modules = (steps, lrn, inference, epochs, image_folder, commands, planning, experiments)
    return {b.name: b for module in modules for b in module.benchmarks(quick)}


def main(args: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks; default: all")
    parser.add_argument("--list", action="store_true", help="list the benchmarks and exit")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, one round: does it run?")
    parser.add_argument(
        "--rounds", type=int, default=None, help="default: 7; in time-to-94 and time-to-99 25"
    )
    parser.add_argument(
        "--threads", type=int, default=torch.get_num_threads(), help="of each contender"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=None,
        help="default: benchmarks/results, or a folder in it for each GPU",
    )
    options = parser.parse_args(args)
    available = benchmarks(options.quick, options.device)
    if options.list:
        checks = [f"{CORRECTNESS:26}Are the results on this GPU correct?"]
        checks *= options.device == "cuda"
        print("\n".join([*checks, *(f"{name:26}{b.title}" for name, b in available.items())]))
        return 0
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda needs a GPU, and this torch finds none")
    environment.use_device(options.device)
    names = [*[CORRECTNESS] * environment.on_gpu(), *available]
    names = select(parser, options.names, names)
    # figures of a quick run must not end up among the results
    out = options.out or (Path(tempfile.mkdtemp()) if options.quick else results_directory())
    conditions = {
        "command": shlex.join(["python", "benchmarks/run.py", *args]),
        "quick": options.quick,
        "rounds": options.rounds or (1 if options.quick else None),
        "threads": options.threads,
        "device": device_name(environment.device),
    }
    complete = True
    if CORRECTNESS in names:
        names.remove(CORRECTNESS)
        if not check_correctness(out, conditions):
            print("nothing is timed, since a correctness check failed", file=sys.stderr)
            return 1
    for name in names:
        complete &= run_benchmark(available[name], out, conditions)
        if environment.on_gpu():
            report.write_summary(out)
    print(f"results written to {out}")
    return 0 if complete else 1


def select(parser: argparse.ArgumentParser, wanted: list[str], available: list[str]) -> list[str]:
    """The benchmarks with these names or prefixes: `steps` also selects steps-resnet50."""

    def matches(name: str, prefix: str) -> bool:
        return name == prefix or name.startswith(f"{prefix}-")

    for prefix in wanted:
        if not any(matches(name, prefix) for name in available):
            parser.error(f"unknown benchmark {prefix!r}; choose from {', '.join(available)}")
    return [n for n in available if not wanted or any(matches(n, prefix) for prefix in wanted)]


def results_directory() -> Path:
    """`results` for a CPU, a folder in it for each GPU."""
    if not environment.on_gpu():
        return RESULTS
    name = device_name(environment.device).lower()
    return RESULTS / re.sub(r"[^a-z0-9]+", "-", name).strip("-")


def check_correctness(out: Path, conditions: dict[str, Any]) -> bool:
    """Runs and writes the correctness checks; whether all of them passed."""
    names = ("resnet18", "alexnet", *SMALL) if conditions["quick"] else (*gpu.TRAINED, *SMALL)
    found = []
    for check in correctness.checks(names, SMALL):
        found.append(check)
        print(f"{'passed' if check.passed else 'FAILED'}: {check}", flush=True)
    out.mkdir(parents=True, exist_ok=True)
    text = correctness.table(found, f"{conditions['device']}, torch {torch.__version__}")
    (out / f"{CORRECTNESS}.md").write_text(text, encoding="utf-8")
    environment.release_memory()
    return all(check.passed for check in found)


def run_benchmark(benchmark: Benchmark, out: Path, conditions: dict[str, Any]) -> bool:
    """Runs a benchmark, prints and writes its report; whether no contender failed."""
    conditions = conditions | {"rounds": conditions["rounds"] or benchmark.rounds}
    settings = (conditions[name] for name in ("rounds", "threads", "quick"))
    runner = benchmark.runner or run_interleaved
    try:
        outcomes = runner(benchmark, *settings, device=environment.device.type)
    except OutputMismatch as error:
        print(f"{benchmark.name} is not timed: {error}\n", file=sys.stderr)
        return False
    print(report.write(benchmark, outcomes, out, conditions), flush=True)
    statuses = [result.status for outcome in outcomes for result in outcome.results.values()]
    return not any(status.startswith("failed") for status in statuses)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
