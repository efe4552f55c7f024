"""A place to drop a folder or an archive of images on, or to choose one."""

from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import app, ui
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse

from .intake import Intake
from .texts import Text

ADDRESS = "/data/pieces"
_open: dict[str, Intake] = {}  # by their secret names, of the pages that are shown


class Dropzone(ui.element, component="dropzone.js"):
    """What arrives gathers in `intake`; `sent` is told when all is there, or why it is not."""

    def __init__(self, t: Text, intake: Intake, sent: Callable[[str], Awaitable[None]]):
        super().__init__()
        name = intake.scratch.place.name
        self._props["url"] = f"{ADDRESS}/{name}"
        self._props["texts"] = {
            "drop": t("Drop a folder or a zip file of images here: a folder for each class"),
            "folder": t("Choose a folder"),
            "archive": t("Choose a zip file"),
        }
        _open[name] = intake

        async def all_sent(event: Any) -> None:
            await sent(str(event.args or ""))

        def left() -> None:
            _open.pop(name, None)
            intake.discard()

        self.on("sent", all_sent)
        self.client.on_delete(left)


def declare_pieces() -> None:
    """The address that takes what is sent."""

    @app.post(f"{ADDRESS}/{{name}}", include_in_schema=False)
    async def take(request: Request, name: str, path: str, at: int) -> JSONResponse:
        intake = _open.get(name)
        if intake is None:
            return JSONResponse({"error": "this page is not open any longer; load it again"}, 404)
        piece = await request.body()
        try:
            await run_in_threadpool(intake.take, path, at, piece)
        except (ValueError, OSError) as error:
            return JSONResponse({"error": str(error)}, 422)
        return JSONResponse({})
