"""Eleven thousand hostile inputs, each of which must give a result or one clear sentence.

    python benchmarks/hostile.py --part images --work DIRECTORY     a part; without --part all
    python benchmarks/hostile.py --part images --case 17            one input, with what it says

Inputs are small valid ones, made by the script and mutated; a number gives the same input again. A
process runs them one after another, as the command line does. It is an error if an input gives a
traceback, more than a line on stderr or a control character, takes more than 5 s of CPU time or 1
GiB of memory, ends the process, writes outside its folder, opens a connection, starts a process, or
runs a line of a file. Results go to results/hostile.json; the exit status is 1 after an error.
"""

import argparse
import contextlib
import importlib
import io
import json
import os
import platform
import re
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hostile_inputs as inputs
import hostile_material
import torch

import classicnets as cn
from classicnets.api.train import versions
from classicnets.cli import _message, main as command_line, sentence
from classicnets.data import download
from classicnets.data.sets import open_data
from classicnets.support.errors import SkippedFiles, TrainingAdvice
from classicnets.support.names import CONTROLS
from classicnets.weights.files import read_weights

RESULTS = Path(__file__).parent / "results/hostile.json"
SECONDS, WALL = 5, 60  # of CPU time, and on a busy machine
MEMORY = 2**30
LONGEST = 4000  # characters of a sentence
STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "pty.spawn")
CONNECTS = ("socket.connect", "socket.getaddrinfo", "socket.bind")
WRITES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Watch:
    """What the audit hook of Python saw that must not happen, while a case runs in `inside`."""

    def __init__(self) -> None:
        self.inside, self.seen = "", []
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple) -> None:
        if not self.inside:
            return
        if event in STARTS or event in CONNECTS:
            self.seen.append(f"{event} {str(arguments)[:100]}")
        elif event == "exec" and arguments[0].co_filename.startswith(self.inside):
            self.seen.append(f"ran {arguments[0].co_filename}")
        elif event in WRITES or (event == "open" and self._writes(*arguments[1:3])):
            path = arguments[0]
            if isinstance(path, str | bytes | os.PathLike):
                real = os.path.realpath(os.fsdecode(path))
                caches = str(Path(self.inside).parent)  # of torch and matplotlib
                ours = real.startswith(caches) and not real.startswith(f"{caches}/material")
                if not ours and real != os.devnull:
                    self.seen.append(f"wrote {real}")

    @staticmethod
    def _writes(mode: Any, flags: Any) -> bool:
        return bool(isinstance(flags, int) and flags & WRITING)


def perform(words: list[str]) -> str:
    """Runs the words in this process: "result", or "refused" in a sentence; else AssertionError."""
    out, err = io.StringIO(), io.StringIO()
    status: Any = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            if words[0] == inputs.OPEN:
                open_data(words[1], 16, 3)
            elif words[0] == inputs.READ:
                read_weights(Path(words[1]))
            elif words[0] == inputs.PREPARE:  # as `train --set`, up to its first step
                changes = dict(word.partition("=")[::2] for word in words[3:])
                cn.train(words[1], words[2], "fast", out="out", overrides=changes)
            else:
                sys.argv, sys.stdin = ["classicnets", *words], io.StringIO()
                command_line()
        except SystemExit as end:
            status = end.code or 0
        except (ValueError, OSError) as error:
            status = 2
            err.write(f"classicnets: {sentence(_message(error))}\n")
    text = err.getvalue()
    assert status in (0, 2), f"status {status}: {text[-500:]}"
    shown = CONTROLS.search(text + out.getvalue())
    assert not shown or words[0] == inputs.READ, f"it shows the control character {shown[0]!r}"
    if status == 0:
        return "result"
    lines = [line for line in text.splitlines() if not line.startswith(("warning:", " "))]
    assert len(lines) == 1, f"{len(lines)} lines: {text[:1000]}"
    assert re.fullmatch(r"classicnets: \S.*", lines[0]), text[:500]
    assert len(lines[0]) < LONGEST, f"a sentence of {len(lines[0])} characters"
    assert "out of memory" not in lines[0], "out of memory"
    return "refused"


