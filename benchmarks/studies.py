"""The results of the studies that docs/claims.md quotes: run, and kept in the repository.

    python benchmarks/studies.py --work DIRECTORY [--kind KIND] [--cifar FOLDER] [NAME ...]

Each study stands in DIRECTORY/<name>, where the same command continues one that was stopped. Its
data go to results/studies/<name>.json, from which docs/generate.py makes the tables, and the
figures that the page shows to docs/claims/. FOLDER has CIFAR-10 as images, train/airplane/0000.png
and so on, for the studies that train on it.
"""

import argparse
import shutil
from pathlib import Path

import classicnets as cn
from classicnets.studies import index
from classicnets.studies.keeping import DATA, FIGURE

ROOT = Path(__file__).parents[1]
RESULTS, FIGURES = ROOT / "benchmarks/results/studies", ROOT / "docs/claims"


def keep(name: str, work: Path, cifar: Path | None) -> str:
    """Runs a study, copies what is kept of it, and returns its verdict."""
    data = cifar if index.STUDIES[name].data == "cifar10" else None
    kept = cn.study(name, work, data=data, processes=1)
    RESULTS.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(work / name / DATA, RESULTS / f"{name}.json")
    if f"(claims/{name}.png)" in (ROOT / "docs/claims.md").read_text(encoding="utf-8"):
        FIGURES.mkdir(exist_ok=True)
        shutil.copyfile(work / name / FIGURE, FIGURES / f"{name}.png")
    return kept.verdict


def main() -> None:
    parser = argparse.ArgumentParser(description="Run studies and keep their results")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--work", type=Path, required=True, metavar="DIRECTORY")
    parser.add_argument("--kind", default="", metavar="KIND")
    parser.add_argument("--cifar", type=Path, metavar="FOLDER")
    given = parser.parse_args()
    for study in index.select(given.names, given.kind):
        print(f"{study.name}: {keep(study.name, given.work.resolve(), given.cifar)}", flush=True)


if __name__ == "__main__":
    main()
