"""What 8 to 1,024 GPUs send each other: the tables in docs/machines.md and its Chinese twin.

    python benchmarks/cluster.py

Nothing is timed here. After each step the gradients, 4 bytes for each parameter, are summed over N
GPUs. In a ring each sends and receives 2 (N - 1) / N of them (Patarasu and Yuan, Journal of
Parallel and Distributed Computing 69, 2009), so that it takes that many bytes over the slowest
link. A step computes at the highest rate of the data sheet, which no training reaches: the
efficiency is larger than this. Its first bound is that of sending nothing while computing, its
second of sending as much as possible. Latency is left out.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from classicnets import catalog
from classicnets.measure import measure
from classicnets.measure.machines import MACHINES
from classicnets.training.execution.memory import step_peak

DOCS = Path(__file__).parents[1] / "docs"
PAGES = {"en": DOCS / "machines.md", "zh": DOCS / "zh/machines.md"}
BEGIN, END = "<!-- cluster.py -->\n", "<!-- end of cluster.py -->\n"
GPUS = (8, 16, 64, 256, 1024)
IN_A_MACHINE = 8
IMAGES = 32  # for each GPU, as 256 on 8
NETWORKS = ("resnet50", "googlenet", "vgg_d")
G = 1e9


@dataclass(frozen=True)
class Link:
    """What joins GPUs, and its bytes/s in each direction, for a whole machine of eight."""

    title: str
    rate: float
    source: str


NVLINK = Link("NVLink", 450 * G, "NVIDIA H100 data sheet: 900 GB/s in both directions together")
FAST = Link("8 x 400 Gb/s", 400 * G, "NVIDIA DGX H100 user guide: eight ports of 400 Gb/s")
SLOW = Link("100 Gb/s", 12.5 * G, "one port of 100 Gb/s for a machine")
GPU = MACHINES["h100"]
HEADS = {
    "en": (
        "network", "GPUs", "batch", "MB that each sends", "ms of computing, at least",
        f"ms of sending, {FAST.title}", SLOW.title, f"efficiency, {FAST.title}", SLOW.title,
    ),
    "zh": (
        "网络", "GPU 数", "batch", "每块发送的 MB", "计算的毫秒数，至少",
        f"发送的毫秒数，{FAST.title}", SLOW.title, f"效率，{FAST.title}", SLOW.title,
    ),
}  # fmt: skip
BELOW = {
    "en": (
        "Memory does not depend on the number of GPUs: a step of 32 images in bfloat16 needs {} "
        "for `resnet50`, {} for `googlenet`, {} for `vgg_d`. Sources: {sources}."
    ),
    "zh": (
        "内存与 GPU 数无关：32 张图像的一步用 bfloat16 时，`resnet50` 需要 {}，"
        "`googlenet` 需要 {}，`vgg_d` 需要 {}。出处：{sources}。"
    ),
}


def gradient_bytes(name: str) -> int:
    """Of a network of the catalogue, as DDP sends them."""
    with torch.device("meta"):
        network = catalog.find(name).build()
    return 4 * sum(p.numel() for p in network.parameters())


def step_seconds(name: str) -> float:
    """The least a step of IMAGES images takes: 3 passes of 2 FLOPs for each multiply-add."""
    entry = catalog.find(name)
    with torch.device("meta"):
        macs = measure(entry.build(), entry.input).totals.macs
    assert GPU.bf16 is not None
    return 3 * 2 * macs * IMAGES / GPU.bf16


def memory(name: str) -> int:
    """Bytes of a GPU that a step needs at its peak, in bfloat16."""
    entry = catalog.find(name)
    with torch.device("meta"):
        network = entry.build()
    return step_peak(network, entry.input, IMAGES, precision="bf16", device="cuda").total


def sent(size: int, gpus: int) -> float:
    """Bytes that each GPU sends to sum gradients of this size."""
    return 2 * (gpus - 1) / gpus * size


def exchange_seconds(size: int, gpus: int, link: Link) -> float:
    slowest = NVLINK if gpus <= IN_A_MACHINE else link
    return sent(size, gpus) / slowest.rate


def efficiency(step: float, exchange: float) -> str:
    """From nothing being sent while GPUs compute, to as much as there is."""
    bounds = step / (step + exchange), step / max(step, exchange)
    return " to ".join(f"{bound:.0%}" for bound in bounds)


def rows() -> Iterator[tuple[str, ...]]:
    for name in NETWORKS:
        size, step = gradient_bytes(name), step_seconds(name)
        for gpus in GPUS:
            times = [exchange_seconds(size, gpus, link) for link in (FAST, SLOW)]
            yield (
                f"`{name}`", f"{gpus:,}", f"{gpus * IMAGES:,}", f"{sent(size, gpus) / 1e6:,.0f}",
                f"{1e3 * step:.2f}", *(f"{1e3 * t:.2f}" for t in times),
                *(efficiency(step, t) for t in times),
            )  # fmt: skip


def table(language: str) -> str:
    lines = [" | ".join(row) for row in (HEADS[language], ("---",) * len(HEADS["en"]), *rows())]
    memories = [f"{memory(name) / 1e9:.1f} GB" for name in NETWORKS]
    sources = f"{GPU.source}; {NVLINK.source}; {FAST.source}"
    below = BELOW[language].format(*memories, sources=sources)
    return "\n".join(f"| {line} |" for line in lines) + f"\n\n{below}\n"


def main() -> int:
    for language, page in PAGES.items():
        before, rest = page.read_text().split(BEGIN)
        _, after = rest.split(END)
        page.write_text(before + BEGIN + table(language) + END + after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
