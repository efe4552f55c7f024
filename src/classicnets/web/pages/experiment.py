"""An experiment as it goes on: how far it is, its report so far, and stopping it."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

from nicegui import ui
from PIL import Image

from classicnets.support.names import visible
from classicnets.web.shell import ask_to_stop, computed, failed
from classicnets.web.terms import facts
from classicnets.web.texts import Text

from .opened import as_url

if TYPE_CHECKING:
    from classicnets.api.following_experiments import FollowedExperiment
    from classicnets.experiments.report import ExperimentReport

EVERY = 2.0  # seconds from look to look
LEGIBLE = 700  # pixels to which a figure may shrink


def follow(directory: Path) -> "FollowedExperiment":
    """The experiment as it is now. Raises a ValueError where there is none."""
    from classicnets.api.following_experiments import follow_experiment

    return follow_experiment(directory)


class ExperimentView:
    """An experiment in a page, looked at every other second; `stoppable` by a button of its own."""

    def __init__(self, t: Text, directory: Path, stoppable: bool = True):
        self.t, self.directory, self.stoppable = t, directory, stoppable
        self.seen: FollowedExperiment | None = None
        self.reported = -1  # runs that had ended when the report was drawn
        self.drawing = False

    def lay_out(self) -> None:
        """The places for what changes."""
        self.facts = ui.column()
        self.bar = ui.linear_progress(0, show_value=False).props("instant-feedback")
        self.said = ui.label().classes("text-caption").props("aria-live=polite")
        self.stop = ui.button(self.t("Stop"), on_click=self.ask_to_stop).props("no-caps")
        self.report = ui.column().classes("w-full gap-2")

    def watch(self) -> None:
        """Looks again and again."""
        ui.timer(EVERY, self.look_again)

    async def look_again(self) -> None:
        """Reads the directory; shows it where it has changed."""
        try:
            await self.update(follow(self.directory))
        except (ValueError, OSError) as error:
            self.said.set_text(visible(str(error)))

    async def update(self, found: "FollowedExperiment") -> None:
        """Shows an experiment as it is now."""
        if found != self.seen:
            self.seen = found
            self._show(found)
        if found.done != self.reported and not found.reason and not self.drawing:
            self.drawing, self.reported = True, found.done
            try:
                await self.draw()
            finally:
                self.drawing = False

    def _show(self, found: "FollowedExperiment") -> None:
        t = self.t
        self.facts.clear()
        with self.facts:
            ui.label(visible(", ".join(found.variants))).classes("break-all")
            values = {
                "state": t(found.state),
                "data": found.data.rpartition("/")[2],
                "runs that have ended": f"{found.done} / {found.total}",
            }
            if found.searching:
                values["runs that have ended"] = f"{found.done}"
            if found.best:
                best = f"{found.best.best_error:.2f} ({found.best.name})"
                values["best validation error, %"] = best
            facts(t, values)
        self.bar.set_value(found.fraction)
        self.bar.set_visibility(not found.searching)
        self.said.set_text(visible(found.reason))
        self.stop.set_visibility(self.stoppable and bool(found.process))

    async def draw(self) -> None:
        """The report on the pairs that have ended."""
        made = failure = None
        with self.report:
            try:
                made = await computed(self._reported)
            except (ValueError, OSError) as error:
                failure = error
        self.report.clear()
        with self.report:
            if failure:
                failed(self.t, failure)
            elif made is None:
                ui.label(self.t("A report needs two pairs of runs that have ended."))
            else:
                ui.label(visible(made[0])).classes("mono w-full text-caption")
                show_figure(made[1])

    def _reported(self) -> tuple[str, bytes] | None:
        from classicnets.api.following_experiments import report_of

        found: ExperimentReport | None = report_of(self.directory)
        return None if found is None else (found.text(), found.png())

    def ask_to_stop(self) -> None:
        """Asks the process that trains to end."""
        ask_to_stop(self.t, self.directory)


def show_figure(png: bytes) -> None:
    """A figure on white, as it was drawn; on a phone so large that it can be read, and scrolls."""
    image = Image.open(io.BytesIO(png), formats=["PNG"])
    with ui.element("div").classes("w-full overflow-x-auto"):
        shown = ui.image(as_url(image)).classes("figure")
    shown.style(f"width:{image.width}px;max-width:max(100%, {LEGIBLE}px);background:white")
