"""What each paper's idea is worth at a small scale: moves on small networks, by paired runs.

    python benchmarks/ideas.py --work DIRECTORY [--cifar FOLDER] [NAME ...]

An experiment for each base network and data set, with a few of the papers' moves as variants. They
stand in DIRECTORY/<name>; the same command continues those that were stopped. What is kept of a
report goes to results/ideas/<name>.json, from which docs/generate.py makes the tables of
docs/ideas.md. MNIST is looked for as by `classicnets train --data mnist`; FOLDER has CIFAR-10 as
images, train/airplane/0000.png and so on.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import classicnets as cn
from classicnets.api.suggest import Figures
from classicnets.api.train import versions
from classicnets.experiments.report import ExperimentReport
from classicnets.experiments.statistics import least_pairs

HERE = Path(__file__).parent
RESULTS = HERE / "results/ideas"
CIFAR, IMAGES = "cifar", {"train": 500, "test": 200}  # of each class, the first by name


@dataclass(frozen=True)
class Study:
    """A base network on a data set, with the moves that are measured. `harmful` names those that
    go back to what a paper replaced, or cut the network down, and should do harm."""

    name: str
    base: str
    data: str
    epochs: int
    moves: tuple[str, ...]
    harmful: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def seeds(self) -> int:
        return least_pairs(len(self.moves))


LENET = ("relu", "average-pooling", "batch-norm", "two-3x3")
# 0.02, the recipe's, is too much for tanh. Validation errors of LeNet-5 after 400 steps on MNIST:
# 17.1 % at 0.0005, 12.5 at 0.001, 9.7 at 0.002, 10.5 at 0.004. A variant tries its half and twice.
LENET_LR = "0.004"
STUDIES = (
    Study(
        "lenet5-digits",
        "lenet5",
        "digits",
        10,
        (*LENET, "strided-convolution", "1x1-reduction"),
        settings={"lr": LENET_LR},
    ),
    Study("lenet5-mnist", "lenet5", "mnist", 1, LENET, settings={"lr": LENET_LR, "steps": "300"}),
    Study(
        "vgg-cifar10",
        "vgg.net",
        CIFAR,
        4,
        ("batch-norm", "shortcut-2", "1x1-convolution", "subsampling"),
        ("subsampling",),
    ),
    Study(
        "alexnet-cifar10",
        "alexnet.net",
        CIFAR,
        4,
        ("batch-norm", "global-average", "wider-middle", "squash"),
        ("squash",),
    ),
    Study(
        "resnet-cifar10",
        "resnet.net",
        CIFAR,
        4,
        ("projection-shortcut", "1x1-reduction", "bottleneck"),
        ("bottleneck",),
    ),
)


def base_design(study: Study) -> str:
    """The text of the base network, for the channels of its data.

    ResNet-20 is scaled by the documented rule; VGG A and AlexNet, which it would leave too costly
    for small images, are files.
    """
    channels = 3 if study.data == CIFAR else 1
    if study.base == "lenet5":
        return cn.design("lenet5")
    if study.base == "resnet.net":
        return cn.design("resnet20", width="1/4", size=(channels, 16, 16), classes=10)
    text = (HERE / "bases" / study.base).read_text(encoding="utf-8")
    return text.replace("[16x16x3]", f"[16x16x{channels}]")


def write_designs(study: Study, folder: Path) -> dict[str, dict[str, int]]:
    """Writes the designs that are compared, the base first; their figures by name."""
    folder.mkdir(parents=True, exist_ok=True)
    base = folder / "base.net"
    base.write_text(base_design(study), encoding="utf-8")
    found: dict[str, dict[str, int]] = {}
    for name in study.moves:
        change = cn.apply_move(str(base), name)
        (folder / f"{name}.net").write_text(change.design, encoding="utf-8")
        found.setdefault("base", _figures(change.before))
        found[name] = _figures(change.after)
    return found


def _figures(figures: Figures) -> dict[str, int]:
    return {"params": figures.params, "macs": figures.macs}


def link_images(source: Path, target: Path) -> None:
    """The first images of each class, as links in a folder of their own."""
    for split, count in IMAGES.items():
        for label in sorted((source / split).iterdir()):
            folder = target / split / label.name
            folder.mkdir(parents=True, exist_ok=True)
            for image in sorted(label.iterdir())[:count]:
                if not (folder / image.name).exists():
                    os.link(image, folder / image.name)


def measure(study: Study, work: Path) -> dict[str, object]:
    """Trains what is left of a study, and returns what is kept of it."""
    folder = work / study.name
    figures = write_designs(study, folder)
    os.chdir(folder)
    sizes = {} if study.base == "lenet5" else {"size": "16"}
    experiment = cn.experiment(
        [f"{name}.net" for name in figures],
        str(work / CIFAR) if study.data == CIFAR else study.data,
        recipe="fast",
        overrides={**sizes, **study.settings},
        seeds=study.seeds,
        epochs=study.epochs,
        processes=1,
        out=folder / "experiment",
    )
    print(study.name, *experiment.cost(), sep="\n", flush=True)
    for step in experiment:
        if step.progress.ended:
            error = step.diverged or f"{step.progress.validation:.2f} %"
            print(f"{step.done}/{step.total} {step.member.name}: {error}", flush=True)
    assert experiment.report is not None
    return kept(study, figures, experiment.report)


def kept(
    study: Study, figures: Mapping[str, Mapping[str, int]], report: ExperimentReport
) -> dict[str, object]:
    """The part of a report that the tables need, with the errors of every pair."""
    rows = {Path(row.variant).stem: row for row in report.rows}
    comparisons = {Path(one.variant).stem: one for one in report.comparisons}
    variants = [
        {
            "name": name,
            **figures[name],
            "lr": rows[name].lr,
            "test_errors": rows[name].test_errors,
            **({"mean": one.mean, "low": one.low, "high": one.high} if one else {}),
            **({"holm_p": one.adjusted_p, "verdict": one.sentence} if one else {}),
            "harmful": name in study.harmful,
        }
        for name in figures
        for one in [comparisons.get(name)]
    ]
    return {
        "data": study.data,
        "recipe": "fast",
        "epochs": study.epochs,
        "steps": report.rows[0].steps,
        "seeds": report.seeds,
        "variants": variants,
        "notes": list(report.notes),
        "versions": versions(),
        "date": time.strftime("%Y-%m-%d"),
    }


def main() -> None:
    names = [study.name for study in STUDIES]
    parser = argparse.ArgumentParser(description="What each paper's idea is worth at a small scale")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--work", type=Path, required=True, metavar="DIRECTORY")
    parser.add_argument("--cifar", type=Path, metavar="FOLDER")
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in names]:
        parser.error(f"there is no study {unknown[0]!r}; there are {', '.join(names)}")
    work = given.work.absolute()
    chosen = [study for study in STUDIES if study.name in (given.names or names)]
    if any(study.data == CIFAR for study in chosen):
        if given.cifar is None:
            parser.error("the studies on CIFAR-10 need --cifar FOLDER")
        link_images(given.cifar, work / CIFAR)
    RESULTS.mkdir(parents=True, exist_ok=True)
    for study in chosen:
        found = measure(study, work)
        text = json.dumps(found, indent=1)
        (RESULTS / f"{study.name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
