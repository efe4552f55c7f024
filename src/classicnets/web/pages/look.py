"""Look inside: an image, its classes, the evidence, what layers see, training images like it."""

import asyncio
from base64 import b64decode
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from nicegui import ui
from PIL import Image
from starlette.requests import Request

from classicnets.web.shell import Answer, Missing, computed, failed, frame
from classicnets.web.texts import Text
from classicnets.web.workspace import Workspace

from .drawing import Drawing
from .dropped import drop_image
from .evidence import SHOWN, Evidence
from .layers import KINDS, MAPS, Layers
from .opened import opened

if TYPE_CHECKING:
    from classicnets.api.explaining import Explainer
    from classicnets.api.inspection import Sample

FILM = """navigator.mediaDevices.getUserMedia({video: true})
.then(film => { document.querySelector('video.camera').srcObject = film; return '' })
.catch(error => String(error))"""
TAKE = """(() => { const film = document.querySelector('video.camera');
if (!film?.srcObject) return '';
const still = document.createElement('canvas');
still.width = film.videoWidth; still.height = film.videoHeight;
still.getContext('2d').drawImage(film, 0, 0);
film.srcObject.getTracks().forEach(track => track.stop());
return still.toDataURL('image/jpeg', 0.9) })()"""


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
            if run and run not in names:
                failed(t, _missing(workspace, run, names))
            first = names[0] if not run else run if run in names else None
            chosen = ui.select(names, value=first, label=t("run")).classes("w-80")
            below = Answer(t, "gap-4")

            async def open_run() -> None:
                name = str(chosen.value)
                await below.show(
                    lambda: opened(workspace.run(name)),
                    lambda explainer: _Looking(t, explainer).show(),
                )

            chosen.on_value_change(open_run)
            if first:
                await open_run()


def _trained(workspace: Workspace) -> list[str]:
    """The runs that have weights."""
    from classicnets.api.following import list_runs

    return [run.name for run in list_runs(workspace.runs) if run.has_weights]


def _missing(workspace: Workspace, name: str, names: list[str]) -> ValueError:
    """Why nothing is seen of a run."""
    try:
        return ValueError(f"{workspace.run(name).name} has no weights yet")
    except ValueError:
        return Missing("run", name, names, "/look?run=", "/runs")


@dataclass
class _Looking:
    """What a browser looks at with one network, and where the images come from."""

    t: Text
    explainer: "Explainer"
    sample: "Sample | None" = None
    number: int = 0  # of the next test image
    asked: int = 0  # images so far, of which only the last is shown

    def show(self) -> None:
        """The places for what is sent, and for what is seen."""
        t = self.t
        with ui.row().classes("w-full gap-6"):
            with ui.column().classes("gap-2"):
                drop_image(t, self.look_at)
                with ui.row():
                    ui.button(t("One of the test images"), on_click=self.one_of_the_test).props(
                        "no-caps outline"
                    )
                    ui.button(t("Camera"), icon="photo_camera", on_click=self.film).props(
                        "no-caps outline"
                    )
            if self.explainer.channels == 1:
                name = t("Draw a digit")
                Drawing(t, lambda image: self.look_at(image, name), self.forget).show()
        self.said = ui.column()
        with ui.column().classes("w-full gap-2") as self.below:
            self.evidence = Evidence(t, self.explainer)
            kinds = {kind: t(kind) for kind in KINDS}
            ui.toggle(kinds, value=MAPS, on_change=self.show_kind).props("no-caps")
            self.layers = Layers(t, self.explainer)
        self.below.set_visibility(False)

    async def one_of_the_test(self) -> None:
        """Shows a test image of the run's data, another one each time."""
        number, self.number = self.number, self.number + 1
        with self.said:
            await self._look_at(computed(lambda: self.explainer.test(number)))

    async def film(self) -> None:
        """Shows what the camera sees, and looks at the photo that is taken."""
        with ui.dialog() as dialog, ui.card():
            ui.element("video").classes("camera").props("autoplay playsinline muted").style(SHOWN)
            ui.button(self.t("Take a photo"), on_click=lambda: dialog.submit(True)).props("no-caps")
        dialog.open()
        if problem := await ui.run_javascript(FILM, timeout=60):
            dialog.close()
            self._refuse(ValueError(self.t("the browser gives no camera: {}", problem)))
        elif taken := await dialog and await ui.run_javascript(TAKE, timeout=10):
            with TemporaryDirectory() as folder:
                path = Path(folder) / "image"
                path.write_bytes(b64decode(str(taken).partition(",")[2]))
                await self.look_at(path, self.t("Camera"))
        else:
            await ui.run_javascript(TAKE, timeout=10)  # which ends the film

    async def look_at(self, image: Path | Image.Image, name: str) -> None:
        """Reads an image and shows all of it; what cannot be read is said."""
        await self._look_at(asyncio.to_thread(self.explainer.read, image, name))

    async def _look_at(self, reading: "Awaitable[Sample]") -> None:
        self.asked = asked = self.asked + 1
        try:
            sample = await reading
        except (ValueError, OSError) as error:
            if asked == self.asked:
                self._refuse(error)
        else:
            if asked == self.asked:
                await self.look(sample)

    async def look(self, sample: "Sample") -> None:
        """Shows all of an image."""
        self.sample = sample
        self.said.clear()
        await self.evidence.show(sample)
        if sample is self.sample:
            self.below.set_visibility(True)
            await self.layers.show(sample)

    def forget(self) -> None:
        """Shows nothing, until there is another image."""
        self.asked += 1
        self.sample = None
        self.below.set_visibility(False)

    async def show_kind(self, change: Any) -> None:
        """Shows the layers in another way."""
        self.layers.kind = change.value
        assert self.sample is not None
        await self.layers.show(self.sample)

    def _refuse(self, error: Exception) -> None:
        self.said.clear()
        self.below.set_visibility(False)
        with self.said:
            failed(self.t, error)
