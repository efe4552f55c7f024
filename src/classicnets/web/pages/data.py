"""Data: a set as it would be trained on, and a folder or a zip file that becomes one."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from nicegui import ui
from PIL import Image
from starlette.requests import Request

from classicnets.support.names import visible
from classicnets.web.dropzone import Dropzone, declare_pieces
from classicnets.web.intake import Intake
from classicnets.web.shell import COLOURS, FAINT, Answer, choose_by_name, frame, throw_away
from classicnets.web.terms import facts, term
from classicnets.web.texts import Text
from classicnets.web.workspace import Workspace

from .curves import named
from .design import START
from .opened import as_url
from .recipe import choose_recipe

if TYPE_CHECKING:
    from classicnets.api.overview import Augmented, Overview

    Shown = tuple[str, Overview, Sequence[str]]  # a set, what it holds, what was left out beside it

PER_CLASS, PER_PAGE = 6, 10  # samples, classes
MOST_LINES = 100  # files that are named
HEIGHT, GAP = 96, 4  # pixels of images side by side
BAR = 26  # pixels
T = TypeVar("T")


def declare(workspace: Workspace) -> None:
    """The address of this page, and that of what is sent to it."""
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
        self.wanted = ""

    def lay_out(self, name: str) -> None:
        """The fields, with the set of this name if there is one, and the place for the rest."""
        t, names = self.t, self.workspace.data_names()
        first = name if name in names else None
        with ui.row().classes("items-start gap-6 w-full"):
            self.chosen = ui.select(names, value=first, label=t("data"), on_change=self.changed)
            self.chosen.classes("w-64")
            Dropzone(t, self.intake, self.sent).classes("grow")
        self.below = Answer(t, "gap-4")

    async def changed(self, change: Any) -> None:
        """Another set is chosen."""
        if change.value != self.wanted:
            await self.show(str(change.value))

    async def sent(self, refused: str) -> None:
        """All is there, or was refused: makes it a set, unless that cannot be read."""
        if refused:
            if not self.intake.complete:  # else that was sent before
                self.intake.discard()
            raise ValueError(refused)
        drawn = await self.below.show(partial(self._from_here, self._adopted), self._show)
        value = self.wanted if drawn else self.chosen.value
        self.chosen.set_options(self.workspace.data_names(), value=value)

    def _adopted(self) -> "Shown":
        from classicnets.api.overview import find_classes

        try:
            folder, beside = find_classes(self.intake.unpacked())
            path = self.intake.adopt(folder, self.workspace.data_names())
        except (ValueError, OSError):
            self.intake.discard()
            raise
        self.workspace.data[path.name] = path
        try:
            return path.name, _read(str(path)), beside
        except (ValueError, OSError):
            del self.workspace.data[path.name]
            self.intake.reject(path)
            raise

    async def show(self, name: str) -> None:
        """Reads a set, and says what it holds."""
        self.wanted = name
        await self.below.show(partial(self._from_here, partial(self._of, name)), self._show)

    def _of(self, name: str) -> "Shown":
        return name, _read(self.workspace.dataset(name)), ()

    def _show(self, found: "Shown") -> None:
        self.wanted, of, beside = found
        ui.navigate.history.replace(f"/data?name={quote(self.wanted)}")
        _show(self.t, self.wanted, of, beside)
        if self.workspace.is_own(self.wanted):
            trash = partial(throw_away, self.t, self.wanted, self.workspace.trash_data, "/data")
            ui.button(self.t("Delete"), on_click=trash).props("no-caps outline color=negative")
        _Augmenting(self.t, self.workspace, of).show()

    def _from_here(self, work: Callable[[], T]) -> T:
        """Does it; paths in what is wrong are said from the folder served on."""
        try:
            return work()
        except (ValueError, OSError) as error:
            kind = ValueError if isinstance(error, ValueError) else OSError
            raise kind(str(error).replace(f"{self.workspace.folder}/", "")) from error


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
    with ui.expansion(t.of(heading, f"{len(lines):,}"), value=len(lines) <= 5).classes("w-full"):
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
        "grid": {"left": 10, "right": 30, "top": 50, "bottom": 30, "containLabel": True},
        "xAxis": {"type": "value", "minInterval": 1, **FAINT, **named(t("images"), 25)},
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
    ui.echart(chart).classes("w-full").style(f"height:{110 + BAR * rows}px")


def _samples(t: Text, found: "Overview") -> None:
    """Images of each class, ten classes at a time."""
    ui.label(t("Samples of each class")).classes("text-h6")
    names = list(found.counts)
    rows = Answer(t)

    def draw(strips: Sequence[tuple[str, Image.Image]]) -> None:
        for name, strip in strips:
            counts = " / ".join(f"{n:,}" for n in found.counts[name])
            ui.label(f"{name} · {counts}").classes("text-caption")
            _image(strip)

    async def show(page: int) -> None:
        some = names[PER_PAGE * (page - 1) : PER_PAGE * page]
        await rows.show(
            lambda: [(name, _strip(found.samples(name, PER_CLASS))) for name in some], draw
        )

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
        names = self.workspace.network_names()
        with ui.row().classes("gap-4"):
            self.network = choose_by_name(names, value=START, label=t("network"))
            self.recipe = choose_recipe(t, START)
        self.below = Answer(t)
        for field in (self.network, self.recipe):
            field.on_value_change(self.draw)
        ui.timer(0, self.draw, once=True)

    async def draw(self) -> None:
        """Draws anew for the network and the recipe that are chosen."""
        chosen = str(self.network.value), str(self.recipe.value)
        await self.below.show(partial(self._made, *chosen), self._show)

    def _made(self, network: str, recipe: str) -> "tuple[Augmented, list[Image.Image]]":
        from classicnets.api.overview import augmented

        made = augmented(self.found, self.workspace.network(network), recipe)
        return made, [_strip(row) for row in made.rows]

    def _show(self, found: "tuple[Augmented, list[Image.Image]]") -> None:
        made, strips = found
        ui.label(", ".join(made.steps)).classes("text-caption break-words")
        for strip in strips:
            _image(strip)


def _strip(images: Sequence[Image.Image]) -> Image.Image:
    """Square images side by side; small ones are enlarged without being smoothed."""
    strip = Image.new("RGBA", (len(images) * (HEIGHT + GAP) - GAP, HEIGHT))
    for k, image in enumerate(images):
        kind = Image.Resampling.NEAREST if image.width < HEIGHT else Image.Resampling.BILINEAR
        strip.paste(image.convert("RGB").resize((HEIGHT, HEIGHT), kind), (k * (HEIGHT + GAP), 0))
    return strip


def _image(strip: Image.Image) -> None:
    shown = ui.image(as_url(strip)).style(f"width:{strip.width}px;max-width:100%")
    shown.props(f"no-spinner ratio={strip.width / strip.height}")  # nothing below it jumps
