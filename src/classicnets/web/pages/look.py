"""Look inside: an image that is dropped or drawn, its classes, the evidence, what layers see."""

import asyncio
import io
from base64 import b64encode
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from nicegui import events, ui
from PIL import Image, ImageDraw
from starlette.requests import Request

from classicnets.web.shell import computed, failed, frame
from classicnets.web.texts import Text
from classicnets.web.workspace import Workspace

if TYPE_CHECKING:
    from classicnets.api.explaining import Explainer
    from classicnets.api.inspection import Sample

LARGEST = 2**25  # bytes of an image
METHODS = ("Grad-CAM", "occlusion", "gradients")
SIDE = 280  # pixels of what is drawn on, ten for one of a digit
STROKE = 22
SHOWN = "width:320px;max-width:100%;image-rendering:pixelated"


def declare(workspace: Workspace) -> None:
    """The address of this page."""

    @ui.page("/look")
    async def look(request: Request, run: str = "") -> None:
        with frame(request, "Look inside") as t:
            ui.label(t("Look inside")).classes("text-h5")
            names = await computed(lambda: _trained(workspace))
            if not names:
                ui.label(t("There is no run yet; train a network first."))
                return
            first = run if run in names else names[0]
            chosen = ui.select(names, value=first, label=t("run")).classes("w-80")
            below = ui.column().classes("w-full gap-4")

            async def open_run() -> None:
                below.clear()
                with below:
                    try:
                        name = str(chosen.value)
                        explainer = await computed(lambda: _explainer(workspace.run(name)))
                    except (ValueError, OSError) as error:
                        failed(t, error)
                    else:
                        _Looking(t, explainer).show()

            chosen.on_value_change(open_run)
            await open_run()


def _trained(workspace: Workspace) -> list[str]:
    """The runs that have weights."""
    from classicnets.api.following import list_runs

    return [
        run.name
        for run in list_runs(workspace.runs)
        if (run.directory / "weights.safetensors").exists()
    ]


def _explainer(run: Path) -> "Explainer":
    return _opened(run, (run / "weights.safetensors").stat().st_mtime_ns)


@lru_cache(4)
def _opened(run: Path, changed: int) -> "Explainer":
    from classicnets.api.explaining import Explainer

    return Explainer(run)


