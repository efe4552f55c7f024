"""What all pages share: the header, the navigation, the language, dark and light."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

from nicegui import ui
from starlette.requests import Request

from classicnets.support.names import visible

from .texts import Text

T = TypeVar("T")
NAVIGATION = {
    "/": "Networks",
    "/design": "Design",
    "/data": "Data",
    "/train": "Train",
    "/runs": "Runs",
    "/look": "Look inside",
    "/studies": "Studies",
}
FAINT = {  # of a chart's axes, on light and on dark
    "splitLine": {"lineStyle": {"color": "rgba(128, 128, 128, 0.25)"}},
    "axisLabel": {"color": "#888"},
}
YEAR = 365 * 24 * 3600
# few lines of style: all else is NiceGUI's own
STYLE = """
.nav a { text-decoration: none; color: inherit; padding: .4rem .7rem; border-radius: .4rem;
         white-space: nowrap }
.nav a[aria-current], .nav a:hover { background: rgba(128, 128, 128, .25) }
.content { max-width: 72rem; margin: 0 auto; width: 100% }
.q-table th, .q-table td { padding: .2rem .6rem !important }
.mono { font-family: ui-monospace, monospace; white-space: pre; overflow-x: auto }
.body--dark .text-negative { color: #ff7b72 !important }
:focus-visible { outline: 2px solid #5898d4; outline-offset: 2px }
"""


def text_of(request: Request) -> Text:
    """The language of a page: that chosen, else the browser's."""
    wanted = request.headers.get("accept-language", "").lower()
    return Text(request.cookies.get("language") or ("zh" if wanted.startswith("zh") else "en"))


@contextmanager
def frame(request: Request, title: str) -> Iterator[Text]:
    """The parts that stand on every page; what is made or refused within is its content."""
    t = text_of(request)
    ui.page_title(f"{title} · classicnets")
    ui.add_css(STYLE)
    chosen = request.cookies.get("dark")
    dark = ui.dark_mode(None if chosen is None else chosen == "1")
    with ui.header().classes("items-center q-py-sm bg-primary"):
        with ui.element("nav").classes("nav flex items-center"):
            for path, name in NAVIGATION.items():
                link = ui.link(t(name), path)
                if path == request.url.path:
                    link.props("aria-current=page")
        ui.space()
        other = "en" if t.language == "zh" else "zh"
        ui.button(t("中文"), on_click=lambda: _keep("language", other)).props(
            "flat color=white dense no-caps no-wrap"
        ).classes("shrink-0").tooltip(t("the other language"))
        ui.button(icon="contrast", on_click=lambda: _keep("dark", dark)).props(
            f'flat color=white dense aria-label="{t("dark or light")}"'
        ).classes("shrink-0").tooltip(t("dark or light"))
    with ui.column().classes("content q-pa-md gap-4"), refusals(t):
        yield t


async def _keep(name: str, value: Any) -> None:
    """Keeps a choice in a cookie, and shows the page again."""
    if name == "dark":
        value = await ui.run_javascript("Quasar.Dark.isActive ? 0 : 1")
    await ui.run_javascript(
        f"document.cookie = '{name}={value}; path=/; max-age={YEAR}; samesite=strict'; "
        "location.reload()"
    )


importing = Thread(target=import_module, args=("classicnets.api.show",), daemon=True)


def begin_importing() -> None:
    """Imports what computing needs, once, after the first page is there."""
    if importing.ident is None:
        importing.start()


async def computed(work: Callable[[], T]) -> T:
    """What takes a while, in a thread, so that pages are answered meanwhile; this one is shown."""
    spinner = ui.spinner(size="lg")
    await ui.context.client.connected()
    begin_importing()
    await asyncio.to_thread(importing.join)  # two threads that import torch disturb each other
    try:
        return await asyncio.to_thread(work)
    finally:
        if not spinner.is_deleted:  # as it is with the page, when that is left meanwhile
            spinner.delete()


def ask_to_stop(t: Text, directory: Path) -> None:
    """Asks the process that trains in a directory to save and end."""
    from classicnets.api.following import stop

    try:
        stop(directory)
        ui.notify(t("About to save and end."))
    except ValueError as error:
        ui.notify(str(error), type="negative")


@contextmanager
def refusals(t: Text) -> Iterator[None]:
    """Says what is refused or fails within."""
    try:
        yield
    except (ValueError, OSError) as error:
        failed(t, error)


def failed(t: Text, error: Exception, inside: str = "") -> None:
    """Says what a page cannot do, as text: why something is refused, which is a ValueError, or that
    it failed. Paths stand below the folder `inside`.
    """
    said = visible(str(error).replace(f"{inside}/", "") if inside else str(error))
    if not isinstance(error, ValueError):
        said = t("Something failed here: {}", said)
    ui.label(said).classes("text-negative").props("role=alert")
