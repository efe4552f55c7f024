"""The memory of a long training with every option, at each 200 of 2,000 steps.

    python benchmarks/flat.py

A narrow ResNet is trained on image files by a worker process, with accumulated gradients, averaged
weights, augmentation, balanced classes, progressive resizing, a constraint, bfloat16, and an epoch
(validation, checkpoint, metrics, figure) every 56 steps. The resident memory of the process and of
its worker is read from /proc. Results go to results/flat.json; the exit status is 1 if the process
grows by more than 2 % from step 400, when all sizes of images have been seen, to the last.
"""

import json
import os
import re
import sys
import tempfile
import warnings
from pathlib import Path

import torch
from PIL import Image

import classicnets as cn
from classicnets.api.train import versions
from classicnets.support.errors import TrainingAdvice
from classicnets.support.machine import keep_memory
from classicnets.training.execution.execution import Execution

RESULTS = Path(__file__).parent / "results/flat.json"
STEPS, EVERY, SETTLED, GROWTH = 2000, 200, 400, 0.02
OVERRIDES = {
    "steps": str(STEPS), "batch": "8", "side": "20", "crop": "16", "sampler": "balanced",
    "crop_sampler": "RandomResizedCrop()", "augment": "(HorizontalFlip(), ColourNoise(0.1))",
    "average": "Ema(0.99)", "constraint": "FilterRms(1.0)", "optimizer": "SGD(momentum=0.9)",
    "loss": "CrossEntropy(smoothing=0.1)",
    "progressive_resizing": "ProgressiveResizing(0.5, 0.15, 4)",
}  # fmt: skip


def resident(pid: int) -> int:
    """Bytes of a process that are in memory and not shared with a file."""
    text = Path(f"/proc/{pid}/status").read_text()
    return sum(int(re.search(rf"{k}:\s+(\d+)", text)[1]) for k in ("RssAnon", "RssShmem")) << 10  # type: ignore[index]


def workers() -> list[int]:
    found = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text()
    return list(map(int, found.split()))


def write_photos(folder: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    for k in range(640):
        pixels = torch.randint(0, 90, (40, 44, 3), generator=generator, dtype=torch.uint8)
        path = folder / ("dark", "light")[k % 2] / f"{k:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels + 120 * (k % 2)).numpy()).save(path)


def main() -> int:
    keep_memory()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", TrainingAdvice)
    with tempfile.TemporaryDirectory() as folder:
        write_photos(Path(folder, "photos"))
        design = Path(folder, "net.net")
        design.write_text(cn.design("resnet20", "1/4", (3, 16, 16), 2))
        training = cn.train(
            str(design), f"{folder}/photos", "fast", out=f"{folder}/run", overrides=OVERRIDES,
            execution=Execution(accumulation_steps=2, precision="bf16"), workers=1,
        )  # fmt: skip
        rows = []
        for record in training:
            if record.step % EVERY == 0:
                own, others = resident(os.getpid()), sum(map(resident, workers()))
                rows.append({"step": record.step, "process": own, "worker": others})
                print(f"step {record.step}: {own / 2**20:.1f} MiB, worker {others / 2**20:.1f}",
                      flush=True)  # fmt: skip
    first = next(row for row in rows if row["step"] >= SETTLED)
    growth = rows[-1]["process"] / first["process"] - 1
    content = {"command": "python benchmarks/flat.py", "rows": rows, "growth": growth}
    RESULTS.write_text(json.dumps({**content, "versions": versions()}, indent=1) + "\n")
    print(f"growth from step {first['step']} to {STEPS}: {growth:.2%}")
    return int(growth > GROWTH)


if __name__ == "__main__":
    sys.exit(main())
