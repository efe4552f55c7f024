"""A run on its page as it goes on: curves, predictions, log, stop, resume, delete."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from nicegui import ui

from classicnets.support.names import visible
from classicnets.support.units import format_seconds
from classicnets.web.shell import Missing, throw_away
from classicnets.web.terms import facts
from classicnets.web.texts import Text
from classicnets.web.workspace import Workspace, refusal

from .curves import curves, over
from .samples import Samples
from .tested import Evaluating, Exporting

if TYPE_CHECKING:
    from classicnets.api.following import Followed

EVERY = 1.0  # seconds from look to look


def read_run(workspace: Workspace, name: str) -> "Followed | None":
    """The run as it is now; None for one that waits or begins. Raises a ValueError for no run."""
    from classicnets.api.following import follow

    if (workspace.runs / name / "run.json").exists():
        return follow(workspace.runs / name)
    known = workspace.waits(name) or name in workspace.started
    if not known and not workspace.log(name):
        names = (path.parent.name for path in workspace.runs.glob("*/run.json"))
        raise Missing("run", name, names, "/run/", "/runs")
    return None


class Following:
    """A run on its page, looked at every second."""

    def __init__(self, t: Text, workspace: Workspace, name: str):
        self.t, self.workspace, self.name = t, workspace, name
        self.seen: object = None
        self.trained = False  # by a process that has not ended
        self.filled = ""  # the state in which what is done with weights was laid out

    def show(self, found: "Followed | None") -> None:
        """The places for what changes."""
        t = self.t
        ui.label(self.name).classes("text-h5")
        self.facts = ui.column()
        self.said = ui.label().props("aria-live=polite")
        with ui.row():
            self.stop = ui.button(t("Stop"), on_click=self.end).props("no-caps")
            self.resume = ui.button(t("Resume"), on_click=self.go_on).props("no-caps")
            self.look = ui.button(
                t("Look inside"), on_click=lambda: ui.navigate.to(f"/look?run={quote(self.name)}")
            ).props("no-caps outline")
            self.delete = ui.button(t("Delete"), on_click=self.ask_to_delete).props(
                "no-caps outline color=negative"
            )
        sets = t("training images"), t("validation images")
        self.drawn = ui.element("div").classes("grid w-full gap-4 grid-cols-1 md:grid-cols-2")
        with self.drawn:
            self.charts = [self._chart(t(title), sets) for title in ("loss", "top-1 error, %")]
        with ui.expansion(t("Sample predictions")).classes("w-full") as self.sampled:
            self.samples = Samples(t, self.workspace, self.name, self.sampled)
        self.evaluated = ui.expansion(t("Evaluate")).classes("w-full")
        self.exported = ui.expansion(t("Export")).classes("w-full")
        with ui.expansion(t("Log")).classes("w-full"):
            self.log = ui.label().classes("mono w-full text-caption")
        self.update(found)
        ui.timer(EVERY, self.look_again)

    def _chart(self, title: str, names: Sequence[str]) -> ui.echart:
        with ui.column().classes("min-w-0 gap-1"):
            ui.label(title)
            return ui.echart(curves(self.t, title, names)).classes("h-72 w-full")

    async def look_again(self) -> None:
        """Reads the run's directory; shows it where it has changed."""
        try:
            self.update(await asyncio.to_thread(read_run, self.workspace, self.name))
        except (ValueError, OSError) as error:
            self.said.set_text(str(error))

    def update(self, found: "Followed | None") -> None:
        """Shows a run as it is now."""
        lines, waits = self.workspace.log(self.name), self.workspace.waits(self.name)
        begun, before = self.workspace.begun(self.name), self.workspace.before(self.name)
        if (found, lines, waits, begun, before) == self.seen:
            return
        self.seen = (found, lines, waits, begun, before)
        self.log.set_text("\n".join(lines))
        state = found.state if found else ""
        busy = waits or begun or state == "training"
        self.stop.set_visibility(busy)
        self.resume.set_visibility(state == "stopped" and not busy)
        self.delete.set_visibility(bool(state) and not busy)
        self.drawn.set_visibility(bool(found and found.epochs))
        ready = bool(found and found.has_weights)
        for each in (self.look, self.sampled, self.evaluated, self.exported):
            each.set_visibility(ready)
        self.said.set_text(visible(self._said(found, lines, waits, begun)))
        if found is None:
            self.facts.clear()
            return
        self._facts(found)
        self._fill(found)
        columns = (("train_loss", "validation_loss"), ("train_error", "validation_top1_error"))
        for chart, names in zip(self.charts, columns, strict=True):
            for series, column in zip(chart.options["series"], names, strict=True):
                series["data"] = [[e.epoch, getattr(e, column)] for e in found.epochs]
            chart.options["xAxis"].update(over(found.length))
            chart.update()

    def _said(
        self, found: "Followed | None", lines: Sequence[str], waits: bool, begun: bool
    ) -> str:
        """What keeps it from training, or how far it is before its first epoch."""
        t, state = self.t, found.state if found else ""
        self.trained = state == "training" or (self.trained and begun)  # else it is about to
        if waits:
            return t("Waiting for {} before it", self.workspace.before(self.name))
        if state in ("", "stopped") and begun and not self.trained:
            return " ".join([t("Training begins."), *lines[-1:][: not found]])
        if state == "training" and found and not found.epochs:
            return " ".join([t("Training begins."), *lines[-1:]])
        if found is None:
            return refusal(lines) or t(
                "It ended before its training began, or its folder was removed."
            )
        return found.reason

    def _fill(self, found: "Followed") -> None:
        """What is done with weights, once there are any; results as soon as training has ended."""
        self.samples.changed()
        if found.has_weights and self.filled != found.state:
            self.filled = found.state
            self.evaluated.clear()
            with self.evaluated:
                Evaluating(self.t, self.workspace, self.name, found.data).show(found.test)
            self.exported.clear()
            with self.exported:
                Exporting(self.t, self.workspace, self.name).show()

    def _facts(self, found: "Followed") -> None:
        values = {
            "state": self.t(found.state),
            "network": found.network.rpartition("/")[2],
            "data": found.data.rpartition("/")[2],
            "epoch": f"{len(found.epochs)} / {found.length}",
        }
        if found.epochs:
            last = found.epochs[-1]
            values["learning rate"] = f"{last.last_lr:.4g}"
            values["images per second"] = f"{last.images_per_second:,.0f}"
            values["best validation error, %"] = f"{found.best_error:.2f}"
        if found.test_error is not None:
            values["test error, %"] = f"{found.test_error:.2f}"
        elif found.state == "training" and found.seconds_left:
            values["time left"] = format_seconds(found.seconds_left)
        self.facts.clear()
        with self.facts:
            facts(self.t, values)

    async def end(self) -> None:
        """Takes it out of the queue, or asks its process to save and end."""
        if self.workspace.stop(self.name):
            ui.notify(self.t("About to save and end."))
        elif not ((self.workspace.runs / self.name).exists() or self.workspace.log(self.name)):
            ui.navigate.to("/runs")
            return
        await self.look_again()

    async def go_on(self) -> None:
        """Queues the rest of the training."""
        self.resume.set_visibility(False)  # of a second click nothing is heard
        self.seen = None
        try:
            words = ["train", "--resume", str(self.workspace.run(self.name))]
            self.workspace.queue(self.name, words)
        finally:
            await self.look_again()
        waits = self.workspace.waits(self.name)
        ui.notify(self.t("Waiting" if waits else "Training begins."))

    async def ask_to_delete(self) -> None:
        """Moves the run to the folder trash once that is confirmed."""
        await throw_away(self.t, self.name, self.workspace.trash, "/runs")
