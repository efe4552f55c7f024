"""A run evaluated by a paper's protocol, and exported for other engines, on its page.

Both are commands in processes of their own; what they write stays in the run's directory.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from nicegui import ui

from classicnets.support.names import visible
from classicnets.support.tables import format_bytes
from classicnets.web.texts import Text
from classicnets.web.workspace import Workspace

from .confusion import show_confusion

# what an evaluation says of the images it read
READ = re.compile(r"(the test part|all images) of (.+?)(?:, where.+?)?(?:: (\d+) of (\d+) .+)?")
PARTS = {"the test part": "the test part of {}: {}", "all images": "all images of {}: {}"}


async def _waited(t: Text, place: ui.column, begin: Callable[[], Callable[[], str]]) -> bool:
    """Begins a command and waits for its end; what hinders it is said."""
    place.clear()
    with place:
        spinner = ui.spinner(size="md")
        try:
            problem = await asyncio.to_thread(begin())
        except (ValueError, OSError) as error:
            problem = str(error)
        spinner.delete()
        if problem:
            ui.label(visible(problem)).classes("text-negative").props("role=alert")
    return not problem


class Evaluating:
    """The evaluations of a run: a protocol and data to choose, and what those before came to."""

    def __init__(self, t: Text, workspace: Workspace, name: str, trained_on: str):
        self.t, self.workspace, self.name = t, workspace, name
        self.trained_on = trained_on

    def show(self, test: Mapping[str, Any]) -> None:
        """The choices, and the results, with those of training's own `test`."""
        from classicnets.api.evaluate import PROTOCOLS

        t = self.t
        own = {"": t.of("the run's own test images", self.trained_on.rpartition("/")[2])}
        names = self.workspace.data_names()
        others = [name for name in names if self.workspace.dataset(name) != self.trained_on]
        with ui.row().classes("items-end gap-4"):
            self.protocol = ui.select([*PROTOCOLS], value="single", label=t("protocol"))
            data = own | {name: name for name in others}
            self.data = ui.select(data, value="", label=t("data")).classes("w-80")
            self.protocol.classes("w-48")
            ui.button(t("Evaluate"), on_click=partial(self.evaluate, test)).props("no-caps")
        self.said = ui.column()
        self.results = ui.column().classes("w-full gap-1")
        self.list(test)

    async def evaluate(self, test: Mapping[str, Any]) -> None:
        """Evaluates, and shows what it came to."""
        protocol, data = str(self.protocol.value), str(self.data.value)
        begin = partial(self.workspace.evaluate, self.name, protocol, data)
        if await _waited(self.t, self.said, begin):
            self.list(test)

    def list(self, test: Mapping[str, Any]) -> None:
        """The results, a line for each, which opens."""
        t, results = self.t, dict[str, Mapping[str, Any]]()
        if "confusion" in test:
            own = {**test, "data": test.get("data") or f"the test part of {self.trained_on}"}
            results[f"{in_a_line(t, own)} · {t('at the end of training')}"] = own
        for one in self.workspace.evaluations(self.name).values():
            results[in_a_line(t, one)] = one  # once where its data have two names
        self.results.clear()
        with self.results:
            if results:
                ui.label(t("protocol: top-1 error / top-5 error · images")).classes("text-caption")
            for line, result in results.items():
                with ui.expansion(line).classes("w-full"):
                    show_confusion(t, result)


def in_a_line(t: Text, result: Mapping[str, Any]) -> str:
    """What an evaluation came to."""
    figures = [result["top1_error"], result.get("top5_error")]  # of five classes only the first
    errors = " / ".join(f"{figure:.2f} %" for figure in figures if figure is not None)
    images = t("{} images", f"{result['images']:,}")
    if not (read := READ.fullmatch(data := str(result.get("data") or ""))):
        return f"{result['protocol']}: {errors} · {data} · {images}"
    part, place, some, count = read.groups()
    if count:
        images = t("{} of {} images", some, count)
    where = t(PARTS[part], place.rpartition("/")[2], images)
    return f"{result['protocol']}: {errors} · {where}"


class Exporting:
    """The files that a run was exported to, and a form for another."""

    def __init__(self, t: Text, workspace: Workspace, name: str):
        self.t, self.workspace, self.name = t, workspace, name

    def show(self) -> None:
        """The choices, and the files."""
        from classicnets.api.export import FORMATS

        t = self.t
        self.suffixes = {one.name: one.suffix for one in FORMATS.values()}
        with ui.row().classes("items-end gap-4"):
            self.format = ui.select([*FORMATS], value="onnx", label=t("format")).classes("w-48")
            self.precision = ui.select(
                ["fp32", "fp16", "int8"], value="fp32", label=t("precision")
            ).classes("w-32")
            self.whole = ui.checkbox(t("takes bytes, and resizes, crops and scales them itself"))
            ui.button(t("Export"), on_click=self.export).props("no-caps")
        self.said = ui.column()
        self.files = ui.column().classes("w-full gap-1")
        self.list()

    async def export(self) -> None:
        """Exports, and offers the file."""
        form, precision = str(self.format.value), str(self.precision.value)
        settings = (form, self.suffixes[form], precision, bool(self.whole.value))
        if await _waited(self.t, self.said, partial(self.workspace.export, self.name, *settings)):
            self.list()

    def list(self) -> None:
        """The files, each with what was said of it, to be downloaded."""
        self.files.clear()
        with self.files:
            for file in self.workspace.exports(self.name):
                with ui.row().classes("items-center"):
                    ui.button(file.name, icon="download", on_click=partial(_send, file)).props(
                        "flat no-caps dense"
                    )
                    ui.label(format_bytes(file.stat().st_size)).classes("text-caption")
                log = file.with_name(f"{file.name}.log")
                if log.exists():
                    said = log.read_text(encoding="utf-8", errors="replace")
                    ui.label(visible(said)).classes("mono w-full text-caption opacity-70")


def _send(file: Path) -> None:
    ui.download.file(file, file.name)
