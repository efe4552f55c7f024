"""The networks: a card for each paper, and a page for each network."""

from pathlib import Path

from nicegui import app, ui
from starlette.requests import Request

from classicnets.api.listed import listed
from classicnets.support.units import format_count
from classicnets.web.shell import Missing, computed, frame
from classicnets.web.texts import Text
from classicnets.web.workspace import Workspace

from .network import Found, read_network, show_network

IDEAS = {  # the first network of a paper -> its idea
    "lenet5": "Shared weights and trainable subsampling recognise digits.",
    "alexnet": "The same idea a thousand times larger, on two GPUs.",
    "zfnet": "AlexNet visualised, and its first layers made finer.",
    "vgg_a": "Only 3x3 convolutions; depth is the one variable.",
    "googlenet": "Parallel convolutions of several sizes, made cheap by 1x1 convolutions.",
    "resnet18": "The output of each block is added to its input, so that very deep networks can be "
    "trained.",
}
TITLES = {  # of the papers, and their figures
    "lenet5": ("LeNet-5", "lenet"),
    "alexnet": ("AlexNet", "alexnet"),
    "zfnet": ("ZFNet", "zfnet"),
    "vgg_a": ("VGG", "vgg"),
    "googlenet": ("GoogLeNet", "googlenet"),
    "resnet18": ("ResNet", "resnet"),
}
DRAWINGS = Path(__file__).parents[1] / "drawings"  # those of docs/figures


def declare(workspace: Workspace) -> None:
    """The addresses of these pages, and of the figures."""
    app.add_static_files("/drawings", DRAWINGS)

    @ui.page("/")
    def index(request: Request) -> None:
        with frame(request, "Networks") as t:
            ui.label(t("Six papers, exactly as published")).classes("text-h5")
            with ui.element("div").classes("grid w-full gap-4 grid-cols-1 md:grid-cols-2"):
                for rows in _families():
                    _card(t, rows)
            if names := workspace.design_names():
                ui.label(t("Your designs")).classes("text-h6")
                with ui.row().classes("gap-2"):
                    for name in names:
                        ui.link(name, f"/network/{name}")

    @ui.page("/network/{name}")
    async def network(request: Request, name: str) -> None:
        with frame(request, name) as t:
            found = await computed(lambda: _read(workspace, name))
            show_network(t, found, workspace)


def _read(workspace: Workspace, name: str) -> Found:
    try:
        return read_network(workspace.network(name), workspace)
    except ValueError as error:
        kind = "design" if name.endswith(".net") else "network"
        if not str(error).startswith(f"no {kind} {name!r}"):
            raise
        raise Missing(kind, name, workspace.network_names(), "/network/", "/") from None


def _families() -> list[list[dict[str, str]]]:
    """The networks of each paper, those that came after it included."""
    families: dict[str, list[dict[str, str]]] = {}
    for row in listed():
        families.setdefault(row["paper"].removeprefix("after "), []).append(row)
    return list(families.values())


def _card(t: Text, rows: list[dict[str, str]]) -> None:
    first = rows[0]
    title, drawing = TITLES[first["name"]]
    with ui.card().classes("w-full"):
        with ui.row().classes("items-baseline w-full"):
            ui.label(title).classes("text-h6")
            ui.label(first["year"]).classes("opacity-70")
        if idea := IDEAS.get(first["name"]):
            ui.label(t(idea))
        with ui.link(target=f"/network/{first['name']}").classes("w-full"):
            image = ui.element("img").classes("w-full rounded figure")
            image.props(f'src="/drawings/{drawing}.svg" alt="{title}" width=800 loading=lazy')
        ui.label(first["paper"]).classes("text-caption opacity-70")
        with (
            ui.element("div").classes("w-full overflow-x-auto"),
            ui.element("table").classes("text-xs sm:text-sm"),
        ):
            _row("th", "", t("parameters"), t("multiply-adds"), t("published error, %"))
            for row in rows:
                macs = int(row["multiply-adds"])
                cost = format_count(macs)
                _row("td", row["name"], f"{int(row['parameters']):,}", cost, row["error"] or "-")


def _row(kind: str, name: str, *cells: str) -> None:
    with ui.element("tr"):
        with ui.element(kind).classes("text-left"):
            if name:
                ui.link(name, f"/network/{name}")
        for cell in cells:
            with ui.element(kind).classes("text-right align-bottom pl-1 sm:pl-3 font-normal"):
                ui.label(cell).classes("whitespace-nowrap" * (kind == "td"))