@dataclass
class _Looking:
    """What a browser looks at with one network: an image, a class, a method."""

    t: Text
    explainer: "Explainer"
    sample: "Sample | None" = None
    label: int = 0
    method: str = METHODS[0]
    strokes: list[list[tuple[float, float]]] = field(default_factory=list)
    parts: dict[str, Any] = field(default_factory=dict)

    def show(self) -> None:
        """The places for what is sent, and for what is seen."""
        t = self.t
        with ui.row().classes("w-full gap-6"):
            upload = ui.upload(
                label=t("Drop an image, or choose one"),
                on_upload=self.receive,
                on_rejected=lambda: failed(t, ValueError(f"> {LARGEST:,} bytes")),
                auto_upload=True,
                max_file_size=LARGEST,
            )
            upload.props("accept=image/* flat bordered").classes("w-80")
            if self.explainer.channels == 1:
                self._canvas()
        self.parts["seen"] = ui.row().classes("w-full gap-6")
        self.parts["maps"] = ui.column().classes("w-full gap-2")

    async def receive(self, sent: events.UploadEventArguments) -> None:
        """Reads an image that was sent, in a folder that is removed at once."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / "image"
            await sent.file.save(path)
            await self.look_at(path, sent.file.name)

    async def look_at(self, image: Path | Image.Image, name: str) -> None:
        """Reads an image and shows all of it; what cannot be read is said."""
        try:
            self.sample = await asyncio.to_thread(self.explainer.read, image, name)
        except ValueError as error:
            with self._cleared("seen"):
                failed(self.t, error)
            self._cleared("maps")
            return
        self.label = self.explainer.top(self.sample)[0][0]
        await self._draw()

    async def choose(self, label: int) -> None:
        """Shows the evidence for another class."""
        self.label = label
        await self._draw(maps=False)

    async def explain_by(self, change: Any) -> None:
        """Shows the evidence by another method."""
        self.method = change.value
        await self._draw(maps=False)

    def _cleared(self, part: str) -> Any:
        self.parts[part].clear()
        return self.parts[part]

    async def _draw(self, maps: bool = True) -> None:
        explainer, sample, label, method = self.explainer, self.sample, self.label, self.method
        assert sample is not None
        try:
            over = await asyncio.to_thread(explainer.evidence, sample, method, label)
        except ValueError as error:
            over = error
        with self._cleared("seen"):
            self._evidence(sample, over)
            self._classes(sample)
        if maps:
            found = await asyncio.to_thread(self._maps, sample)
            with self._cleared("maps"):
                ui.label(self.t("Feature maps")).classes("text-h6")
                for layer, image, count in found:
                    ui.label(f"{layer} · {self._counted(count)}").classes("text-caption")
                    ui.image(as_url(image)).style("image-rendering:pixelated").classes("w-full")

    def _counted(self, count: int) -> str:
        from classicnets.api.explaining import MOST_MAPS

        text = "{} of {} maps, the strongest first; zero is middle grey"
        return self.t(text, min(count, MOST_MAPS), count)

    def _maps(self, sample: "Sample") -> list[tuple[str, Image.Image, int]]:
        layers = self.explainer.layers(sample)
        return [(layer, *self.explainer.maps(sample, layer)) for layer in layers]

    def _evidence(self, sample: "Sample", over: Image.Image | Exception) -> None:
        t = self.t
        with ui.column().classes("gap-1"):
            ui.label(t("Evidence for {}", self.explainer.classes[self.label]))
            with ui.element("div").style("position:relative"):
                ui.image(as_url(self.explainer.seen(sample))).style(SHOWN)
                if isinstance(over, Exception):
                    failed(t, over)
                    return
                top = ui.image(as_url(over)).style(f"{SHOWN};position:absolute;top:0;left:0")
            ui.label(t("opacity")).classes("text-caption")
            slider = ui.slider(min=0, max=1, step=0.05, value=0.6).classes("w-80")
            slider.on_value_change(lambda change: top.style(f"opacity:{change.value}"))
            top.style("opacity:0.6")
            ui.toggle(list(METHODS), value=self.method, on_change=self.explain_by).props("no-caps")

    def _classes(self, sample: "Sample") -> None:
        with ui.column().classes("gap-1 grow min-w-64"):
            ui.label(self.t("Likeliest classes"))
            ui.label(self.t("Choose a class to see the evidence for it.")).classes("text-caption")
            for number, name, p in self.explainer.top(sample):
                with (
                    ui.element("button")
                    .classes("w-full text-left")
                    .on("click", partial(self.choose, number))
                ):
                    ui.label(f"{name} · {100 * p:.1f} %").classes(
                        "font-bold" if number == self.label else ""
                    )
                    ui.linear_progress(p, show_value=False).props("instant-feedback")

    def _canvas(self) -> None:
        """A square to draw a digit in, light on dark as those of the sets."""
        t = self.t
        with ui.column().classes("gap-1"):
            ui.label(t("Draw a digit"))
            ui.label(t("Draw with the mouse; the answer changes as you draw.")).classes(
                "text-caption"
            )
            drawing = ui.interactive_image(
                as_url(Image.new("L", (SIDE, SIDE))),
                on_mouse=self.drawn,
                events=["mousedown", "mousemove", "mouseup"],
            )
            drawing.classes("cursor-crosshair").props("draggable=false").style(f"width:{SIDE}px")
            self.parts["canvas"] = drawing
            ui.button(t("clear"), on_click=self.clear).props("flat dense no-caps")

    def clear(self) -> None:
        """Wipes the square."""
        self.strokes.clear()
        self.parts["canvas"].content = ""

    async def drawn(self, mouse: events.MouseEventArguments) -> None:
        """Adds to a stroke while the button is down; after each stroke the network looks."""
        point = (round(mouse.image_x, 1), round(mouse.image_y, 1))
        if mouse.type == "mousedown":
            self.strokes.append([point])
        elif mouse.type == "mousemove" and mouse.buttons & 1 and self.strokes:
            self.strokes[-1].append(point)
        lines = (
            f'<polyline points="{" ".join(f"{x},{y}" for x, y in stroke)}" fill="none" '
            f'stroke="white" stroke-width="{STROKE}" stroke-linecap="round" '
            'stroke-linejoin="round"/>'
            for stroke in self.strokes
        )
        self.parts["canvas"].content = "".join(lines)
        if mouse.type == "mouseup" and self.strokes:
            await self.look_at(painted(self.strokes), self.t("Draw a digit"))


def as_url(image: Image.Image) -> str:
    """An image that is sent with the page, and not by a file of its own that somebody removes."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"


def painted(strokes: list[list[tuple[float, float]]]) -> Image.Image:
    """What was drawn, as a grey image."""
    image = Image.new("L", (SIDE, SIDE))
    draw = ImageDraw.Draw(image)
    for stroke in strokes:
        draw.line(stroke, 255, STROKE, joint="curve")
        for x, y in (stroke[0], stroke[-1]):
            r = STROKE / 2
            draw.ellipse((x - r, y - r, x + r, y + r), 255)
    return image
