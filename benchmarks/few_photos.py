"""What the default training reaches on a folder of few photos, on this machine's cores.

    python benchmarks/few_photos.py --photos FOLDER

FOLDER has photos by class in two parts, train/CLASS/*.JPEG and val/CLASS/*.JPEG, such as
Imagenette. For 50, 200 and 1,000 photos of train, in 3, 5 and 10 classes, each network is trained
by `classicnets train NETWORK --data PHOTOS`, without any option, and tested on 100 photos a class
of val that no run has seen. Nothing else should run meanwhile: the seconds are those of the clock.
Results go to results/few_photos.json; trainings that are in it are not repeated.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from classicnets.api.train import versions
from classicnets.support.devices import device_name

RESULTS = Path(__file__).parent / "results/few_photos.json"
FOLDERS = ((50, 3), (200, 5), (1000, 10))  # photos, classes
NETWORKS = ("lenet5", "alexnet", "zfnet", "vgg_a", "googlenet", "resnet20", "resnet18")
NEW = 100  # unseen photos of a class


def link(photos: Path, labels: list[str], count: int, out: Path) -> str:
    """A folder with the first photos of some classes, of each the same number but for one."""
    for k, label in enumerate(labels):
        (out / label).mkdir(parents=True)
        share = (count + len(labels) - 1 - k) // len(labels)
        for path in sorted((photos / label).iterdir())[:share]:
            os.link(path, out / label / path.name)
    return str(out)


def command(*words: str) -> str:
    """The output of `classicnets WORDS` in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "classicnets", *words], stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


def trained(network: str, photos: str, new: str, run: Path) -> dict[str, object]:
    """Seconds by the clock and of the cores of one training, its steps and its errors in %."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command("train", network, "--data", photos, "--out", str(run))
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    tested = json.loads(
        command("evaluate", str(run), "--data", new, "--protocol", "single", "--json")
    )
    return {
        "network": network,
        "seconds": round(seconds),
        "cpu_seconds": round(used),
        "steps": last["step"],
        "train_error": round(last["train_error"], 1),
        "new_error": round(tested["top1_error"], 1),
    }


def rows(photos: Path, work: Path, names: list[str], have: list[dict]) -> Iterator[dict]:
    """A row for each training that is not among those that the results have."""
    done = {(row["network"], row["photos"]) for row in have}
    labels = sorted(path.name for path in (photos / "train").iterdir())
    for count, classes in FOLDERS:
        chosen = labels[:classes]
        folder = link(photos / "train", chosen, count, work / f"{count}")
        new = link(photos / "val", chosen, NEW * classes, work / f"new-{count}")
        for name in names:
            if (name, count) not in done:
                found = trained(name, folder, new, work / f"{name}-{count}")
                yield {"photos": count, "classes": classes, **found}


def main() -> None:
    parser = argparse.ArgumentParser(description="The default training on few photos")
    parser.add_argument("--photos", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("names", nargs="*", default=NETWORKS, metavar="NETWORK")
    given = parser.parse_args()
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"rows": []}
    about = {
        "cores": os.cpu_count(),
        "device": device_name(torch.device("cpu")),
        "versions": versions(),
    }
    with tempfile.TemporaryDirectory(dir=given.photos.parent) as work:
        for row in rows(given.photos, Path(work), list(given.names), kept["rows"]):
            print(json.dumps(row), flush=True)
            kept = {"new": NEW, **about, "rows": [*kept["rows"], row]}
            RESULTS.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
