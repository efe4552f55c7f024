"""The start on a folder of 200,000 small images, and on shards with ImageNet's number of images.

    python benchmarks/large.py files --work DIRECTORY
    python benchmarks/large.py shards --work DIRECTORY

Of the folder a process opens the data and the SHA-256 sums that a run keeps: on one core, by as
many threads as there are cores, by processes, which is what happens, and with the index that those
have left. Each starts with an empty cache, and finds the same. The shards are empty files of the
right size, with an index that is made up: what is timed is the start, and an epoch's order for one
process and for many, and its crops. Times of all cores together have those of children with them;
memory is the peak of the process until then. Results go to results/large.json.
"""

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from classicnets.api.train import versions
from classicnets.data import readers
from classicnets.data.crops import RandomResizedCrop
from classicnets.data.images import ImageFiles
from classicnets.data.listing import training_digests
from classicnets.data.members import Members, shard_order
from classicnets.data.sets import open_data
from classicnets.data.shard_index import INDEX, ShardIndex
from classicnets.data.tar import Archive
from classicnets.support.machine import cpu_count

RESULTS = Path(__file__).parent / "results/large.json"
CLASSES, BASES = 100, 500
IMAGENET = {"train": 1_281_167, "validation": 50_000, "test": 100_000}
SHARDS, BATCH = 1_000, 256  # of the training images; images of a batch
PROCESSES = (1, 8, 1024)
NEVER = 10**9  # files for a process


def write_images(folder: Path, count: int) -> None:
    """JPEGs of 64x48 pixels with different bytes: some hundred images, each with its number."""
    generator = torch.Generator().manual_seed(0)
    bases = []
    for _ in range(BASES):
        pixels = torch.randint(0, 256, (6, 8, 3), generator=generator, dtype=torch.uint8)
        image, file = Image.fromarray(pixels.numpy()).resize((64, 48)), BytesIO()
        image.save(file, "JPEG")
        bases.append(file.getvalue())
    for k in range(CLASSES):
        (folder / f"{k:03}").mkdir(parents=True)
    for k in range(count):
        path = folder / f"{k % CLASSES:03}" / f"{k:06}.jpg"
        path.write_bytes(bases[k % BASES] + b"%06d" % k)


def write_shards(folder: Path) -> str:
    """Empty shards of the size that images of 110,000 bytes would have, and their index."""
    folder.mkdir(parents=True)
    archives, splits, rows = [], [], []
    per_shard = -(-IMAGENET["train"] // SHARDS)
    for split, count in IMAGENET.items():
        for number, part in enumerate(torch.arange(count).split(per_shard)):
            name, length = f"{split}-{number:06}.tar", 110_000
            offsets = 512 + torch.arange(len(part)) * 112_000
            size = int(offsets[-1]) + length
            with (folder / name).open("wb") as file:
                file.truncate(size)
            columns = (len(archives), offsets, length, part % 1_000, 375, 500)
            rows.append(torch.stack([torch.as_tensor(c).expand(len(part)) for c in columns], 1))
            archives.append(Archive(name, size))
            splits.append(split)
    classes = tuple(f"{k:04}" for k in range(1_000))
    ShardIndex(tuple(archives), tuple(splits), classes, torch.cat(rows)).save(folder / INDEX)
    return f"{folder}/train-{{000000..{SHARDS - 1:06}}}.tar"


def used() -> dict[str, float]:
    """CPU seconds until now, children included, and the peak memory of this process."""
    who = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    cpu = sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, who))
    peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert peak  # Linux; that of getrusage is inherited
    return {"cpu_seconds": cpu, "mib": int(peak[1]) / 1024}


def start_on_files(spec: str) -> dict[str, Any]:
    before, began = used()["cpu_seconds"], time.perf_counter()
    data = open_data(spec, 64, 3, whole=True)
    digests = training_digests(data)
    seconds, usage = time.perf_counter() - began, used()
    parts = (data.train, data.validation, data.test)
    found = [[part.sizes.tolist(), part.paths] for part in parts]  # pyright: ignore
    about = json.dumps([found, data.skipped, data.duplicates, data.digest, digests])
    usage["cpu_seconds"] -= before
    return {"seconds": seconds, **usage, "found": sha256(about.encode()).hexdigest()}


def start_on_shards(spec: str) -> dict[str, Any]:
    steps = {"imports": used()}
    data = open_data(spec, 224, 3, whole=True)
    steps["start"] = used()
    assert isinstance(data.train, ImageFiles)
    assert isinstance(data.train.paths, Members)
    batches = [BATCH * 32] * (len(data.train) // (BATCH * 32))
    batches[-1] += len(data.train) - sum(batches)
    for processes in PROCESSES:
        generator = torch.Generator().manual_seed(0)
        order = shard_order(data.train.paths.rows[:, 0], batches, processes, generator)
        steps[f"order for {processes}"] = used()
    assert order.sort().values.equal(torch.arange(len(order)))
    RandomResizedCrop().sample(data.train.sizes[order], 256, 224, generator)
    steps["crops"] = used()
    cpu = [one["cpu_seconds"] for one in steps.values()]
    for one, before in zip(steps.values(), [0.0, *cpu], strict=False):
        one["cpu_seconds"] -= before
    return {"images": data.sizes, "steps": steps}


def once(kind: str, spec: str, cache: Path, threads: int, least: int | None) -> dict[str, Any]:
    command = [sys.executable, __file__, kind, "--spec", spec, "--threads", str(threads)]
    command += ["--least", str(least)] if least else []
    environment = {**os.environ, "CLASSICNETS_DATA": str(cache)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def files(work: Path, count: int, rounds: int) -> list[dict[str, Any]]:
    folder, cores = work / f"images-{count}", cpu_count()
    if not folder.exists():
        write_images(folder, count)
    rows = []
    for _ in range(rounds):
        for name, threads, least in (
            ("one core", 1, NEVER),
            ("threads", cores, NEVER),
            ("processes", cores, None),
            ("next start", cores, None),
        ):
            if name != "next start":
                shutil.rmtree(work / "cache", ignore_errors=True)
            rows.append(
                {"start": name, **once("files", str(folder), work / "cache", threads, least)}
            )
            print(rows[-1], flush=True)
    assert len({row.pop("found") for row in rows}) == 1, "they do not find the same"
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kind", choices=("files", "shards"))
    parser.add_argument("--work", type=Path, default=Path("large"))
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--spec", help="starts once, in this process")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--least", type=int, default=readers.LEAST)
    options = parser.parse_args()
    if options.spec:
        torch.set_num_threads(options.threads)
        readers.LEAST = options.least
        start = start_on_files if options.kind == "files" else start_on_shards
        print(json.dumps(start(options.spec)))
        return 0
    work = options.work.resolve()
    command = f"python benchmarks/large.py {options.kind}"
    if options.kind == "files":
        found: Any = files(work, options.count, options.rounds)
        command += f" --count {options.count} --rounds {options.rounds}"
        about = {
            "command": command,
            "cores": cpu_count(),
            "load": os.getloadavg()[1],
            "rows": found,
        }
    else:
        shutil.rmtree(work / "shards", ignore_errors=True)
        found = once("shards", write_shards(work / "shards"), work / "cache", cpu_count(), None)
        about = {"command": command, **found}
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    kept |= {options.kind: {**about, "versions": versions()}}
    RESULTS.write_text(json.dumps(kept, indent=1) + "\n")
    print(json.dumps(about, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
