"""How fast the pages of `classicnets web` answer, in a real browser.

python benchmarks/pages.py

Prints what docs/web.md lists: from the command to the first page, from a keystroke in the editor
to the figures beside it, and from a click on a page of twenty live runs to what it changes, with
the server's share of a core meanwhile. Needs playwright and Chromium.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from playwright.sync_api import sync_playwright

import classicnets as cn
from classicnets.support.files import lock_directory

LIVE = 20
WATCH = """([heard, what, changed]) => {
  const text = () => document.querySelector(changed)?.textContent;
  let began = 0, before;
  window.times = [];
  document.querySelector(heard).addEventListener(what, () => {
    [began, before] = [performance.now(), text()];
  }, true);
  new MutationObserver(() => {
    if (!began || text() === before) return;
    window.times.push(performance.now() - began);
    began = 0;
  }).observe(document.body, {subtree: true, childList: true, characterData: true});
}"""


@contextmanager
def serving(folder: Path) -> Iterator[tuple[subprocess.Popen, str]]:
    """`classicnets web` in a process of its own, and its address."""
    command = [sys.executable, "-m", "classicnets", "web", str(folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()  # pyright: ignore
        try:
            yield process, re.search(r"http://\S+:\d+", line)[0]  # pyright: ignore
        finally:
            process.terminate()


def live_runs(folder: Path, count: int = LIVE) -> threading.Event:
    """Runs of which each adds an epoch every second until the event is set, and that this process
    seems to train."""
    cn.train("lenet5", recipe="fast", epochs=1, out=folder / "first").finish()
    runs = [folder / "runs" / f"live-{k:02}" for k in range(count)]
    for run in runs:
        shutil.copytree(folder / "first", run, ignore=shutil.ignore_patterns(".lock", "last.pt"))
        about = json.loads((run / "run.json").read_text())
        about["recipe"]["epochs"] = 10_000
        del about["test"]
        (run / "run.json").write_text(json.dumps(about))
        lock_directory(run)
    over = threading.Event()
    threading.Thread(target=_go_on, args=(runs, over), daemon=True).start()
    return over


def _go_on(runs: list[Path], over: threading.Event) -> None:
    epoch = 1
    while not over.wait(1):
        epoch += 1
        for k, run in enumerate(runs):
            file = run / "metrics.jsonl"
            last = json.loads(file.read_text().splitlines()[-1])
            last |= {"epoch": epoch, "step": last["step"] + 1}
            last["validation_top1_error"] = 50 / epoch + (len(runs) - k) / 10
            with file.open("a") as out:
                out.write(json.dumps(last) + "\n")


def first_page(browser: Any, folder: Path, starts: int) -> list[float]:
    """Milliseconds from the command to the cards of the papers."""
    times = []
    for _ in range(starts):
        began = time.perf_counter()
        with serving(folder) as (_, url):
            page = browser.new_page()
            page.goto(url)
            page.get_by_text("LeNet-5", exact=True).wait_for()
            times.append(1e3 * (time.perf_counter() - began))
            page.close()
    return times


def keystrokes(page: Any, every: float, count: int) -> list[float]:
    """Milliseconds from a key to what it changes beside the editor with ResNet-50's design."""
    page.goto("/design?network=resnet50")
    page.locator(".cm-content").click()
    page.get_by_text("25,557,032").first.wait_for()
    page.keyboard.press("Control+End")
    page.evaluate(WATCH, [".cm-content", "keydown", ".beside"])
    for k in range(count):
        page.keyboard.press("Backspace" if k % 2 else "x")
        page.wait_for_timeout(1000 * every)
    return _all(page, count)


def clicks(page: Any, process: subprocess.Popen, count: int) -> tuple[list[float], float]:
    """Milliseconds from a click on a heading to the rows in another order, by name and by error in
    turn; the share of a core that the server takes meanwhile, in %."""
    page.goto("/runs")
    page.get_by_role("link", name="live-00").wait_for()
    page.evaluate(WATCH, ["thead", "click", "tbody tr td"])
    before, began = _seconds(process.pid), time.perf_counter()
    headings = [page.get_by_role("columnheader", name=name) for name in ("run", "best")]
    for k in range(count):
        headings[k % 2].click()
        page.wait_for_timeout(1000)
    share = 100 * (_seconds(process.pid) - before) / (time.perf_counter() - began)
    return _all(page, count), share


def _all(page: Any, count: int) -> list[float]:
    times = page.evaluate("window.times")
    assert len(times) == count, f"{count - len(times)} of {count} were not answered"
    return times


def _seconds(process: int) -> float:
    """What a process and its threads have computed so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def said(name: str, times: list[float]) -> None:
    times = sorted(times)
    middle, late = times[len(times) // 2], times[int(0.95 * len(times))]
    print(f"{name}: median {middle:.0f} ms, 95 % within {late:.0f} ms, at most {times[-1]:.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast the pages of `classicnets web` answer.")
    parser.add_argument("--quick", action="store_true", help="few of each: does it run?")
    few = parser.parse_args().quick
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with TemporaryDirectory() as place, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        folder = Path(place)
        said("from the command to the first page", first_page(browser, folder, 1 if few else 5))
        over = live_runs(folder)
        with serving(folder) as (process, url):
            page = browser.new_page(base_url=url)
            page.set_default_timeout(60_000)
            times, share = clicks(page, process, 4 if few else 20)
            said(f"a click with {LIVE} live runs", times)
            print(f"the server's share of a core meanwhile: {share:.0f} %")
            over.set()
            for every in (0.2, 1.0):
                times = keystrokes(page, every, 6 if few else 30)
                said(f"a keystroke every {every:g} s, ResNet-50's design", times)
        browser.close()


if __name__ == "__main__":
    main()
