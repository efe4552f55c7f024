"""`classicnets web`: the application with its pages."""

from collections.abc import Sequence
from pathlib import Path

from fastapi import FastAPI
from nicegui import app as nicegui_app, ui

from .guard import Address, Guard
from .pages import PAGES
from .shell import begin_importing
from .workspace import Workspace

LARGEST = 2**25  # bytes of a request
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
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    for declare in PAGES:
        declare(workspace)
    ui.run_with(app, title="classicnets", favicon="\N{ARTIST PALETTE}", show_welcome_message=False)
    # while the first page is read; nearly all else needs torch, which takes a second to import
    nicegui_app.on_connect(begin_importing)
    return Guard(app, address, POLICY, LARGEST)