def run_case(part: str, number: int, material: Path, folder: Path, watch: Watch) -> dict[str, Any]:
    """The outcome of a case, in a folder of its own."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.chdir(folder)
    words: list[str] = []
    found: dict[str, Any] = {"number": number}
    try:
        words = inputs.build(part, number, material)
        os.environ["CLASSICNETS_DATA"] = str(folder / "cache")
        Path("/proc/self/clear_refs").write_text("5")
        before, began = _memory("VmRSS"), time.process_time()
        watch.seen, watch.inside = [], str(folder)
        outcome = perform(words)
        watch.inside = ""
        found |= {"seconds": time.process_time() - began, "memory": _memory("VmHWM") - before}
        assert not watch.seen, watch.seen[0]
        assert not (folder / "executed").exists(), "it executed what was in the input"
        assert found["memory"] < MEMORY, f"{found['memory'] / 2**20:.0f} MiB of memory"
        found["outcome"] = outcome
    except BaseException as error:
        watch.inside = ""
        where = traceback.extract_tb(error.__traceback__)[-1]
        about = f"{type(error).__name__}: {str(error)[:600]}"
        place = f"{Path(where.filename).name}:{where.lineno}"
        found |= {"outcome": "error", "words": words, "error": f"{about} ({place})"}
    return found


def _memory(name: str) -> int:
    text = Path("/proc/self/status").read_text()
    return int(re.search(rf"{name}:\s+(\d+)", text)[1]) * 1024  # type: ignore[index]


def outcomes(part: str, numbers: range, work: Path) -> Iterator[dict[str, Any]]:
    """The outcome of each case, by processes that are replaced when one ends or hangs."""
    left = list(numbers)
    while left:
        pid, pipe = _start(part, left, work)
        with os.fdopen(pipe, "rb") as lines:
            while left:
                found = _next(pid, lines)
                yield found | {"number": left.pop(0)}
                if "died" in found:
                    break
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _start(part: str, numbers: list[int], work: Path) -> tuple[int, int]:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    os.close(reading)
    watch = Watch()
    for number in numbers:
        found = run_case(part, number, work / "material", work / f"case-{part}", watch)
        os.write(writing, json.dumps(found).encode() + b"\n")
    os._exit(0)


def _next(pid: int, lines: Any) -> dict[str, Any]:
    """The outcome of the case that the process runs now."""
    began, before = time.monotonic(), _cpu(pid)
    while not select.select([lines], [], [], 0.5)[0]:
        if _cpu(pid) - before > SECONDS or time.monotonic() - began > WALL:
            return {"outcome": "error", "died": True, "error": f"hangs: {_cpu(pid) - before:.0f} s"}
    if line := lines.readline():
        return json.loads(line)
    return {"outcome": "error", "died": True, "error": "it ended the process"}


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run_part(part: str, work: Path, count: int) -> dict[str, Any]:
    began, kinds, errors, slowest, most = time.monotonic(), Counter[str](), [], 0.0, 0
    for found in outcomes(part, range(count), work):
        kinds[found["outcome"]] += 1
        slowest = max(slowest, found.get("seconds", 0.0))
        most = max(most, found.get("memory", 0))
        if found["outcome"] == "error":
            errors.append(found)
            print(f"{part} {found['number']}: {found['error']}", flush=True)
    print(f"{part}: {dict(kinds)}, at most {slowest:.1f} s, {most / 2**20:.0f} MiB, "
          f"in {time.monotonic() - began:.0f} s", flush=True)  # fmt: skip
    return {"inputs": count, **kinds, "slowest_seconds": round(slowest, 2),
            "most_memory_mib": most >> 20, "errors": errors}  # fmt: skip


def keep(part: str, found: dict[str, Any]) -> None:
    """Puts the results of a part among those of the others."""
    held = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"parts": {}}
    parts = {**held["parts"], part: found}
    total = sum(one["inputs"] for one in parts.values())
    content = {"command": "python benchmarks/hostile.py", "inputs": total, "parts": parts}
    RESULTS.write_text(json.dumps({**content, "versions": versions()}, indent=1) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--part", choices=inputs.COUNTS, action="append")
    parser.add_argument("--work", type=Path, default=Path("hostile"))
    parser.add_argument("--count", type=int, help="only so many of each part; nothing is kept")
    parser.add_argument("--case", type=int, help="one input of the part")
    options = parser.parse_args()
    torch.set_num_threads(1)
    platform.processor()  # starts `uname`, once, and matplotlib `fc-list`
    importlib.import_module("matplotlib.font_manager")
    for advice in (TrainingAdvice, SkippedFiles):
        warnings.simplefilter("ignore", advice)
    work = options.work.resolve()
    hostile_material.prepare(work / "material")
    download._require_published = lambda remote, path: None  # so that the parsers see their files
    tempfile.tempdir = os.environ["MPLCONFIGDIR"] = str(work)
    failed = 0
    for part in options.part or inputs.COUNTS:
        if options.case is not None:
            found = run_case(part, options.case, work / "material", work / "one", Watch())
            print(json.dumps(found, indent=1))
            return int(found["outcome"] == "error")
        found = run_part(part, work, options.count or inputs.COUNTS[part])
        failed += len(found["errors"])
        if options.count is None:
            keep(part, found)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
