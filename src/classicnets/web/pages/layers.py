"""What the layers of a network see in an image, and which images of training are like it."""

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from nicegui import ui
from PIL import Image

from classicnets.web.shell import failed
from classicnets.web.texts import Text

from .opened import as_url

if TYPE_CHECKING:
    from classicnets.api.explaining import Explainer
    from classicnets.api.inspection import Sample

MAPS, DECONVNET, PATCHES, NEAREST = (
    "Feature maps",
    "Deconvnet",
    "Strongest patches",
    "Nearest training images",
)
KINDS = (MAPS, DECONVNET, PATCHES, NEAREST)
PIXELATED = "image-rendering:pixelated"
Seen = list[tuple[str, Image.Image]]  # a caption and an image each


class Layers:
    """One kind of image at a time, of the stages of the network; each is computed when chosen."""

    def __init__(self, t: Text, explainer: "Explainer"):
        self.t, self.explainer = t, explainer
        self.kind = MAPS
        self.asked: object = None
        self.place = ui.column().classes("w-full gap-2")

    async def show(self, sample: "Sample") -> None:
        """What the layers see in an image; what does not apply to this network is said."""
        kind = self.kind
        self.asked = asked = kind, sample
        try:
            found = await asyncio.to_thread(self._computed, kind, sample)
        except (ValueError, OSError) as error:
            found = error
        if asked is not self.asked:  # something else was chosen meanwhile
            return
        self.place.clear()
        with self.place:
            if isinstance(found, Exception):
                failed(self.t, found)
            elif kind == NEAREST:
                self._neighbours(found)
            else:
                for caption, image in found:
                    ui.label(caption).classes("text-caption")
                    shown = ui.image(as_url(image)).style(PIXELATED).classes("w-full")
                    shown.style(f"max-width:{2 * image.width}px").props("no-spinner no-transition")

    def _computed(self, kind: str, sample: "Sample") -> Seen:
        if kind == NEAREST:
            return [
                (f"{found.label} · {found.distance:.3g}", found.image)
                for found in self.explainer.nearest(sample)
            ]
        see = {MAPS: self._maps, DECONVNET: self._deconvnet, PATCHES: self._patches}[kind]
        if kind == MAPS:
            layers = self.explainer.layers(sample)
        else:  # as many as `see` shows
            layers = self.explainer.stages(sample, 5 if kind == DECONVNET else 3)
        return list(map(partial(see, sample), layers))

    def _maps(self, sample: "Sample", layer: str) -> tuple[str, Image.Image]:
        from classicnets.api.explaining import MOST_MAPS

        image, count = self.explainer.maps(sample, layer)
        text = "{} of {} maps, the strongest first; zero is middle grey"
        return f"{layer} · {self.t(text, min(count, MOST_MAPS), count)}", image

    def _deconvnet(self, sample: "Sample", layer: str) -> tuple[str, Image.Image]:
        text = "the strongest maps projected back to the pixels"
        return f"{layer} · {self.t(text)}", self.explainer.deconvnet(sample, layer)

    def _patches(self, sample: "Sample", layer: str) -> tuple[str, Image.Image]:
        image, maps = self.explainer.patches(layer)
        text = "the test images' parts that activate maps {} most, a row for each"
        return f"{layer} · {self.t(text, ', '.join(map(str, maps)))}", image

    def _neighbours(self, found: Seen) -> None:
        ui.label(
            self.t("By the distance of what the last layer reads; the class and the distance.")
        ).classes("text-caption")
        with ui.row().classes("gap-3"):
            for caption, image in found:
                with ui.column().classes("gap-0 w-28"):
                    ui.image(as_url(image)).style(PIXELATED).classes("w-28")
                    ui.label(caption).classes("text-caption")
