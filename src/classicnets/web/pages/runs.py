"""Runs: all of a folder as a table, curves and confusion side by side, and a page for each."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import ui
from starlette.requests import Request

from classicnets.web.shell import ROWS, computed, frame
from classicnets.web.texts import Text
from classicnets.web.workspace import Workspace, inside, word

from .confusion import show_confusion
from .curves import LINE, curves, over
from .run import EVERY, Following, read_run
from .tested import in_a_line

COLUMNS = {
    "name": "run",
    "state": "state",  # which a phone shows without scrolling
    "epoch": "epoch",
    "validation": "best validation error, %",
    "test": "test error, %",
    "network": "network",
    "data": "data",
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
                f'dense flat rows-per-page-label="{t("rows per page")}" {ROWS} '
                f'no-data-label="{t("There is no run yet; train a network first.")}"'
            ).add_slot("body-cell-name", LINK)

            async def refresh() -> None:
                rows = await asyncio.to_thread(_rows, t, workspace)
                if timer.active and rows != table.rows:
                    table.rows = rows

            timer = ui.timer(EVERY, refresh)
            # new rows have new links, and a click that begins on one and ends on another is lost
            table.on("mousedown", timer.deactivate)
            table.on("mouseup", timer.activate).on("mouseleave", timer.activate)
            if len(first) > 1:
                _compare(t, workspace, [row["name"] for row in first])

    @ui.page("/run/{name}")
    async def run(request: Request, name: str) -> None:
        with frame(request, name) as t:
            inside(workspace.runs, name)
            found = await computed(lambda: read_run(workspace, name))
            Following(t, workspace, name).show(found)


def _compare(t: Text, workspace: Workspace, names: list[str]) -> None:
    """The validation errors of some runs in one chart, and their confusion side by side."""
    from classicnets.api.following import follow

    ui.label(t("Compare")).classes("text-h6")
    chosen = ui.select(names, multiple=True, value=names[:2], label=t("Runs"))
    chosen.props("use-chips").classes("w-full")
    ui.label(t("top-1 error on validation, %"))
    chart = ui.echart(curves(t, t("error, %"), ())).classes("w-full h-80")
    ui.label(t("Confusion matrices"))
    matrices = ui.element("div").classes("grid w-full gap-4 grid-cols-1 md:grid-cols-2")

    def draw() -> None:
        lines, longest = [], 1
        matrices.clear()
        for name in chosen.value or ():
            run = follow(inside(workspace.runs, name))
            longest = max(longest, len(run.epochs))
            points = [[each.epoch, each.validation_top1_error] for each in run.epochs]
            lines.append({**LINE, "name": name, "data": points})
            with matrices, ui.column().classes("min-w-0"):
                _results(t, name, {"": run.test, **workspace.evaluations(name)})
        chart.options["series"] = lines
        chart.options["xAxis"].update(over(longest))
        chart.update()

    chosen.on_value_change(draw)
    draw()


def _results(t: Text, name: str, results: Mapping[str, Mapping[str, Any]]) -> None:
    """The confusion of a run at the end of its training, or by an evaluation that is chosen."""
    ui.label(name)
    known = {key: one for key, one in results.items() if "confusion" in one}
    if not known:
        ui.label(t("It has not been tested yet.")).classes("text-caption opacity-70")
        return
    labels = {
        key: in_a_line(t, one) if key else t("at the end of training") for key, one in known.items()
    }
    chosen = ui.select(labels, value=next(iter(known))).props("dense").classes("w-64")
    place = ui.column().classes("w-full")

    def show() -> None:
        place.clear()
        with place:
            result = known[str(chosen.value)]
            ui.label(t.of("top-1 error, %", f"{result['top1_error']:.2f}")).classes("text-caption")
            show_confusion(t, result)

    chosen.on_value_change(show)
    show()


def _rows(t: Text, workspace: Workspace) -> list[dict[str, Any]]:
    from classicnets.api.following import list_runs

    waiting = {job["name"]: job["words"] for job in workspace.waiting()}
    begun = workspace.all_begun()  # a process takes seconds to write its run
    found = [
        {
            "name": run.name,
            "network": run.network.rpartition("/")[2],
            "data": run.data.rpartition("/")[2],
            "state": t("Waiting" if run.name in waiting else run.state),
            "epoch": len(run.epochs),
            "validation": run.best_error and round(run.best_error, 2),
            "test": run.test_error and round(run.test_error, 2),
        }
        for run in list_runs(workspace.runs)
    ]
    known = {row["name"] for row in found}
    return found + [
        {**dict.fromkeys(COLUMNS), "name": name, "network": words[1].rpartition("/")[2],
         "data": _given(words, "data"), "state": t("training" if name in begun else "Waiting"),
         "epoch": 0}
        for name, words in {**begun, **waiting}.items()
        if words[0] == "train" and name not in known
    ]  # fmt: skip


def _given(words: Sequence[str], option: str) -> str:
    """The last part of an option's value."""
    start = word(option, "")
    values = (each.removeprefix(start) for each in words if each.startswith(start))
    return next(values, "").rpartition("/")[2]
