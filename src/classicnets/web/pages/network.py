"""A network on its page: stages, layers, costs along depth, receptive field, another beside it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from nicegui import ui

from classicnets.support.tables import format_bytes
from classicnets.web.shell import FAINT, computed, failed
from classicnets.web.texts import Text
from classicnets.web.workspace import Workspace

if TYPE_CHECKING:
    from classicnets.catalog import Entry
    from classicnets.measure import Report
    from classicnets.measure.report import Layer

COLOURS = {  # of docs/figures, by what a layer is
    "Conv": "#3f74b5",
    "Pool": "#e8963c",
    "Subsample": "#e8963c",
    "Linear": "#4d9a5b",
    "Prototypes": "#4d9a5b",
}
MOST_BARS = 60
SIDE = 280  # pixels of the square that shows receptive fields
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


@dataclass(frozen=True)
class Found:
    """A network and its report."""

    entry: "Entry"
    report: "Report"


def read_network(name: str) -> Found:
    """A network by the name or path that the package takes; see `cn.find`."""
    import classicnets as cn

    if name.endswith(".py") or ":" in name:
        raise ValueError("code runs only when it is named on the command line, not in a page")
    entry = cn.find(name)
    return Found(entry, cn.show(entry))


def show_network(t: Text, found: Found, workspace: Workspace) -> None:
    """All that a page says of a network."""
    _heading(t, found)
    _stages(t, found.report)
    _bars(t, found.report)
    _field(t, found.report)
    _layers(t, found.report)
    _beside(t, found, workspace)


def _heading(t: Text, found: Found) -> None:
    entry, report = found.entry, found.report
    ui.label(entry.name.rpartition("/")[2]).classes("text-h5")
    if entry.paper:
        paper = entry.paper
        ui.label(f"{paper.authors}: {paper.title}, {paper.where}").classes("opacity-80")
    totals = report.totals
    figures = {
        t("parameters"): f"{totals.params:,}",
        t("multiply-adds"): f"{totals.macs:,}",
        t("memory of a training step"): format_bytes(report.training_memory.total),
        t("receptive field"): _pixels(t, totals.receptive_field),
    }
    if entry.published:
        figures[t("published error, %")] = entry.published
    ui.label(t("One image of {}", "x".join(map(str, report.input)))).classes("text-caption")
    with ui.row().classes("gap-6"):
        for name, value in figures.items():
            with ui.column().classes("gap-0"):
                ui.label(value).classes("text-h6")
                ui.label(name).classes("text-caption opacity-70")
    name = quote(entry.name.rpartition("/")[2])
    with ui.row().classes("gap-4"):
        ui.link(t("Edit as a design"), f"/design?network={name}")
        ui.link(t("Train it"), f"/train?network={name}")
    if entry.later:
        ui.label(f"{t('Not in the paper')}: {entry.later}")
    if entry.paper:
        with ui.expansion(t("Where the paper leaves a choice")).classes("w-full"):
            ui.label(entry.paper.choices)


def _stages(t: Text, report: "Report") -> None:
    ui.label(t("Stages")).classes("text-h6")
    ui.label(t("Choose a stage to see its layers.")).classes("text-caption opacity-70")
    with ui.row().classes("w-full no-wrap overflow-x-auto items-end gap-2 q-pb-sm"):
        for label, layers in report.groups():
            _stage(label, layers, lambda layers=layers: show(layers))
    below = ui.column().classes("w-full gap-0 mono text-caption")

    def show(layers: "tuple[Layer, ...]") -> None:
        below.clear()
        with below:
            for layer in layers:
                ui.label(f"{layer.name:24} {layer.type:18} {_shape(layer):14} {layer.params:>14,}")


def _stage(label: str, layers: "tuple[Layer, ...]", choose: Any) -> None:
    """A stage as a block: its height is the side of its maps, its width their number."""
    last = layers[-1]
    maps, side = last.output[0], last.output[1] if len(last.output) > 1 else 1
    width, height = 14 + 6 * maps.bit_length(), 12 + 14 * side.bit_length()
    first = next((layer for layer in layers if layer.macs), layers[0])
    with ui.element("button").classes("flex flex-col items-center shrink-0").on("click", choose):
        ui.element("div").style(
            f"width:{width}px;height:{height}px;background:{_colour(first.type)};border-radius:3px"
        )
        ui.label(label).classes("text-caption")
        ui.label(_shape(last)).classes("text-caption opacity-70")


def _colour(kind: str) -> str:
    return next((colour for word, colour in COLOURS.items() if word in kind), "#a3a9b0")


def _shape(layer: "Layer") -> str:
    return "x".join(map(str, layer.output))


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
            "legend": {"top": 0, "textStyle": {"color": "#888"}},
            "tooltip": {"trigger": "axis", "renderMode": "richText"},
            "grid": {"left": 40, "right": 10, "bottom": 70},
            "xAxis": {
                "type": "category",
                "data": [layer.name for layer in layers],
                "axisLabel": {"rotate": 60},
            },
            "yAxis": {"type": "value", "axisLabel": {"formatter": "{value} %"}, **FAINT},
            "series": series,
        }
    ).classes("w-full h-72")


def _field(t: Text, report: "Report") -> None:
    ui.label(t("What one value of this layer sees")).classes("text-h6")
    layers = [layer for layer in report.layers if layer.receptive_field is not None]
    if not layers:
        ui.label(t("unknown"))
        return
    with ui.row().classes("items-center gap-6 w-full"):
        with ui.element("div").style(
            f"position:relative;width:{SIDE}px;height:{SIDE}px;overflow:hidden;"
            "background:linear-gradient(135deg,#7a8,#ca7 40%,#57a)"
        ):
            box = ui.element("div").style("position:absolute;border:3px solid #c22")
        with ui.column().classes("grow"):
            said = ui.label().props("aria-live=polite")
            slider = ui.slider(min=0, max=len(layers) - 1, value=0, step=1).props(
                f'aria-label="{t("layer")}"'
            )

    def move() -> None:
        layer = layers[int(slider.value or 0)]
        size = layer.receptive_field
        across = max(size) if isinstance(size, tuple) else size or 0
        pixels = SIDE * across / report.input[-1]
        corner = (SIDE - pixels) / 2
        box.style(
            f"width:{pixels:.1f}px;height:{pixels:.1f}px;left:{corner:.1f}px;top:{corner:.1f}px"
        )
        said.set_text(f"{layer.name}: {_pixels(t, size)} / {report.input[-1]}")

    slider.on_value_change(move)
    move()


def _pixels(t: Text, size: Any) -> str:
    if size is None:
        return t("unknown")
    return "x".join(map(str, size)) if isinstance(size, tuple) else str(size)


def _layers(t: Text, report: "Report") -> None:
    ui.label(t("Layers")).classes("text-h6")
    columns = [
        {
            "name": field,
            "field": field,
            "label": t(heading),
            "sortable": True,
            "align": "left" if field in ("name", "type", "output") else "right",
            ":format": "v => typeof v === 'number' ? v.toLocaleString('en') : v",
        }
        for field, heading, _ in COLUMNS
    ]
    rows = [
        {
            **{field: getattr(layer, field) for field, *_ in COLUMNS},
            "output": _shape(layer),
            "id": k,
            "receptive_field": _sortable(layer.receptive_field),
            "stride": _sortable(layer.stride),
        }
        for k, layer in enumerate(report.layers)
    ]
    table = ui.table(columns=columns, rows=rows, row_key="id", pagination=25).classes("w-full")
    table.props(f'dense flat rows-per-page-label="{t("rows per page")}"')
    with ui.row().classes("gap-4 text-caption opacity-70"):
        for _, heading, meaning in COLUMNS:
            if meaning:
                ui.label(f"{t(heading)}: {t(meaning)}")


def _sortable(size: Any) -> Any:
    return "x".join(map(str, size)) if isinstance(size, tuple) else "?" if size is None else size


def _beside(t: Text, found: Found, workspace: Workspace) -> None:
    """What differs from another network, once one is chosen."""
    from classicnets.api.listed import listed

    ui.label(t("Beside another network")).classes("text-h6")
    names = [*(row["name"] for row in listed()), *workspace.design_names()]
    chosen = ui.select(names, with_input=True).props("dense outlined").classes("w-64")
    below = ui.column().classes("w-full")

    async def show() -> None:
        import classicnets as cn

        below.clear()
        with below:
            try:
                other = workspace.network(str(chosen.value))
                difference = await computed(lambda: cn.diff(found.entry, other))
            except (ValueError, OSError) as error:
                failed(t, error)
                return
            ui.label(t("The lines that differ, and what each costs")).classes("text-caption")
            ui.label(difference.text()).classes("mono w-full text-caption")

    chosen.on_value_change(show)
