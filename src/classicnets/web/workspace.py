"""The folder that a page works in: where its runs, designs and data are, and what waits to train.

Everything is kept in files there, nothing in the server: it can be ended and started again at any
time. A name that a browser sends is that of one thing in one of these folders, or it is refused.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from itertools import chain
from pathlib import Path
from threading import RLock
from typing import IO, Any

from classicnets.api.listed import listed
from classicnets.support.files import lock_holder, write_atomic
from classicnets.support.names import file_names

from .scratch import Scratch, remove_leftovers

NAMED_SETS = ("digits", "mnist", "fashion-mnist", "kmnist", "cifar10", "cifar100", "svhn")
LOG_LINES = 40
PROGRAM = "classicnets: "  # before each sentence of a process on its errors
EVALUATIONS, EXPORTS = "evaluations", "exports"  # folders of a run


def inside(folder: Path, name: str) -> Path:
    """What has this name in a folder. Raises a ValueError for a path to anywhere else.

    >>> inside(Path("runs"), "../secret")
    Traceback (most recent call last):
    ValueError: '../secret' is not a name in runs
    """
    path = folder / name
    if name != Path(name).name or name.startswith(".") or "\0" in name or "\\" in name:
        raise ValueError(f"{name!r} is not a name in {folder.name}")
    if path.resolve().parent != folder.resolve():  # a link that leads out
        raise ValueError(f"{name!r} is not in {folder.name}")
    return path


def _ended(process: "subprocess.Popen[bytes]", scratch: Scratch, kept: Path) -> str:
    """Waits until a process ends, and keeps the file of this name that it wrote; why it failed, in
    a line of its own, empty where it did not."""
    try:
        if not process.wait():
            (scratch.place / kept.name).replace(kept)
            return ""
        texts = [file.read_text("utf-8", "replace") for file in scratch.place.glob("[!.]*")]
        lines = "\n".join(texts).splitlines()
        return refusal(lines) or [f"status {process.returncode}", *lines][-1]
    finally:
        scratch.remove()


def refusal(lines: Sequence[str]) -> str:
    """The sentence in which a process refused its work, of the lines it printed; empty for none."""
    said = [line.removeprefix(PROGRAM) for line in lines if line.startswith(PROGRAM)]
    return next((line for line in reversed(said) if not line.startswith("warning: ")), "")


def word(option: str, value: object) -> str:
    """An option and its value as one word of a process, which no shell reads."""
    return f"--{option}={value}"


@dataclass
class Workspace:
    """A folder with `runs` and `designs`, and further folders of images by their names."""

    folder: Path
    data: dict[str, Path] = field(default_factory=dict)
    started: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    given: dict[str, Sequence[str]] = field(default_factory=dict)  # the words of those processes
    changing: RLock = field(default_factory=RLock)  # the queue, which pages change in threads

    @classmethod
    def open(cls, folder: Path, data: Sequence[Path]) -> "Workspace":
        """Raises a ValueError for what is not a folder, and for two data sets of one name."""
        for one in (folder, *data):
            if not one.is_dir():
                raise ValueError(f"{one} is not a folder")
        own = folder / "data"
        found = sorted(p for p in own.glob("[!.]*") if p.is_dir())
        paths = [path.resolve() for path in (*data, *found)]
        names = [path.name for path in paths]
        if twice := [name for name in names if [*names, *NAMED_SETS].count(name) > 1]:
            raise ValueError(f"two data sets are named {twice[0]}; rename a folder")
        return cls(folder.resolve(), dict(zip(names, paths, strict=True)))

    def remove_leftovers(self) -> None:
        """Removes what was gathering when the server before this one was killed."""
        own = (self.runs.glob(f"*/{name}") for name in (EVALUATIONS, EXPORTS))
        for parent in (self.folder / "data", *chain(*own)):
            remove_leftovers(parent)

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def designs(self) -> Path:
        return self.folder / "designs"

    @property
    def studies(self) -> Path:
        return self.folder / "studies"

    @property
    def experiments(self) -> Path:
        return self.folder / "experiments"

    def run(self, name: str) -> Path:
        """The directory of a run. Raises a ValueError for a name without one."""
        path = inside(self.runs, name)
        if not (path / "run.json").is_file():
            raise ValueError(f"no run {name!r}")
        return path

    def design(self, name: str) -> Path:
        """The file of a design. Raises a ValueError for a name without one."""
        path = inside(self.designs, name)
        if path.suffix != ".net" or not path.is_file():
            raise ValueError(f"no design {name!r}")
        return path

    def design_names(self) -> list[str]:
        """The designs there are."""
        return sorted(path.name for path in self.designs.glob("*.net"))

    def network_names(self) -> list[str]:
        """The designs and the networks of the catalogue."""
        return [*self.design_names(), *(row["name"] for row in listed())]

    def network(self, name: str) -> str:
        """A network as the package takes it: a name of the catalogue, or the path of a design."""
        return str(self.design(name)) if name.endswith(".net") else name

    def dataset(self, name: str) -> str:
        """Data as the package takes them. Raises a ValueError for others than those offered."""
        if name in self.data and self.data[name].is_dir():
            return str(self.data[name])
        if name in NAMED_SETS:
            return name
        raise ValueError(f"no data {name!r}; choose from {', '.join(self.data_names())}")

    def data_names(self) -> list[str]:
        """The data there are: those of the user's folders, and the named sets."""
        return [*(name for name, path in self.data.items() if path.is_dir()), *NAMED_SETS]

    def free_name(self, *words: str) -> str:
        """A name for a run, made of these words, that none has yet."""
        stems = [Path(word).stem for word in words]
        (base,) = file_names(["-".join(stems)])
        taken = {path.stem for path in self.runs.iterdir()} if self.runs.is_dir() else set()
        taken |= {job["name"] for job in self.waiting()}
        return next(n for k in range(1, 10**6) if (n := f"{base}-{k}") not in taken)

    def waiting(self) -> list[dict[str, Any]]:
        """The trainings that wait, in order: each its name and its words for `classicnets`."""
        try:
            return json.loads((self.runs / "queue.json").read_text())
        except (OSError, ValueError):
            return []

    def waits(self, name: str) -> bool:
        """Whether a training is in the queue."""
        return any(job["name"] == name for job in self.waiting())

    def queue(self, name: str, words: Sequence[str]) -> None:
        """Lets a training wait until no other that this page began is running. Raises a ValueError
        for one that waits or runs already, as by a second click or from another window."""
        with self.changing:
            if self.waits(name) or self.begun(name) or lock_holder(inside(self.runs, name)):
                raise ValueError(f"{name} waits or is being trained already")
            self._keep([*self.waiting(), {"name": name, "words": list(words)}])
            self.begin_next()

    def before(self, name: str) -> int:
        """How many trainings end before one that waits can begin."""
        names = [job["name"] for job in self.waiting()]
        return names.index(name) + self.busy() if name in names else 0

    def withdraw(self, name: str) -> None:
        """Takes a training out of the queue."""
        with self.changing:
            self._keep([job for job in self.waiting() if job["name"] != name])

    def begun(self, name: str) -> bool:
        """Whether a process that this page began for a training has not ended."""
        process = self.started.get(name)
        return process is not None and process.poll() is None

    def all_begun(self) -> dict[str, Sequence[str]]:
        """The words of the processes that this page began and that have not ended, by names."""
        return {name: words for name, words in [*self.given.items()] if self.begun(name)}

    def stop(self, name: str) -> bool:
        """Takes a training out of the queue, and asks the process that trains it, or is about to,
        to save and end; whether there is one."""
        with self.changing:
            self.withdraw(name)
            trains = lock_holder(inside(self.runs, name))
            if trains:
                os.kill(trains, signal.SIGINT)
            elif self.begun(name):
                self.started[name].send_signal(signal.SIGINT)
            return bool(trains) or self.begun(name)

    def begin_next(self) -> None:
        """Starts the first training that waits, unless one is running."""
        with self.changing:
            jobs = self.waiting()
            if jobs and not self.busy():
                self._keep(jobs[1:])
                self._start(jobs[0]["name"], jobs[0]["words"])

    def busy(self) -> bool:
        """Whether a training of this folder is running, or about to."""
        if any(process.poll() is None for process in self.started.values()):
            return True
        locks = (*self.runs.glob("*/.lock"), *self.studies.glob("*/experiment/.lock"))
        return any(lock_holder(lock.parent) for lock in locks)

    def log(self, name: str) -> list[str]:
        """The last lines that a training printed."""
        path = inside(self.runs, f"{name}.log")
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        return text.splitlines()[-LOG_LINES:]

    def evaluations(self, name: str) -> dict[str, dict[str, Any]]:
        """What the evaluations of a run came to that were asked for in the page, by their names."""
        found = {}
        for file in sorted((self.run(name) / EVALUATIONS).glob("*.json")):
            with suppress(OSError, ValueError):
                found[file.stem] = json.loads(file.read_text(encoding="utf-8"))
        return found

    def evaluate(self, name: str, protocol: str, data: str) -> Callable[[], str]:
        """Begins to evaluate a run on its own data, or others by their name; see `_ended`."""
        run = self.run(name)
        given = [word("protocol", protocol)]
        given += [word("data", self.dataset(data))] if data else []
        (stem,) = file_names([f"{protocol} {data}"])
        if data:  # of which two may be one as a file name
            stem += f"-{sha256(data.encode()).hexdigest()[:8]}"
        kept = run / EVALUATIONS / f"{stem}.json"
        scratch = Scratch(kept.parent)
        place = scratch.make()
        with (place / kept.name).open("wb") as out, (place / "errors").open("wb") as errors:
            process = self.begin(["evaluate", str(run), "--json", *given], out, errors)
        return partial(_ended, process, scratch, kept)

    def exports(self, name: str) -> list[Path]:
        """The files that a run was exported to."""
        files = (self.run(name) / EXPORTS).glob("*.*")
        return sorted(file for file in files if file.is_file() and file.suffix != ".log")

    def export(
        self, name: str, form: str, suffix: str, precision: str, whole: bool
    ) -> Callable[[], str]:
        """Begins to export a run to a file that is named after it; see `_ended`."""
        run = self.run(name)
        (stem,) = file_names([f"{name}-{precision}{'-bytes' * whole}"])
        place = run / EXPORTS / f"{stem}{suffix}"
        log = place.with_name(f"{place.name}.log")
        scratch = Scratch(place.parent)
        words = [word("out", place), word("format", form), word("precision", precision)]
        words.append("--exist-ok")
        with (scratch.make() / log.name).open("wb") as out:
            process = self.begin(
                ["export", str(run), *words, *["--with-preprocessing"] * whole], out
            )
        return partial(_ended, process, scratch, log)

    def trash(self, name: str, when: str) -> None:
        """Moves a run into the folder `trash`. Raises a ValueError for one that is in training."""
        path = self.run(name)
        if self.begun(name) or lock_holder(path):
            raise ValueError(f"{name} is being trained; stop it first")
        self.withdraw(name)
        place = self._throw(path, when)
        self.started.pop(name, None)
        with suppress(FileNotFoundError):
            inside(self.runs, f"{name}.log").rename(f"{place}.log")

    def is_own(self, name: str) -> bool:
        """Whether data are of this folder, as what was dropped on a page is."""
        return name in self.data and self.data[name].parent == self.folder / "data"

    def trash_data(self, name: str, when: str) -> None:
        """Moves a set of this folder into the folder `trash`. Raises a ValueError while something
        is in training, which may read it."""
        with self.changing:
            if self.busy() or self.waiting():
                raise ValueError(f"a training may read {name}; wait until none runs or waits")
            if self.is_own(name):
                self._throw(self.data.pop(name), when)

    def _throw(self, path: Path, when: str) -> Path:
        place = self.folder / "trash" / f"{path.name}-{when}"
        place.parent.mkdir(exist_ok=True)
        return path.rename(place)

    def _keep(self, jobs: Sequence[Any]) -> None:
        self.runs.mkdir(exist_ok=True)
        write_atomic(self.runs / "queue.json", json.dumps(jobs, indent=1).encode())

    def _start(self, name: str, words: Sequence[str]) -> None:
        with (self.runs / f"{name}.log").open("ab") as log:
            self.started[name], self.given[name] = self.begin(words, log), words

    def begin(
        self, words: Sequence[str], out: IO[bytes], errors: IO[bytes] | int = subprocess.STDOUT
    ) -> "subprocess.Popen[bytes]":
        """Starts `classicnets` with these words, in a session that the server's end spares."""
        return subprocess.Popen(  # -P: a torch.py in the folder is not the one that is imported
            [sys.executable, "-P", "-u", "-m", "classicnets", *words],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=errors,
            start_new_session=True,
        )
