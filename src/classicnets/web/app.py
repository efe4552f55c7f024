"""`classicnets web`: the application with its pages."""

import logging
from collections.abc import Sequence
from pathlib import Path

from fastapi import FastAPI
from fastapi.exception_handlers import http_exception_handler
from nicegui import Client, app as nicegui_app, ui
from nicegui.logging import log as nicegui_log
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from classicnets.support.names import visible

from .guard import Address, Guard
from .pages import PAGES
from .shell import COLOURS, begin_importing, failed, frame
from .workspace import Workspace

LARGEST = 2**25  # bytes of a request
PATIENCE = 30  # seconds that a page may not be heard of, as while a training takes all cores
# NiceGUI's pages compile their templates in the browser, with scripts that stand in the page
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)


def application(folder: Path, data: Sequence[Path], address: Address) -> Guard:
    """The pages of a folder. Raises a ValueError for what is not a folder."""
    workspace = Workspace.open(folder, data)
    workspace.remove_leftovers()
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    for declare in PAGES:
        declare(workspace)
    ui.run_with(
        app,
        title="classicnets",
        favicon="\N{ARTIST PALETTE}",
        show_welcome_message=False,
        reconnect_timeout=PATIENCE,
    )
    # while the first page is read; nearly all else needs torch, which takes a second to import
    nicegui_app.on_connect(begin_importing)
    nicegui_app.colors(primary=COLOURS[0])  # on which one reads white
    nicegui_log.addFilter(without_traceback)
    nicegui_app.add_exception_handler(404, missing_page)
    return Guard(app, address, POLICY, LARGEST)


async def missing_page(request: Request, error: Exception) -> Response:
    """The page of an address without one; what is not a page has its own answer."""
    endpoint, answered = request.scope.get("endpoint"), request.scope.get("nicegui_page_path")
    if endpoint not in (None, nicegui_app) and not answered and isinstance(error, HTTPException):
        return await http_exception_handler(request, error)
    with Client(ui.page(""), request=request) as client, frame(request, "404") as t:
        failed(t, ValueError(t("There is no page at this address.")))
    return client.build_response(request, 404)


def without_traceback(record: logging.LogRecord) -> bool:
    """A mistake of the user's is a line in the terminal; only of ours it says where it is."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, ValueError | OSError):
        record.msg, record.args, record.exc_info = visible(f"classicnets: {error}"), (), None
    return True
