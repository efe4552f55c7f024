"""Runs: all of a folder as a table, and each as it goes on: curves, log, stop, resume, delete."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from nicegui import ui
from starlette.requests import Request

from classicnets.support.units import format_seconds
from classicnets.web.shell import FAINT, computed, failed, frame
from classicnets.web.texts import Text
from classicnets.web.workspace import Workspace, inside

if TYPE_CHECKING:
    from classicnets.api.following import Followed

LINE = {"type": "line", "showSymbol": True, "animation": False}
EVERY = 1.0  # seconds from look to look
COLUMNS = {
    "name": "run",
    "network": "network",
    "data": "data",
    "state": "state",
    "epoch": "epoch",
    "validation": "best validation error, %",
    "test": "test error, %",
}
# a link in a table's cell; whatever the name is, it is text
LINK = """<q-td :props="props"><a class="text-primary underline"
:href="'/run/' + encodeURIComponent(props.row.name)">{{ props.row.name }}</a></q-td>"""


def declare(workspace: Workspace) -> None:
    """The addresses of these pages."""

    @ui.page("/runs")
    async def runs(request: Request) -> None:
        with frame(request, "Runs") as t:
            ui.label(t("Runs")).classes("text-h5")
            first = await computed(lambda: _rows(t, workspace))
            columns = [
                {"name": key, "field": key, "label": t(title), "sortable": True, "align": "left"}
                for key, title in COLUMNS.items()
            ]
            table = ui.table(columns=columns, rows=first, row_key="name", pagination=50)
            table.classes("w-full").props(
                f'dense flat rows-per-page-label="{t("rows per page")}"'
            ).add_slot("body-cell-name", LINK)

            def refresh() -> None:
                if (rows := _rows(t, workspace)) != table.rows:
                    table.rows = rows

            ui.timer(EVERY, refresh)
            if len(first) > 1:
                _compare(t, workspace, [row["name"] for row in first])

    @ui.page("/run/{name}")
    async def run(request: Request, name: str) -> None:
        with frame(request, name) as t:
            try:
                inside(workspace.runs, name)
                found = await computed(lambda: _follow(workspace, name))
            except (ValueError, OSError) as error:
                failed(t, error)
            else:
                _Following(t, workspace, name).show(found)


def _compare(t: Text, workspace: Workspace, names: list[str]) -> None:
    """The validation errors of some runs in one chart, chosen here."""
    from classicnets.api.following import follow

    ui.label(t("Compare")).classes("text-h6")
    chosen = ui.select(names, multiple=True, value=names[:2], label=t("Runs"))
    chosen.props("use-chips").classes("w-full")
    chart = ui.echart(_chart(t("top-1 error on validation, %"), ())).classes("w-full h-80")

    def draw() -> None:
        lines = []
        for name in chosen.value or ():
            epochs = follow(inside(workspace.runs, name)).epochs
            points = [[each.epoch, each.validation_top1_error] for each in epochs]
            lines.append({**LINE, "name": name, "data": points})
        chart.options["series"] = lines
        chart.update()

    chosen.on_value_change(draw)
    draw()


def _rows(t: Text, workspace: Workspace) -> list[dict[str, Any]]:
    from classicnets.api.following import list_runs

    return [
        {
            "name": run.name,
            "network": run.network.rpartition("/")[2],
            "data": run.data.rpartition("/")[2],
            "state": _state(t, run),
            "epoch": len(run.epochs),
            "validation": _rounded(run.best_error),
            "test": _rounded(run.test_error),
        }
        for run in list_runs(workspace.runs)
    ]


def _rounded(error: float | None) -> float | None:
    return None if error is None else round(error, 2)


def _state(t: Text, run: "Followed") -> str:
    said = {
        "training": t("training"),
        "stopped": t("stopped"),
        "ended": t("ended"),
        "diverged": t("diverged"),
        "damaged": t("damaged"),
    }
    return said[run.state]


def _follow(workspace: Workspace, name: str) -> "Followed | None":
    """The run as it is now; None for one that waits or begins. Raises a ValueError for no run."""
    from classicnets.api.following import follow

    if (workspace.runs / name / "run.json").exists():
        return follow(workspace.runs / name)
    known = any(job["name"] == name for job in workspace.waiting())
    if not known and not workspace.log(name) and name not in workspace.started:
        raise ValueError(f"no run {name!r}")
    return None


class _Following:
    """A run on its page, looked at every second."""

    def __init__(self, t: Text, workspace: Workspace, name: str):
        self.t, self.workspace, self.name = t, workspace, name
        self.seen: object = None

    def show(self, found: "Followed | None") -> None:
        """The places for what changes."""
        t = self.t
        ui.label(self.name).classes("text-h5")
        self.facts = ui.row().classes("gap-6")
        self.said = ui.label().props("aria-live=polite")
        with ui.row():
            self.stop = ui.button(t("Stop"), on_click=self.ask_to_stop).props("no-caps")
            self.resume = ui.button(t("Resume"), on_click=self.go_on).props("no-caps")
            self.look = ui.button(
                t("Look inside"), on_click=lambda: ui.navigate.to(f"/look?run={quote(self.name)}")
            ).props("no-caps outline")
            self.delete = ui.button(t("Delete"), on_click=self.ask_to_delete).props(
                "no-caps outline color=negative"
            )
        sets = t("training images"), t("validation images")
        with ui.element("div").classes("grid w-full gap-4 grid-cols-1 md:grid-cols-2"):
            self.charts = [
                ui.echart(_chart(t(title), sets)).classes("h-72 w-full")
                for title in ("loss", "top-1 error, %")
            ]
        with ui.expansion(t("Log")).classes("w-full"):
            self.log = ui.label().classes("mono w-full text-caption")
        self.update(found)
        ui.timer(EVERY, self.look_again)

    def look_again(self) -> None:
        """Reads the run's directory; shows it where it has changed."""
        try:
            self.update(_follow(self.workspace, self.name))
        except (ValueError, OSError) as error:
            self.said.set_text(str(error))

    def update(self, found: "Followed | None") -> None:
        """Shows a run as it is now."""
        lines = self.workspace.log(self.name)
        if (found, lines) == self.seen:
            return
        self.seen = (found, lines)
        self.log.set_text("\n".join(lines))
        t, state = self.t, found.state if found else ""
        self.stop.set_visibility(state == "training")
        self.resume.set_visibility(state == "stopped")
        self.delete.set_visibility(state not in ("", "training"))
        self.look.set_visibility(bool(found and (found.directory / "weights.safetensors").exists()))
        if found is None:
            failure = next((line for line in lines if line.startswith("classicnets: ")), "")
            self.said.set_text(failure or t("Training begins."))
            return
        self.said.set_text(found.reason)
        self._facts(found)
        columns = (("train_loss", "validation_loss"), ("train_error", "validation_top1_error"))
        for chart, names in zip(self.charts, columns, strict=True):
            for series, column in zip(chart.options["series"], names, strict=True):
                series["data"] = [[e.epoch, getattr(e, column)] for e in found.epochs]
            chart.update()

    def _facts(self, found: "Followed") -> None:
        t = self.t
        facts = {
            t("state"): _state(t, found),
            t("network"): found.network.rpartition("/")[2],
            t("data"): found.data.rpartition("/")[2],
            t("epoch"): f"{len(found.epochs)} / {found.length}",
        }
        if found.epochs:
            last = found.epochs[-1]
            facts[t("learning rate")] = f"{last.last_lr:.4g}"
            facts[t("images per second")] = f"{last.images_per_second:,.0f}"
            facts[t("best validation error, %")] = f"{found.best_error:.2f}"
        if found.test_error is not None:
            facts[t("test error, %")] = f"{found.test_error:.2f}"
        elif found.state == "training" and found.seconds_left:
            facts[t("time left")] = format_seconds(found.seconds_left)
        self.facts.clear()
        with self.facts:
            for name, value in facts.items():
                with ui.column().classes("gap-0"):
                    ui.label(value).classes("text-h6")
                    ui.label(name).classes("text-caption opacity-70")

    async def ask_to_stop(self) -> None:
        """Asks the process that trains to save and end."""
        from classicnets.api.following import stop

        try:
            stop(self.workspace.run(self.name))
            ui.notify(self.t("About to save and end."))
        except ValueError as error:
            ui.notify(str(error), type="negative")

    async def go_on(self) -> None:
        """Queues the rest of the training."""
        self.workspace.queue(self.name, ["train", "--resume", str(self.workspace.run(self.name))])
        ui.notify(self.t("{} waits or begins", self.name))

    async def ask_to_delete(self) -> None:
        """Moves the run to the folder trash once that is confirmed."""
        t = self.t
        with ui.dialog() as dialog, ui.card():
            ui.label(t("Move {} to the folder trash?", self.name))
            with ui.row():
                ui.button(t("Delete"), on_click=lambda: dialog.submit(True)).props("color=negative")
                ui.button(t("cancel"), on_click=lambda: dialog.submit(False)).props("flat")
        if await dialog:
            self.workspace.trash(self.name, f"{datetime.now():%Y%m%d-%H%M%S}")
            ui.navigate.to("/runs")


def _chart(title: str, names: Sequence[str]) -> dict[str, Any]:
    """An empty chart of lines over the epochs; names are drawn, not parsed."""
    grey = {"color": "#888"}
    return {
        "title": {"text": title, "textStyle": {"fontSize": 14, **grey}},
        "legend": {"top": 0, "right": 0, "textStyle": grey},
        "tooltip": {"trigger": "axis", "renderMode": "richText"},
        "grid": {"left": 45, "right": 15, "bottom": 30, "top": 40},
        "xAxis": {"type": "value", "minInterval": 1, "min": 1, **FAINT},
        "yAxis": {"type": "value", **FAINT},
        "series": [{**LINE, "name": name, "data": []} for name in names],
    }
