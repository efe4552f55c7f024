"""What learnt weights are worth where there are few images: fine-tuning beside training anew.

    python benchmarks/finetuning.py --work DIRECTORY --cifar FOLDER

A narrow ResNet-20 learns the first five classes of CIFAR-10 at 16x16 pixels. From its weights by
the recipe "fine-tune", and anew by "fast" with twice as many steps, the same network then learns
the other five classes from 20, 50 and 200 images a class, in five pairs: one seed draws the images
and their order for both. A quarter as many further images of each class choose the best epoch, 200
of each test it.
FOLDER has CIFAR-10 as images, train/airplane/0000.png and so on. Runs that have ended in DIRECTORY
are not trained again. Results go to results/finetuning.json; the table is that of docs/weights.md.
"""

import argparse
import json
import os
import random
import shutil
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from statistics import mean, stdev

import classicnets as cn
from classicnets.api.train import versions
from classicnets.support.errors import TrainingAdvice

RESULTS = Path(__file__).parent / "results/finetuning.json"
SIZES = (20, 50, 200)  # training images of a class
SEEDS = range(5)
TESTED = 200  # images of a class
LEARNT, EPOCHS = 1500, 16  # images of a class in pretraining
SMALL = {"size": "16"}
STEPS = {"tuned": 500, "anew": 1000}
T_95 = 2.776  # Student's t, 4 degrees of freedom, 95 %, two-sided


def link(images: Mapping[str, list[Path]], target: Path) -> None:
    """Puts images into `target/<label>` as links."""
    for label, paths in images.items():
        folder = target / label
        folder.mkdir(parents=True, exist_ok=True)
        for path in paths:
            os.link(path, folder / path.name)


def draw(source: Path, labels: list[str], counts: Mapping[str, int], seed: int, out: Path) -> str:
    """A folder of images: so many of each class for each part, at random; the test part is the
    first of those that CIFAR-10 tests with."""
    if out.exists():
        shutil.rmtree(out)
    chance = random.Random(seed)
    drawn = {}
    for label in labels:
        paths = sorted((source / "train" / label).iterdir())
        drawn[label] = chance.sample(paths, counts["train"] + counts["val"])
    at = counts["train"]
    link({label: paths[:at] for label, paths in drawn.items()}, out / "train")
    link({label: paths[at:] for label, paths in drawn.items()}, out / "val")
    tested = {label: sorted((source / "test" / label).iterdir())[:TESTED] for label in labels}
    link(tested, out / "test")
    return str(out)


def error_of(run: Path) -> float | None:
    """The test error of a run in %, if it has ended."""
    if not (run / "run.json").exists():
        return None
    return (json.loads((run / "run.json").read_text()).get("test") or {}).get("top1_error")


def trained(run: Path, network: str, data: str, **options: object) -> float:
    """The test error of a run, trained unless it has ended."""
    if (error := error_of(run)) is None:
        shutil.rmtree(run, ignore_errors=True)
        began = time.perf_counter()
        error = cn.train(network, data, out=run, **options).finish().top1_error  # pyright: ignore
        print(f"{run.name}: {error:.2f} %, {time.perf_counter() - began:.0f} s", flush=True)
    return error


def interval(values: list[float]) -> list[float]:
    """The mean, and the ends of its 95 % interval by Student's t."""
    half = T_95 * stdev(values) / len(values) ** 0.5
    return [round(x, 2) for x in (mean(values), mean(values) - half, mean(values) + half)]


def measure(work: Path, cifar: Path) -> dict[str, object]:
    """Trains what is missing, and returns the results."""
    work.mkdir(parents=True, exist_ok=True)
    labels = sorted(path.name for path in (cifar / "train").iterdir())
    design = work / "resnet20-half.net"
    design.write_text(cn.design("resnet20", width="1/2", classes=5), encoding="utf-8")
    base, network = work / "pretrained", str(design)
    data = str(work / "first")
    if error_of(base) is None:
        draw(cifar, labels[:5], {"train": LEARNT, "val": TESTED}, 0, Path(data))
    options = {"recipe": "fast", "epochs": EPOCHS, "overrides": {"batch": "64", **SMALL}}
    first = trained(base, network, data, **options)
    starts = {"anew": {"recipe": "fast"}, "tuned": {"init_from": base}}
    rows = []
    for count in SIZES:
        errors: dict[str, list[float]] = {"anew": [], "tuned": []}
        for seed in SEEDS:
            parts = {"train": count, "val": max(5, count // 4)}
            data = draw(cifar, labels[5:], parts, seed, work / f"{count}-{seed}")
            place = work / f"{count}-{seed}"
            for name, start in starts.items():
                run = place.with_name(f"{place.name}-{name}")
                settings = {**SMALL, "batch": "16", "steps": str(STEPS[name])}
                options = {"seed": seed, "overrides": settings, **start}
                errors[name].append(trained(run, network, data, **options))
        gains = [a - b for a, b in zip(errors["anew"], errors["tuned"], strict=True)]
        rows.append({"images": count, **errors, "gain": interval(gains)})
    return {
        "network": "resnet20 of half the width, 16x16 pixels",
        "steps": STEPS,
        "pretrained": {"classes": labels[:5], "images": 5 * LEARNT, "test_error": first},
        "classes": labels[5:],
        "rows": rows,
        "versions": versions(),
        "date": time.strftime("%Y-%m-%d"),
    }


def table(found: Mapping[str, list[dict[str, list[float]]]]) -> str:
    """The rows as Markdown: mean errors in %, and the gain with its 95 % interval."""
    lines = ["| images a class | anew | fine-tuned | difference (95 %) |", "|--:|--:|--:|--:|"]
    for row in found["rows"]:
        gain, low, high = row["gain"]
        lines.append(
            f"| {row['images']} | {mean(row['anew']):.1f} | {mean(row['tuned']):.1f} "
            f"| {gain:.1f} ({low:.1f} to {high:.1f}) |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Fine-tuning beside training anew")
    parser.add_argument("--work", type=Path, required=True, metavar="DIRECTORY")
    parser.add_argument("--cifar", type=Path, required=True, metavar="FOLDER")
    given = parser.parse_args()
    warnings.simplefilter("ignore", TrainingAdvice)
    found = measure(given.work.absolute(), given.cifar.absolute())
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(table(found))  # pyright: ignore[reportArgumentType]


if __name__ == "__main__":
    main()
