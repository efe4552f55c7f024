"""Trainings whose disk fills up, whose directory cannot be written, and whose files vanish.

    python benchmarks/disturbed.py --times 20 --work DIRECTORY        (as root, for the small disk)

A training is disturbed at a random moment: the disk that its run is on, a tmpfs, is filled up but
for some bytes; its directory is closed to the user it runs as; one of its images is removed; or one
of its own files is, and the process killed (SIGKILL). It must end by itself with one sentence, and,
once the cause is gone, resume and end with the same bytes as one that nobody disturbed. Without a
file of its own it must resume to the same bytes, or say in one sentence what is missing. Results go
to results/disturbed.json; the exit status is 1 if one fails.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from kill import differing
from PIL import Image

import classicnets as cn
from classicnets.api.train import Training, versions
from classicnets.support.errors import TrainingAdvice

RESULTS = Path(__file__).parent / "results/disturbed.json"
NOBODY = 65534
DISK = 4 * 2**20  # bytes
OVERRIDES = {"side": "34", "crop": "32", "batch": "8", "crop_sampler": "RandomCrop(whole=True)"}
OWN = ("last.pt", "weights.safetensors", "run.json", "metrics.csv", "metrics.jsonl")
SAID, OTHER = 2, 3  # exit statuses of a child


def write_photos(folder: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    for k in range(120):
        pixels = torch.randint(0, 90, (36, 40), generator=generator, dtype=torch.uint8)
        path = folder / ("dark", "light")[k % 2] / f"{k:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels + 120 * (k % 2)).numpy()).save(path)


def begin(directory: Path) -> Training:
    if (directory / "run.json").exists():
        return cn.resume(directory)
    return cn.train("lenet5", "photos", "fast", 6, directory, overrides=OVERRIDES, exist_ok=True)


def child(directory: Path, user: int = 0) -> int:
    """Starts a training in a process of its own, and returns its number."""
    pid = os.fork()
    if pid:
        return pid
    status = OTHER
    try:
        if user:
            os.setgid(user)
            os.setuid(user)
        for _ in begin(directory):
            time.sleep(0.002)
        status = 0
    except (ValueError, OSError) as error:
        status = SAID if "\n" not in str(error) and str(error) else OTHER
        print(f"  {error}", flush=True)
    finally:
        os._exit(status)


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    folder.mkdir()
    size = f"size={DISK}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "none", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def full_disk(directory: Path, moment: float, chance: random.Random) -> str:
    with small_disk(directory.parent / f"disk-{directory.name}"):
        place = directory.parent / f"disk-{directory.name}" / "run"
        pid = child(place)
        time.sleep(moment)
        ballast = place.parent / "ballast"
        left = chance.choice([0, 1, 4096, 30_000, 100_000])
        free = shutil.disk_usage(place.parent).free
        with suppress(OSError):  # full to the last byte
            ballast.write_bytes(bytes(max(0, free - left)))
        status = ended(pid)
        ballast.unlink(missing_ok=True)
        outcome = resumed(status, place)
        shutil.copytree(place, directory)
        return outcome


def closed_directory(directory: Path, moment: float, chance: random.Random) -> str:
    directory.mkdir()
    os.chown(directory, NOBODY, NOBODY)
    pid = child(directory, NOBODY)
    time.sleep(moment)
    directory.chmod(0o555)
    status = ended(pid)
    directory.chmod(0o755)
    return resumed(status, directory)


def vanished_image(directory: Path, moment: float, chance: random.Random) -> str:
    pid = child(directory)
    time.sleep(moment)
    image = chance.choice(sorted(Path("photos").rglob("*.png")))
    content, times = image.read_bytes(), image.stat()
    image.unlink()
    status = ended(pid)
    image.write_bytes(content)
    os.utime(image, ns=(times.st_atime_ns, times.st_mtime_ns))
    return resumed(status, directory)


def vanished_file(directory: Path, moment: float, chance: random.Random) -> str:
    pid = child(directory)
    time.sleep(moment)
    os.kill(pid, signal.SIGKILL)
    ended(pid)
    name = chance.choice(OWN)
    if not (directory / name).exists():
        return resumed(-signal.SIGKILL, directory)
    (directory / name).unlink()
    if name == "run.json":  # then the run begins anew, in a directory that is not empty
        shutil.rmtree(directory)
    status = ended(child(directory))
    if status == SAID:
        shutil.rmtree(directory)
        return f"without {name}: says so" if ended(child(directory)) == 0 else "does not train"
    return f"without {name}: resumed" if status == 0 else f"failed without {name}"


def resumed(status: int, directory: Path) -> str:
    """The outcome of a training that ended with this status, once it has been resumed."""
    if status not in (0, SAID, -signal.SIGKILL):
        return f"failed with status {status}"
    again = 0 if status == 0 else ended(child(directory))
    kinds = {0: "ended before", SAID: "said why, and resumed", -signal.SIGKILL: "resumed"}
    return kinds[status] if again == 0 else f"does not resume: status {again}"


KINDS: dict[str, Callable[[Path, float, random.Random], str]] = {
    "full disk": full_disk,
    "closed directory": closed_directory,
    "vanished image": vanished_image,
    "vanished file of the run": vanished_file,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--times", type=int, default=20, help="of each kind")
    parser.add_argument("--work", type=Path, default=Path("disturbed"))
    options = parser.parse_args()
    warnings.simplefilter("ignore", TrainingAdvice)
    torch.set_num_threads(1)
    options.work.mkdir(parents=True)
    options.work.chmod(0o777)
    os.chdir(options.work)
    write_photos(Path("photos"))
    cn.train("lenet5", "photos", "fast", 1, "warm", overrides=OVERRIDES).finish()  # all imports
    began = time.perf_counter()
    assert ended(child(Path("whole"))) == 0
    seconds = time.perf_counter() - began
    chance, found, failed = random.Random(0), {kind: Counter[str]() for kind in KINDS}, []
    for number in range(options.times * len(KINDS)):
        kind = list(KINDS)[number % len(KINDS)]
        directory = Path(f"run-{number}")
        outcome = KINDS[kind](directory, chance.uniform(0.1, 0.9) * seconds, chance)
        names = differing(Path("whole"), directory) if (directory / "last.pt").exists() else ["all"]
        if names or "fail" in outcome or "does not" in outcome:
            failed.append([kind, number, outcome, names[:3]])
        found[kind][outcome] += 1
        print(f"{number} {kind}: {outcome}{', differs' * bool(names)}", flush=True)
    content: dict[str, Any] = {"command": f"python benchmarks/disturbed.py --times {options.times}"}
    content |= {"outcomes": found, "failed": failed, "versions": versions()}
    RESULTS.write_text(json.dumps(content, indent=1) + "\n")
    print(json.dumps(content, indent=1))
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
