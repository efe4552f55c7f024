"""A network on its page: stages, layers, costs along depth, receptive field, another beside it."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from nicegui import ui

from classicnets.support.names import visible
from classicnets.support.tables import format_bytes
from classicnets.web.shell import COLOURS, FAINT, ROWS, Answer, choose_by_name
from classicnets.web.terms import facts
from classicnets.web.texts import Text
from classicnets.web.workspace import Workspace

from . import study
from .curves import named
from .stages import Field, pixels, shape, show_stages

if TYPE_CHECKING:
    from classicnets.api.diff import Difference
    from classicnets.catalog import Entry
    from classicnets.measure import Report

MOST_BARS = 60
COLUMNS = (
    # field, heading, what it means
    ("name", "layer", ""),
    ("type", "type", ""),
    ("output", "output", "shape for one image, maps first"),
    ("params", "parameters", "learnable values"),
    ("macs", "multiply-adds", "one multiplication and one addition each"),
    ("activation_bytes", "memory", "new bytes for the output"),
    ("saved_bytes", "saved for backward", "bytes that autograd keeps for the backward pass"),
    ("receptive_field", "receptive field", "What one value of this layer sees"),
    ("stride", "stride", "pixels from one receptive field to the next"),
)

BYTES = ("activation_bytes", "saved_bytes")
WHOLE = "v => typeof v === 'number' ? v.toLocaleString('en') : v"
SHORT = "v => v.toLocaleString('en', {maximumSignificantDigits: 3})"


@dataclass(frozen=True)
class Found:
    """A network, its report, and what is said of its family."""

    entry: "Entry"
    report: "Report"
    claims: Sequence[study.Found]


def read_network(name: str, workspace: Workspace) -> Found:
    """A network by the name or path that the package takes; see `cn.find`."""
    import classicnets as cn

    if name.endswith(".py") or ":" in name:
        raise ValueError("code runs only when it is named on the command line, not in a page")
    entry = cn.find(name)
    claims = study.look_at_all(workspace) if entry.paper else []
    family = entry.paper.page if entry.paper else ""
    return Found(entry, cn.show(entry), [one for one in claims if one.study.family == family])


def show_network(t: Text, found: Found, workspace: Workspace) -> None:
    """All that a page says of a network."""
    _heading(t, found)
    ui.label(t("Stages")).classes("text-h6")
    ui.label(
        t("Choose a stage to see its layers; below is what one value under the pointer sees.")
    ).classes("text-caption opacity-70")
    show_stages(t, found.report, lambda layer: field.show(layer))
    field = Field(t, found.report)
    _bars(t, found.report)
    _layers(t, found.report)
    _beside(t, found, workspace)


def _heading(t: Text, found: Found) -> None:
    entry, report = found.entry, found.report
    ui.label(entry.name.rpartition("/")[2]).classes("text-h5")
    if entry.paper:
        paper = entry.paper
        ui.label(f"{paper.authors}: {paper.title}, {paper.where}").classes("opacity-80")
    ui.label(t("One image of {}", "x".join(map(str, report.input)))).classes("text-caption")
    show_totals(t, report, entry.published)
    name = quote(entry.name.rpartition("/")[2])
    with ui.row().classes("gap-4"):
        ui.link(t("Edit as a design"), f"/design?network={name}")
        ui.link(t("Train it"), f"/train?network={name}")
    if entry.later:
        ui.label(t.of("Not in the paper", entry.later))
    if entry.paper:
        with ui.expansion(t("Where the paper leaves a choice")).classes("w-full"):
            ui.label(entry.paper.choices)
        with ui.expansion(t("What is said of these networks")).classes("w-full"):
            for one in found.claims:
                study.show_claim(t, one)
            ui.link(t("Studies"), f"/studies?family={entry.paper.page}")
    place, text = _source(entry)
    with ui.expansion(t.of("Source code", place)).classes("w-full"):
        ui.label(visible(text)).classes("mono w-full text-caption")


def _source(entry: "Entry") -> tuple[str, str]:
    """Where a network is written, and what is written there: a design, or the file of its paper."""
    if entry.design:
        return entry.name.rpartition("/")[2], entry.design
    module = inspect.getmodule(getattr(entry.build, "func", entry.build))
    assert module
    return module.__name__, inspect.getsource(module)


def show_totals(t: Text, report: "Report", published: str = "") -> None:
    """What a network costs in all, and the error that its paper reports."""
    totals = report.totals
    figures = {
        "parameters": f"{totals.params:,}",
        "multiply-adds": f"{totals.macs:,}",
        "memory of a training step": format_bytes(report.training_memory.total),
        "receptive field": pixels(t, totals.receptive_field),
    }
    facts(t, figures | ({"published error, %": published} if published else {}))


def _bars(t: Text, report: "Report") -> None:
    ui.label(t("Along depth")).classes("text-h6")
    layers = report.layers if len(report.layers) <= MOST_BARS else report.folded().layers
    layers = [layer for layer in layers if layer.params or layer.macs or layer.saved_bytes]
    columns = {
        "params": t("parameters"),
        "macs": t("multiply-adds"),
        "saved_bytes": t("saved for backward"),
    }
    total = report.totals
    # pixels that the names take, which are turned
    below = 25 + 5 * max((len(layer.name) for layer in layers), default=0)
    series = [
        {
            "type": "bar",
            "name": name,
            "data": [
                round(100 * getattr(layer, field) / (getattr(total, field) or 1), 2)
                for layer in layers
            ],
        }
        for field, name in columns.items()
    ]
    ui.echart(
        {
            "color": COLOURS,
            "legend": {"top": 0, "textStyle": {"color": "#888"}},
            "tooltip": {"trigger": "axis", "renderMode": "richText"},
            "grid": {"left": 65, "right": 10, "top": 50, "bottom": below + 20},
            "xAxis": {
                "type": "category",
                "data": [layer.name for layer in layers],
                "axisLabel": {"rotate": 60, "color": "#888"},
                **named(t("layer"), below),
            },
            "yAxis": {
                "type": "value",
                **FAINT,
                "axisLabel": {"formatter": "{value} %", "color": "#888"},
                **named(t("share of the network"), 48),
            },
            "series": series,
        }
    ).classes("w-full h-80")


def _layers(t: Text, report: "Report") -> None:
    ui.label(t("Layers")).classes("text-h6")
    columns = [
        {
            "name": field,
            "field": field,
            "label": t(heading) + ", MiB" * (field in BYTES),
            "sortable": True,
            "align": "left" if field in ("name", "type", "output") else "right",
            ":format": SHORT if field in BYTES else WHOLE,
        }
        for field, heading, _ in COLUMNS
    ]
    rows = [
        {
            **{field: getattr(layer, field) for field, *_ in COLUMNS},
            **{field: getattr(layer, field) / 2**20 for field in BYTES},
            "output": shape(layer),
            "id": k,
            "receptive_field": _sortable(layer.receptive_field),
            "stride": _sortable(layer.stride),
        }
        for k, layer in enumerate(report.layers)
    ]
    table = ui.table(columns=columns, rows=rows, row_key="id", pagination=25).classes("w-full")
    table.props(f'dense flat rows-per-page-label="{t("rows per page")}" {ROWS}')
    with ui.row().classes("gap-4 text-caption opacity-70"):
        for _, heading, meaning in COLUMNS:
            if meaning:
                ui.label(t.of(heading, t(meaning)))


def _sortable(size: Any) -> Any:
    return "x".join(map(str, size)) if isinstance(size, tuple) else "?" if size is None else size


def _beside(t: Text, found: Found, workspace: Workspace) -> None:
    """What differs from another network, once one is chosen."""
    ui.label(t("Beside another network")).classes("text-h6")
    chosen = (
        choose_by_name(workspace.network_names(), label=t("network"))
        .props("dense outlined")
        .classes("w-64")
    )
    below = Answer(t)

    def differing(name: str) -> "Difference":
        import classicnets as cn

        return cn.diff(found.entry, workspace.network(name))

    def draw(difference: "Difference") -> None:
        _both(t, difference.before, difference.after)
        ui.label(t("The lines that differ, and what each costs")).classes("text-caption")
        ui.label(difference.text()).classes("mono w-full text-caption")

    async def show() -> None:
        await below.show(partial(differing, str(chosen.value)), draw)

    chosen.on_value_change(show)


def _both(t: Text, *reports: "Report") -> None:
    """Two networks side by side: what they cost, and their stages."""
    with ui.element("div").classes("grid w-full gap-4 grid-cols-1 md:grid-cols-2"):
        for report in reports:
            with ui.column().classes("min-w-0 gap-1"):
                ui.label(report.name.rpartition("/")[2]).classes("text-subtitle1")
                show_totals(t, report)
                show_stages(t, report)
