"""Trainings killed at random moments, resumed, and compared with ones that nobody killed.

    python benchmarks/kill.py --kills 100 --work DIRECTORY
    python benchmarks/kill.py --kills 25 --case shards

Five trainings: LeNet-5; ResNet-20 with augmentation, averaged weights and accumulated gradients; a
design with dropout; fine-tuning; and one from shards, which saves in the middle of an epoch too.
Each is trained once without being disturbed. Then processes of it are started, killed (SIGKILL) at
a random moment of their life or, every second time, in the next write after one, and resumed, three
times in a row; the fourth process runs to its end. The weights, the whole saved state and the
metrics but their times must equal those of the undisturbed training, byte for byte. A process that
is killed before there is a run starts it anew. Results go to results/kill.json, of one case to
results/kill-CASE.json; the exit status is 1 if one training differs.
"""

import argparse
import contextlib
import json
import random
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

import classicnets as cn
from classicnets.api import train
from classicnets.api.train import Training, versions
from classicnets.support.errors import TrainingAdvice
from classicnets.training.execution.execution import Execution

RESULTS = Path(__file__).parent / "results/kill.json"
IN_A_ROW = 3
DESIGN = "small.net"
AUGMENTED = {
    "steps": "24",
    "average": "Ema(0.9)",
    "augment": "(HorizontalFlip(),)",
    "crop_sampler": "RandomCrop(pad=2)",
    "size": "16",
}
CASES: dict[str, dict[str, Any]] = {
    "LeNet-5": {"network": "lenet5", "data": "digits", "overrides": {"steps": "400"}},
    "ResNet-20": {
        "network": "resnet20",
        "data": "synthetic",
        "recipe": "fast",
        "overrides": AUGMENTED,
        "execution": Execution(accumulation_steps=2, precision="fp32"),
    },
    "design": {"network": DESIGN, "data": "synthetic", "overrides": {"steps": "60"}},
    "fine-tuning": {
        "network": "resnet20",
        "data": "synthetic",
        "init_from": "learnt",
        "overrides": {"steps": "24", "size": "16"},
    },
    "shards": {
        "network": "lenet5",
        "data": "shards/train-{000000..000005}.tar",
        "recipe": "fast",
        "overrides": {"steps": "200", "batch": "16", "crop_sampler": "RandomCrop(whole=True)"},
    },
}
SAVE_EVERY = {"shards": 0.2}  # seconds; ten minutes otherwise, so at the end of an epoch


def begin(name: str, directory: Path) -> Training:
    """The training of a case in the working directory, as far as it is."""
    if (directory / "run.json").exists():
        return cn.resume(directory)
    return cn.train(**CASES[name], out=directory)


def prepare() -> None:
    """Writes the design, the shards, and the run that fine-tuning starts from."""
    if not Path(DESIGN).exists():
        Path(DESIGN).write_text(cn.design("alexnet", "1/8", (3, 64, 64), 4))
    if not Path("shards").exists():
        cn.pack("digits", "shards", side=32, channels=1, shards=6)
    if not Path("learnt/weights.safetensors").exists():
        cn.train("resnet20", "synthetic", "fast", epochs=1, out="learnt", exist_ok=True).finish()


def process(name: str, directory: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, __file__, "--train", name, "--out", str(directory)]
    return subprocess.Popen(command)


def kill(name: str, directory: Path, after: float, writing: bool) -> str:
    """Kills a process that trains after so many seconds, or then in its next write; says where."""
    before = parts(directory)  # left by an earlier kill
    training = process(name, directory)
    with contextlib.suppress(subprocess.TimeoutExpired):
        training.wait(after)
    while writing and training.poll() is None and parts(directory) <= before:
        pass
    if training.poll() is not None:
        assert training.returncode == 0, f"{directory} failed with status {training.returncode}"
        return "after its end"
    training.send_signal(signal.SIGKILL)
    training.wait()
    if not parts(directory) <= before:
        return "in a write"
    return "between writes" if (directory / "run.json").exists() else "before there was a run"


def parts(directory: Path) -> set[tuple[str, int]]:
    """The files that are being written, or were when a process was killed."""
    found = set()
    for path in directory.glob("*.part"):
        with contextlib.suppress(FileNotFoundError):
            found.add((path.name, path.stat().st_mtime_ns))
    return found


def outcome(directory: Path) -> Iterator[tuple[str, object]]:
    """What must be equal, by name."""
    yield "weights", (directory / "weights.safetensors").read_bytes()
    rows = (directory / "metrics.csv").read_text().splitlines()
    yield "metrics", [row.split(",")[:8] for row in rows]
    yield "test", json.loads((directory / "run.json").read_text())["test"]["top1_error"]
    yield from flat("state", torch.load(directory / "last.pt", weights_only=True))


def flat(name: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, torch.Tensor):
        yield name, (str(value.dtype), value.shape, value.numpy().tobytes())
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from flat(f"{name}.{key}", part)
    elif isinstance(value, list | tuple):
        for k, part in enumerate(value):
            yield from flat(f"{name}.{k}", part)
    else:
        yield name, repr(value)


def differing(one: Path, other: Path) -> list[str]:
    a, b = dict(outcome(one)), dict(outcome(other))
    return sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--work", type=Path, default=Path("killed"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", choices=CASES, help="this one only")
    parser.add_argument("--train", choices=CASES, help="trains one case in this process")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore", TrainingAdvice)
    torch.set_num_threads(1)  # sums of parts round by their number
    if options.train:
        train.SAVE_EVERY = SAVE_EVERY.get(options.train, train.SAVE_EVERY)
        begin(options.train, options.out).finish()
        return 0
    options.work.mkdir(parents=True, exist_ok=True)
    with contextlib.chdir(options.work):
        names = [options.case] if options.case else list(CASES)
        found = run(names, options.kills, random.Random(options.seed))
    command, results = f"python benchmarks/kill.py --kills {options.kills}", RESULTS
    if options.case:
        command += f" --case {options.case}"
        results = RESULTS.with_stem(f"{RESULTS.stem}-{options.case}")
    content = {"command": command, **found}
    results.write_text(json.dumps({**content, "versions": versions()}, indent=1) + "\n")
    print(json.dumps(content, indent=1))
    return 0 if not found["differing"] else 1


def run(names: list[str], kills: int, chance: random.Random) -> dict[str, Any]:
    prepare()
    seconds = {}
    for name in names:
        began = time.perf_counter()
        whole = Path(f"whole-{name}")
        assert process(name, whole).wait() == 0, f"{name} does not train"
        seconds[name] = time.perf_counter() - began
    done: dict[str, Counter[str]] = {name: Counter() for name in names}
    different: dict[str, list[str]] = {}
    trainings = 0
    while sum(count for stages in done.values() for count in stages.values()) < kills:
        name = names[trainings % len(names)]
        directory = Path(f"killed-{trainings}")
        for _ in range(IN_A_ROW):
            after, writing = chance.uniform(0, seconds[name]), chance.random() < 0.5
            where = kill(name, directory, after, writing)
            if where == "after its end":
                break
            done[name][where] += 1
        assert process(name, directory).wait() == 0, f"{directory} does not resume"
        if parts_of := differing(Path(f"whole-{name}"), directory):
            different[str(directory)] = parts_of
        trainings += 1
        print(f"{trainings} trainings, {dict(done[name])}, {len(different)} differ", flush=True)
    return {"kills": done, "trainings": trainings, "differing": different}


if __name__ == "__main__":
    sys.exit(main())
