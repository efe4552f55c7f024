"""Data: a set as it would be trained on, and a folder or a zip file that becomes one."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from nicegui import ui
from PIL import Image
from starlette.requests import Request

from classicnets.api.listed import listed
from classicnets.support.names import visible
from classicnets.web.dropzone import Dropzone, declare_pieces
from classicnets.web.intake import Intake, remove_leftovers
from classicnets.web.shell import FAINT, computed, failed, frame, refusals
from classicnets.web.terms import facts, term
from classicnets.web.texts import Text
from classicnets.web.workspace import Workspace

if TYPE_CHECKING:
    from classicnets.api.overview import Augmented, Overview

PER_CLASS, PER_PAGE = 6, 10  # samples, classes
MOST_LINES = 100  # files that are named
HEIGHT, GAP = 96, 4  # pixels of images side by side
BAR = 26  # pixels
COLOURS = ["#3f74b5", "#e8963c", "#4d9a5b"]  # of docs/figures
RECIPES = {"": "the paper's", "fast": "fast (modern)", "fine-tune": "fine-tune"}


def declare(workspace: Workspace) -> None:
    """The address of this page, and that of what is sent to it."""
    remove_leftovers(workspace.folder / "data")
    declare_pieces()

    @ui.page("/data")
    async def data(request: Request, name: str = "") -> None:
        with frame(request, "Data") as t:
            ui.label(t("Data")).classes("text-h5")
            page = _Page(t, workspace)
            page.lay_out(name)
            if name:
                await page.show(name)


class _Page:
    """The set that is chosen, and what it holds."""

    def __init__(self, t: Text, workspace: Workspace):
        self.t, self.workspace = t, workspace
        self.intake = Intake(workspace.folder / "data")
        self.shown = ""

    def lay_out(self, name: str) -> None:
        """The fields, with the set of this name if there is one, and the place for the rest."""
        t, names = self.t, self.workspace.data_names()
        first = name if name in names else None
        with ui.row().classes("items-start gap-6 w-full"):
            self.chosen = ui.select(names, value=first, label=t("data"), on_change=self.changed)
            self.chosen.classes("w-64")
            Dropzone(t, self.intake, self.sent).classes("grow")
        self.below = ui.column().classes("w-full gap-4")

    async def changed(self, change: Any) -> None:
        """Another set is chosen."""
        if change.value != self.shown:
            await self.show(str(change.value))

    async def sent(self, refused: str) -> None:
        """All is there, or was refused: makes it a set, unless that cannot be read."""
        self.below.clear()
        with self.below:
            try:
                if refused:
                    raise ValueError(refused)
                path, beside = await computed(self._adopted)
            except (ValueError, OSError) as error:
                if not (refused and self.intake.complete):  # else that was sent before
                    self.intake.discard()
                self._failed(error)
                return
        self.workspace.data[path.name] = path
        if not await self.show(path.name, beside):
            del self.workspace.data[path.name]
            self.intake.reject(path)
            return
        self.chosen.set_options(self.workspace.data_names(), value=path.name)

    def _adopted(self) -> tuple[Path, tuple[str, ...]]:
        """The set that is made of what was sent, and what was left out beside it."""
        from classicnets.api.overview import find_classes

        folder, beside = find_classes(self.intake.unpacked())
        return self.intake.adopt(folder, self.workspace.data_names()), beside

    async def show(self, name: str, beside: Sequence[str] = ()) -> bool:
        """Reads a set, and says what it holds and was `beside` it; whether it could be read."""
        self.below.clear()
        with self.below:
            try:
                spec = self.workspace.dataset(name)
                found = await computed(lambda: _read(spec))
            except (ValueError, OSError) as error:
                self._failed(error)
                return False
            self.shown = name
            _show(self.t, name, found, beside)
            _Augmenting(self.t, self.workspace, found).show()
        return True

    def _failed(self, error: Exception) -> None:
        """Says what is wrong, with paths below the folder served."""
        failed(self.t, error, str(self.workspace.folder))


def _read(spec: str) -> "Overview":
    from classicnets.api.overview import overview

    return overview(spec)


def _show(t: Text, name: str, found: "Overview", beside: Sequence[str]) -> None:
    ui.label(name).classes("text-h6")
    train, validation, test = found.sizes
    values = {
        "classes": f"{len(found.counts):,}",
        "training images": f"{train:,}",
        "validation images": f"{validation:,}",
        "test images": f"{test:,}",
        "median height and width": f"{found.size[0]} x {found.size[1]}",
        "mean of the channels": " ".join(f"{value:.1f}" for value in found.mean),
        "standard deviation of the channels": " ".join(f"{value:.1f}" for value in found.std),
    }
    facts(t, values)
    ui.link(t("Train on it"), f"/train?data={quote(name)}")
    if lacking := found.lacking:
        ui.label(
            t("Too few images for each of training, validation and test: {}", ", ".join(lacking))
        ).classes("text-negative")
    _lines(t, "Unreadable files", found.unreadable)
    _lines(t, "Duplicates", found.duplicates)
    _lines(t, "Left out", (*beside, *found.left_out))
    _bars(t, found)
    _samples(t, found)


def _lines(t: Text, heading: str, lines: Sequence[str]) -> None:
    """How many files something is wrong with, and which, if any."""
    if not lines:
        return
    with ui.expansion(f"{t(heading)}: {len(lines):,}", value=len(lines) <= 5).classes("w-full"):
        if heading == "Duplicates":
            term(t, heading).classes("text-caption")
        for line in lines[:MOST_LINES]:
            ui.label(visible(line)).classes("text-caption break-all")


def _bars(t: Text, found: "Overview") -> None:
    """A bar for each class, with its images of each split; names are drawn, not parsed."""
    grey = {"color": "#888"}
    names = list(found.counts)
    heads = ("training images", "validation images", "test images")
    series = [
        {"type": "bar", "stack": "all", "name": t(head), "animation": False, "data": list(column)}
        for head, column in zip(heads, zip(*found.counts.values(), strict=True), strict=True)
    ]
    many = len(names) > 4 * PER_PAGE
    chart = {
        "color": COLOURS,
        "legend": {"top": 0, "textStyle": grey},
        "tooltip": {"trigger": "axis", "renderMode": "richText"},
        "grid": {"left": 10, "right": 30, "top": 40, "bottom": 10, "containLabel": True},
        "xAxis": {"type": "value", "axisLabel": grey, **FAINT},
        "yAxis": {
            "type": "category",
            "data": names,
            "inverse": True,
            "axisLabel": {**grey, "width": 110, "overflow": "truncate"},
        },
        "series": series,
    }
    if many:
        chart["dataZoom"] = [{"type": "slider", "yAxisIndex": 0, "startValue": 0, "endValue": 39}]
    rows = min(len(names), 4 * PER_PAGE)
    ui.echart(chart).classes("w-full").style(f"height:{80 + BAR * rows}px")


def _samples(t: Text, found: "Overview") -> None:
    """Images of each class, ten classes at a time."""
    ui.label(t("Samples of each class")).classes("text-h6")
    names = list(found.counts)
    rows = ui.column().classes("w-full gap-2")

    async def show(page: int) -> None:
        some = names[PER_PAGE * (page - 1) : PER_PAGE * page]
        rows.clear()
        with rows:
            found_here = await computed(
                lambda: [_strip(found.samples(name, PER_CLASS)) for name in some]
            )
            for name, strip in zip(some, found_here, strict=True):
                counts = " / ".join(f"{n:,}" for n in found.counts[name])
                ui.label(f"{name} · {counts}").classes("text-caption")
                _image(strip)

    if (pages := -(-len(names) // PER_PAGE)) > 1:
        ui.pagination(1, pages, on_change=lambda change: show(int(change.value or 1)))
    ui.timer(0, lambda: show(1), once=True)


class _Augmenting:
    """What a recipe makes of five images."""

    def __init__(self, t: Text, workspace: Workspace, found: "Overview"):
        self.t, self.workspace, self.found = t, workspace, found

    def show(self) -> None:
        """The fields, and the images below them."""
        t = self.t
        term(t, "Augmentation").classes("text-h6")
        ui.label(
            t("Five images as they are, and as the network sees them in four epochs.")
        ).classes("text-caption")
        names = [*self.workspace.design_names(), *(row["name"] for row in listed())]
        with ui.row().classes("gap-4"):
            first = "lenet5" if len(self.found.mean) == 1 else "alexnet"
            self.network = ui.select(names, value=first, label=t("network"), with_input=True)
            recipes = {name: t(said) for name, said in RECIPES.items()}
            self.recipe = ui.select(recipes, value="", label=t("recipe")).classes("w-48")
        self.below = ui.column().classes("w-full gap-2")
        for field in (self.network, self.recipe):
            field.on_value_change(self.draw)
        ui.timer(0, self.draw, once=True)

    async def draw(self) -> None:
        """Draws anew for the network and the recipe that are chosen."""
        self.below.clear()
        with self.below, refusals(self.t):
            made, strips = await computed(self._made)
            ui.label(", ".join(made.steps)).classes("text-caption break-words")
            for strip in strips:
                _image(strip)

    def _made(self) -> "tuple[Augmented, list[Image.Image]]":
        from classicnets.api.overview import augmented

        network = self.workspace.network(str(self.network.value))
        made = augmented(self.found, network, str(self.recipe.value))
        return made, [_strip(row) for row in made.rows]


def _strip(images: Sequence[Image.Image]) -> Image.Image:
    """Square images side by side; small ones are enlarged without being smoothed."""
    strip = Image.new("RGBA", (len(images) * (HEIGHT + GAP) - GAP, HEIGHT))
    for k, image in enumerate(images):
        kind = Image.Resampling.NEAREST if image.width < HEIGHT else Image.Resampling.BILINEAR
        strip.paste(image.convert("RGB").resize((HEIGHT, HEIGHT), kind), (k * (HEIGHT + GAP), 0))
    return strip


def _image(strip: Image.Image) -> None:
    ui.image(strip).style(f"width:{strip.width}px;max-width:100%")
