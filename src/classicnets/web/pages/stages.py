"""The stages of a network as a diagram, and the receptive field of the layer under the pointer."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nicegui import ui

from classicnets.web.texts import Text

from .dropped import drop_image
from .opened import as_url

if TYPE_CHECKING:
    from classicnets.measure import Report
    from classicnets.measure.report import Layer

COLOURS = {  # of docs/figures, by what a layer is
    "Conv": "#3f74b5",
    "Pool": "#e8963c",
    "Subsample": "#e8963c",
    "Linear": "#4d9a5b",
    "Prototypes": "#4d9a5b",
}
SIDE = 280  # pixels of the square that shows receptive fields


def show_stages(
    t: Text, report: "Report", over: "Callable[[Layer], object]" = lambda layer: None
) -> None:
    """The stages as blocks, one of which opens to its layers; `over` is called with the layer that
    the pointer is over, of a stage its last.
    """
    with ui.row().classes("w-full no-wrap overflow-x-auto items-end gap-2 q-pb-sm"):
        for label, layers in report.groups():
            stage = _stage(label, layers, lambda layers=layers: show(layers))
            stage.on("mouseenter", partial(over, layers[-1]))
    with ui.element("div").classes("w-full overflow-x-auto"):
        below = ui.element("table").classes("text-caption")

    def show(layers: "tuple[Layer, ...]") -> None:
        below.clear()
        with below:
            table_row("th", t("layer"), t("type"), t("output"), t("parameters"))
            for layer in layers:
                cells = layer.name, layer.type, shape(layer), f"{layer.params:,}"
                table_row("td", *cells).on("mouseenter", partial(over, layer))


def table_row(kind: str, *cells: str, words: int = 3) -> ui.element:
    """A row of a table, whose columns are numbers after as many of `words`."""
    with ui.element("tr") as row:
        for k, cell in enumerate(cells):
            side = "text-right" if k >= words else "text-left"
            with ui.element(kind).classes(f"{side} pr-3 sm:pr-6 whitespace-nowrap"):
                ui.label(cell)
    return row


def _stage(label: str, layers: "tuple[Layer, ...]", choose: Any) -> ui.element:
    """A stage as a block: its height is the side of its maps, its width their number."""
    last = layers[-1]
    maps, side = last.output[0], last.output[1] if len(last.output) > 1 else 1
    width, height = 14 + 6 * maps.bit_length(), 12 + 14 * side.bit_length()
    first = next((layer for layer in layers if layer.macs), layers[0])
    button = ui.element("button").classes("flex flex-col items-center shrink-0")
    with button.on("click", choose):
        ui.element("div").style(
            f"width:{width}px;height:{height}px;background:{_colour(first.type)};border-radius:3px"
        )
        ui.label(label).classes("text-caption")
        ui.label(shape(last)).classes("text-caption opacity-70")
    return button


def _colour(kind: str) -> str:
    return next((colour for word, colour in COLOURS.items() if word in kind), "#a3a9b0")


def shape(layer: "Layer") -> str:
    """The shape that a layer gives for one image."""
    return "x".join(map(str, layer.output))


class Field:
    """The input, of which one may drop an image, and in it what one value of a layer sees."""

    def __init__(self, t: Text, report: "Report"):
        self.t, (self.channels, *_, self.side) = t, report.input
        self.layers = [layer for layer in report.layers if layer.receptive_field is not None]
        ui.label(t("What one value of this layer sees")).classes("text-h6")
        if not self.layers:
            ui.label(t("unknown"))
            return
        with ui.row().classes("items-center gap-6 w-full"):
            with ui.element("div").style(
                f"position:relative;width:{SIDE}px;height:{SIDE}px;overflow:hidden;"
                "background:linear-gradient(135deg,#7a8,#ca7 40%,#57a)"
            ):
                self.image = ui.image().style("position:absolute;inset:0")
                self.box = ui.element("div").style("position:absolute;border:3px solid #c22")
            with ui.column().classes("grow"):
                self.said = ui.label().props("aria-live=polite")
                self.slider = ui.slider(min=0, max=len(self.layers) - 1, value=0, step=1)
                self.slider.props(f'aria-label="{t("layer")}"')
                drop_image(t, self.put)
        self.slider.on_value_change(self._draw)
        self._draw()

    def show(self, layer: "Layer") -> None:
        """What a layer sees, if that is known."""
        if layer in self.layers:
            self.slider.value = self.layers.index(layer)

    async def put(self, path: Path, name: str) -> None:
        """Lays the centre of an image into the square, in the pixels that the network reads."""
        from classicnets.api.overview import centred

        image = await asyncio.to_thread(centred, path, name, self.side, self.channels)
        self.image.set_source(as_url(image))

    def _draw(self) -> None:
        layer = self.layers[int(self.slider.value or 0)]
        size = layer.receptive_field
        across = max(size) if isinstance(size, tuple) else size or 0
        wide = SIDE * across / self.side
        corner = (SIDE - wide) / 2
        self.box.style(
            f"width:{wide:.1f}px;height:{wide:.1f}px;left:{corner:.1f}px;top:{corner:.1f}px"
        )
        self.said.set_text(f"{layer.name}: {pixels(self.t, size)} / {self.side}")


def pixels(t: Text, size: Any) -> str:
    """A length or two in pixels, if they are known."""
    if size is None:
        return t("unknown")
    return "x".join(map(str, size)) if isinstance(size, tuple) else str(size)
