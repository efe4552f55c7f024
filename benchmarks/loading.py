"""Loading a network with pretrained weights, beside torch.load of the same bytes.

python benchmarks/loading.py [--rounds N] [--out FOLDER]

Weights are drawn, and saved under torchvision's names; `import_weights` makes a run of them, as the
first use of published weights does. In each round every contender has a process of its own, in
turn. Seconds are those of the call, after all imports. Memory is the peak of the resident set
beyond that before the call, in which pages of a mapped file count once they are read: of the call
(load), and with every weight read once after it (read).
"""

import argparse
import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch

import classicnets as cn
from classicnets.support.devices import device_name
from classicnets.weights.bridges import BRIDGES

NETWORKS = {"resnet50_v15": "ResNet-50", "vgg_d": "VGG D"}
TARGETS = """Loading a network with pretrained weights from the cache, beside torch.load of the same
bytes. Targets: 1.3 times the seconds of torch.load, and 1.2 times the memory of the weights. Memory
is the peak beyond that before the call, of the call and with every weight read once."""
RESULTS = Path(__file__).parent / "results"
START = """
import sys, time
from pathlib import Path
import torch
import classicnets as cn
from classicnets.api.runs import load_best

def resident(field):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024

def peak():
    return resident("VmHWM") - before

torch.set_num_threads(1)
Path("/proc/self/clear_refs").write_text("5")
before = resident("VmRSS")
began = time.perf_counter()
"""
END = """
seconds, loaded = time.perf_counter() - began, peak()
tensors = list(found.state_dict().values() if hasattr(found, "state_dict") else found.values())
total = sum(float(t.sum()) for t in tensors)
print(seconds, loaded, peak(), sum(t.nbytes for t in tensors))
"""
CONTENDERS = {
    "torch.load": "found = torch.load(sys.argv[1], weights_only=True)",
    "torch.load, mmap": "found = torch.load(sys.argv[1], weights_only=True, mmap=True)",
    "classicnets.load": "found = cn.load(sys.argv[2])",
}


def prepare(name: str, folder: Path) -> tuple[Path, Path]:
    """The file of torch.save, and the run made of it."""
    network = cn.build(name)
    bridge = next(b for b in BRIDGES if b.family == ("vgg" if "vgg" in name else "resnet"))
    names = dict(bridge.names(network))
    file, run = folder / f"{name}.pth", folder / name
    torch.save({names[n]: t for n, t in network.state_dict().items()}, file)
    cn.import_weights(name, file, run)
    return file, run


def measure(contender: str, file: Path, run: Path) -> list[float]:
    code = START + CONTENDERS[contender] + END
    command = [sys.executable, "-c", code, str(file), str(run)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


def compare(name: str, rounds: int) -> dict:
    with TemporaryDirectory() as scratch:
        file, run = prepare(name, Path(scratch))
        found: dict[str, list[list[float]]] = {one: [] for one in CONTENDERS}
        for k in range(rounds + 1):
            for one in CONTENDERS:
                taken = measure(one, file, run)
                if k:  # the first reads the files from the disk
                    found[one].append(taken)
    return {"network": NETWORKS[name], "contenders": found}


def table(cases: list[dict]) -> str:
    """A row for each contender, with its medians; the last column is a share of the weights."""
    lines = ["| network | | seconds | of torch.load | memory, load | read | of the weights |"]
    lines.append("|---|---|--:|--:|--:|--:|--:|")
    for case in cases:
        columns = {
            k: [median(c) for c in zip(*v, strict=True)] for k, v in case["contenders"].items()
        }
        first = columns["torch.load"][0]
        for one, (seconds, loaded, read, weights) in columns.items():
            lines.append(
                f"| {case['network']} | {one} | {seconds:.3f} | {seconds / first:.2f} | "
                f"{loaded / 10**6:,.0f} MB | {read / 10**6:,.0f} MB | {read / weights:.2f} |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    cases = [compare(name, given.rounds) for name in NETWORKS]
    made = f"{device_name(torch.device('cpu'))}, one thread, torch {torch.__version__}, "
    made += f"{given.rounds} rounds, {date.today()}"
    text = "\n".join(["# loading", "", TARGETS, "", table(cases), made, ""])
    print(text)
    (given.out / "loading.json").write_text(json.dumps({"made": made, "cases": cases}, indent=1))
    (given.out / "loading.md").write_text(text)
