"""What a run says of a few validation images, with the best weights that there are so far."""

import asyncio
from pathlib import Path

from nicegui import background_tasks, ui
from nicegui.element import Element

from classicnets.web.texts import Text
from classicnets.web.workspace import Workspace

from .opened import as_url, opened

COUNT = 12


class Samples:
    """The predictions, computed while `place` is open, anew after each epoch that was the best."""

    def __init__(self, t: Text, workspace: Workspace, name: str, place: Element):
        self.t, self.path, self.place = t, workspace.runs / name / "weights.safetensors", place
        self.shown = self.time = 0
        self.task: asyncio.Task[None] | None = None
        with place:
            self.row = ui.row().classes("w-full gap-3")
        place.on_value_change(self.changed)  # pyright: ignore[reportAttributeAccessIssue]

    def changed(self) -> None:
        """Looks again where there are other weights than those that were looked at."""
        busy = self.task is not None and not self.task.done()
        if busy or not self.place.value or not self.path.exists():  # pyright: ignore
            return
        if (time := self.path.stat().st_mtime_ns) != self.shown:
            self.shown = time
            self.task = background_tasks.create(self._look(), context=self.row)

    async def _look(self) -> None:
        try:
            found = await asyncio.to_thread(_predicted, self.path.parent)
        except (ValueError, OSError) as error:
            found, problem = [], str(error)
        else:
            problem = ""
        self.row.clear()
        with self.row:
            if problem:
                ui.label(problem).classes("text-negative").props("role=alert")
            for url, true, predicted, p in found:
                self._image(url, true, predicted, p)

    def _image(self, url: str, true: str, predicted: str, p: float) -> None:
        right = true == predicted
        with ui.column().classes("gap-0 w-24"):
            ui.image(url).classes("w-24").style("image-rendering:pixelated")
            mark = "\N{CHECK MARK}" if right else "\N{MULTIPLICATION SIGN}"
            ui.label(f"{mark} {predicted} {100 * p:.0f} %").classes(
                "text-caption " + ("text-positive" if right else "text-negative")
            )
            ui.label(self.t("is {}", true)).classes("text-caption opacity-70")


def _predicted(run: Path) -> list[tuple[str, str, str, float]]:
    """The image, the true class, the likeliest and its probability, of a few images."""
    explainer = opened(run)
    found = []
    for number in range(min(COUNT, len(explainer.of.validation.labels))):
        sample = explainer.validation(number)
        ((_, predicted, p),) = explainer.top(sample, 1)
        true = explainer.classes[sample.label or 0]
        found.append((as_url(explainer.seen(sample)), true, predicted, p))
    return found
