"""What all pages share: the header, the navigation, the language, dark and light."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import copy
from datetime import datetime
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar
from urllib.parse import quote

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
COLOURS = ["#3f74b5", "#e8963c", "#4d9a5b", "#8e5ea2", "#c0504d", "#7f8790"]  # as docs/figures
FAINT = {  # of a chart's axes, on light and on dark
    "splitLine": {"lineStyle": {"color": "rgba(128, 128, 128, 0.25)"}},
    "axisLabel": {"color": "#888"},
}
# of a table, which Quasar says in English
ROWS = ':pagination-label="(first, last, all) => `${first}-${last} / ${all}`"'
YEAR = 365 * 24 * 3600
# few lines of style: all else is NiceGUI's own
STYLE = """
@media (min-width: 600px) { html { scrollbar-gutter: stable } }
.nav { flex: 1 1 0; min-width: 0 }
.nav a { text-decoration: none; color: inherit; padding: .4rem .7rem; border-radius: .4rem;
         white-space: nowrap }
.nav a[aria-current], .nav a:hover { background: rgba(128, 128, 128, .25) }
.content { max-width: 72rem; margin: 0 auto; width: 100% }
.q-table th, .q-table td { padding: .2rem .6rem !important }
.mono { font-family: ui-monospace, monospace; white-space: pre; overflow-x: auto }
.body--dark .text-negative { --q-negative: #ff7b72 }
.body--dark .text-primary { --q-primary: #8fb4df }
.body--dark .content .nicegui-link { color: #8fb4df }
.body--dark .figure { filter: invert(.9) hue-rotate(180deg) }
.q-uploader__subtitle { display: none }
.q-btn-toggle { flex-wrap: wrap }
.q-btn-toggle .q-btn { flex: 1 0 auto }
:focus-visible { outline: 2px solid #5898d4; outline-offset: 2px }
.q-header :focus-visible { outline-color: white }
"""


# until a page is connected NiceGUI tries to send each event anew every 10 ms, so that a click may
# come before what was typed before it
CONNECTING = """<script>{
    document.body.inert = true;
    const connecting = setInterval(() => {
        if (!window.did_handshake) return;
        clearInterval(connecting);
        setTimeout(() => { document.body.inert = false; }, 50);
    }, 10);
}</script>"""


def text_of(request: Request) -> Text:
    """The language of a page: that chosen, else the browser's."""
    wanted = request.headers.get("accept-language", "").lower()
    return Text(request.cookies.get("language") or ("zh" if wanted.startswith("zh") else "en"))


@contextmanager
def frame(request: Request, title: str) -> Iterator[Text]:
    """The parts that stand on every page; what is made within is its content.

    What it cannot show is said there, and what any of its handlers raises in a notice.
    """
    t = text_of(request)
    ui.on_exception(noticed)
    ui.page_title(f"{title} · classicnets")
    ui.add_css(STYLE)
    ui.add_body_html(CONNECTING)
    if t.language == "zh":  # of what NiceGUI says, and for who has it read aloud
        client = ui.context.client
        client.page = copy(client.page)
        client.page.language = "zh-CN"
    chosen = request.cookies.get("dark")
    dark = ui.dark_mode(None if chosen is None else chosen == "1")
    with ui.header().classes("items-center no-wrap q-py-sm bg-primary"):
        with ui.element("nav").classes("nav flex items-center"):
            for path, name in NAVIGATION.items():
                link = ui.link(t(name), path)
                if path == request.url.path:
                    link.props("aria-current=page")
        other = "en" if t.language == "zh" else "zh"
        ui.button(t("中文"), on_click=lambda: _keep("language", other)).props(
            "flat color=white dense no-caps no-wrap"
        ).classes("shrink-0").tooltip(t("the other language"))
        ui.button(icon="contrast", on_click=lambda: _keep("dark", dark)).props(
            f'flat color=white dense aria-label="{t("dark or light")}"'
        ).classes("shrink-0").tooltip(t("dark or light"))
    with ui.column().classes("content q-pa-md gap-4"):
        try:
            yield t
        except (ValueError, OSError) as error:
            failed(t, error)


class Missing(ValueError):
    """What an address names and there is not, with links to what it may have meant, and to the page
    that lists them all.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], address: str, listed: str):
        super().__init__(f"no {kind} {name!r}")
        near = get_close_matches(name, list(known), n=3, cutoff=0.4)
        self.links = {one: address + quote(one, safe="") for one in near}
        self.listed = listed


def noticed(error: Exception) -> None:
    """Says what a handler could not do, until that is closed; several times only once."""
    mistake = isinstance(error, ValueError | OSError)
    said = str(error) if mistake else f"{type(error).__name__}: {error}"
    ui.notify(visible(said), type="negative", multi_line=True, timeout=0, close_button="OK")


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
    spinner, client = ui.spinner(size="lg"), ui.context.client
    await client.connected()
    begin_importing()
    await asyncio.to_thread(importing.join)  # two threads that import torch disturb each other
    try:
        return await asyncio.to_thread(work)
    finally:
        await client.connected()  # which a busy browser may have lost meanwhile
        if client.is_deleted:  # the page was left meanwhile, and nobody waits for the rest
            raise asyncio.CancelledError
        if not spinner.is_deleted:
            spinner.delete()


def ask_to_stop(t: Text, directory: Path) -> None:
    """Asks the process that trains in a directory to save and end."""
    from classicnets.api.following import stop

    stop(directory)
    ui.notify(t("About to save and end."))


def choose_by_name(names: list[str], **how: Any) -> ui.select:
    """A choice among many names, which a name that is typed whole makes too, at Enter."""
    select, typed = ui.select(names, with_input=True, **how), {"name": ""}

    def choose() -> None:
        if typed["name"] in names:
            select.set_value(typed["name"])

    select.on("input-value", lambda event: typed.update(name=str(event.args)))
    return select.on("keydown.enter", choose, [])


async def throw_away(t: Text, name: str, trash: Callable[[str, str], None], then: str) -> None:
    """Has something moved to the folder trash once that is confirmed, and goes to a page."""
    with ui.dialog() as dialog, ui.card():
        ui.label(t("Move {} to the folder trash?", name))
        with ui.row():
            ui.button(t("Delete"), on_click=lambda: dialog.submit(True)).props("color=negative")
            ui.button(t("cancel"), on_click=lambda: dialog.submit(False)).props("flat")
    if await dialog:
        trash(name, f"{datetime.now():%Y%m%d-%H%M%S}")
        ui.navigate.to(then)


class Answer:
    """A place for what takes a while, of which only the last that was asked for is shown there, or
    why it cannot be had."""

    def __init__(self, t: Text, gap: str = "gap-2"):
        self.t, self.asked = t, 0
        self.place = ui.column().classes("w-full").classes(gap)

    def clear(self) -> None:
        """Empties the place; an answer that is still to come is dropped."""
        self.asked += 1
        self.place.clear()

    async def show(self, work: Callable[[], T], draw: Callable[[T], object]) -> bool:
        """Has it worked out in a thread, and then draws it; whether that came to pass."""
        self.clear()
        asked = self.asked
        with self.place:
            try:
                found = await computed(work)
                if asked != self.asked:
                    return False
                draw(found)
            except (ValueError, OSError) as error:
                if asked == self.asked:
                    failed(self.t, error)
                return False
        return True


def failed(t: Text, error: Exception) -> None:
    """Says what a page cannot do, as text: why something is refused, which is a ValueError, or that
    it failed.
    """
    said = visible(str(error))
    if not isinstance(error, ValueError):
        said = t("Something failed here: {}", said)
    ui.label(said).classes("text-negative").props("role=alert")
    if isinstance(error, Missing):
        with ui.row().classes("gap-4"):
            for name, address in error.links.items():
                ui.link(name, address)
            ui.link(t(NAVIGATION[error.listed]), error.listed)
