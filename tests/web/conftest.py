"""One server and one browser for all tests of the pages."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
FLAGS = ["--no-sandbox", *CAMERA]
PATIENCE = 120_000  # ms, which only a test that fails waits for
HOSTILE = "<img src=x onerror=alert(1)>"
DESIGN = "[8x8x1] input\n[6x6x4] conv1: 4 3x3 filters\n[2] fc2: 2 neurons\n"


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """The folder that the server works in."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "designs").mkdir()
    (folder / "designs" / f"{HOSTILE}.net").write_text(DESIGN)
    (folder / "data" / f"{HOSTILE} set").mkdir(parents=True)
    return folder


@pytest.fixture(scope="session")
def squares(folder, write_folder) -> Path:
    """A run, LeNet-5 on two classes, one of them with a hostile name."""
    import classicnets as cn

    data = write_folder(folder / "squares", 5)
    (data / "light").rename(data / HOSTILE)
    cn.train("lenet5", data, "fast", 3, folder / "squares run").finish()
    # not where this process holds the lock, for which the queue would wait
    return shutil.copytree(folder / "squares run", folder / "runs" / "squares")


class Site:
    """`classicnets web` in a process of its own, and the address of its pages."""

    def __init__(self, folder: Path, errors: Any = None):
        command = [sys.executable, "-m", "classicnets", "web", str(folder), "--port", "0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert self.process.stdout
        line = self.process.stdout.readline()
        self.url = re.search(r"http://127\.0\.0\.1:\d+", line)[0]  # pyright: ignore

    def stop(self) -> int:
        self.process.terminate()
        status = self.process.wait(40)
        self.process.stdout.close()  # pyright: ignore
        return status


@pytest.fixture(scope="session")
def site(folder) -> Iterator[str]:
    """The address of the pages."""
    pytest.importorskip("nicegui", reason="THE PAGES ARE NOT TESTED: the extra web is missing")
    running = Site(folder)
    yield running.url
    assert running.stop() == 0


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("THE PAGES ARE NOT TESTED IN A BROWSER: no Chromium, which Debian packages")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def open_page(browser: Any, address: str) -> Any:
    """A page of another server than that of `page`, which is closed by the test."""
    page = browser.new_page(base_url=address)
    page.set_default_timeout(PATIENCE)
    return page


def charts(page: Any) -> list[dict[str, Any]]:
    """The charts of a page as they are drawn, each with its axes and its lines."""
    return page.evaluate(
        """[...document.querySelectorAll('[_echarts_instance_]')].map(each => {
        const {xAxis, yAxis, series, visualMap} = getElement(each).chart.getOption();
        return JSON.parse(JSON.stringify({xAxis, yAxis, series, visualMap})) })"""
    )


@pytest.fixture
def page(browser, site) -> Iterator[Any]:
    """A page, of whose requests none may leave the server, and which may log no error."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, base_url=site)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    faults: list[str] = []
    own = (site, site.replace("http", "ws"), "data:", "blob:")
    page.on("request", lambda r: None if r.url.startswith(own) else faults.append(r.url))
    page.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("dialog", lambda dialog: faults.append(f"dialog {dialog.message}"))
    yield page
    assert page.locator("img[src=x]").count() == 0, "a name became an element"
    context.close()
    assert faults == []
