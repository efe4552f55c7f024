"""`classicnets serve`: a trained network as an HTTP service for programs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response

from classicnets import __version__
from classicnets.api.predict import Prediction, Predictor
from classicnets.support.errors import is_out_of_memory
from classicnets.support.tables import html_table, html_text

from .batches import Batches, Full
from .figures import Figures
from .guard import Address, Guard
from .uploads import save_images

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
IMAGES = {"type": "string", "format": "binary"}
BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {"images": {"type": "array", "items": IMAGES}},
            }
        },
        "application/octet-stream": {"schema": IMAGES},
    },
}
ANSWER = [{"path": "a.png", "top": [{"class": "7", "probability": 0.98}]}]
ERRORS = {
    408: "The request took too long to arrive.",
    413: "The request is too large.",
    422: "An image cannot be read, or there is none; nothing is predicted.",
    429: "Too many images wait; try again after Retry-After seconds.",
    503: "The prediction took too long, or memory ran out.",
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "For each image its likeliest classes, as `predict --json` prints them.",
        "content": {"application/json": {"example": ANSWER}},
    },
    **{
        status: {
            "description": text,
            "content": {"application/json": {"example": {"error": "one sentence"}}},
        }
        for status, text in ERRORS.items()
    },
}


@dataclass(frozen=True)
class Limits:
    """What a request may take: bytes of its body, images in the queue, seconds to the answer."""

    largest: int = 2**25
    waiting: int = 256
    seconds: float = 60.0


def service(predictor: Predictor, address: Address, limits: Limits) -> Guard:
    """The application that predicts with a trained network."""
    work = _Work(predictor, limits)
    app = FastAPI(
        title="classicnets",
        version=__version__,
        description=f"Classes of images, by {predictor.run.config.network}.",
        docs_url=None,
        redoc_url=None,
        lifespan=work.lifespan,
        exception_handlers={HTTPException: _refused, RequestValidationError: _invalid},
    )
    app.post("/predict", responses=RESPONSES, openapi_extra={"requestBody": BODY})(work.predict)
    app.get("/health")(work.health)
    app.get("/metrics", response_class=PlainTextResponse)(work.metrics)
    app.get("/", include_in_schema=False)(partial(_page, app))
    app.get("/docs", include_in_schema=False)(partial(_page, app))
    return Guard(app, address, POLICY, limits.largest)


class _Work:
    """What the addresses of a service answer."""

    def __init__(self, predictor: Predictor, limits: Limits):
        self.predictor, self.limits = predictor, limits
        self.figures = Figures()

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        self.batches = Batches(self.predictor, self.limits.waiting)
        work = asyncio.create_task(self.batches.work())
        with TemporaryDirectory(prefix="classicnets-") as folder:
            self.folder = Path(folder)
            yield
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work

    async def predict(
        self, request: Request, top: Annotated[int, Query(ge=1, le=1000)] = 5
    ) -> Response:
        """The likeliest classes of one or many images.

        Images are the files of a form, or one is the body itself. They are resized and cropped as
        `classicnets predict` does.
        """
        began, status, count = perf_counter(), 500, 0
        try:
            with TemporaryDirectory(dir=self.folder) as folder:
                files = await save_images(request, Path(folder))
                found = await self._predicted(files, top)
            unreadable = [one.unreadable for one in found if one.unreadable]
            if unreadable:
                raise HTTPException(422, unreadable[0])
            status, count = 200, len(found)
            return JSONResponse([one.as_dict() for one in found])
        except HTTPException as error:
            status = error.status_code
            raise
        finally:
            self.figures.add(status, count, perf_counter() - began)

    async def _predicted(self, files: list[tuple[str, Path]], top: int) -> list[Prediction]:
        try:
            async with asyncio.timeout(self.limits.seconds):
                return await self.batches.predict(files, top)
        except Full:
            reason = f"{self.limits.waiting} images wait already"
            raise HTTPException(429, reason, {"retry-after": "1"}) from None
        except TimeoutError:
            raise HTTPException(
                503, f"the prediction took more than {self.limits.seconds:g} seconds"
            ) from None
        except Exception as error:
            if is_out_of_memory(error):
                raise HTTPException(503, "out of memory; send smaller images, or fewer") from error
            raise

    async def health(self) -> dict[str, Any]:
        """What is served, and how many images wait."""
        config = self.predictor.run.config
        return {
            "status": "ok",
            "run": str(self.predictor.run.directory),
            "network": config.network,
            "classes": len(config.classes),
            "waiting": self.batches.waiting,
        }

    async def metrics(self) -> PlainTextResponse:
        """What was served so far, for Prometheus."""
        text = self.figures.text(self.batches.waiting, self.batches.batches)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")


async def _refused(request: Request, error: Any) -> JSONResponse:
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _invalid(request: Request, error: Any) -> JSONResponse:
    (first, *_) = error.errors()
    name = first["loc"][-1]
    return JSONResponse({"error": f"{name} cannot be {first['input']!r}: {first['msg']}"}, 422)


STYLE = """<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 48rem; margin: 2rem auto; padding: 0 1rem }
th, td { text-align: left; padding: .2rem 1rem .2rem 0; vertical-align: top }
pre { overflow-x: auto }
:root { color-scheme: light dark }
</style>"""


async def _page(app: FastAPI, request: Request) -> HTMLResponse:
    """What openapi.json says, for people: a page that needs nothing else."""
    schema = app.openapi()
    host = request.headers["host"]
    parts = [
        html_text(schema["info"]["title"], "h1"),
        html_text(schema["info"]["description"], "p"),
    ]
    for path, methods in schema["paths"].items():
        for method, about in methods.items():
            parts.append(html_text(f"{method.upper()} {path}", "h2"))
            parts += [html_text(text, "p") for text in about.get("description", "").split("\n\n")]
            rows = [[status, one["description"]] for status, one in about["responses"].items()]
            parts.append(html_table([["status", "answer"], *rows], ("status", "answer")))
    example = f"curl -F images=@a.png -F images=@b.png 'http://{host}/predict?top=3'"
    parts += [html_text("For example", "h2"), html_text(example, "pre")]
    parts.append('<p><a href="openapi.json">openapi.json</a></p>')
    head = (
        '<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    )
    return HTMLResponse(head + "<title>classicnets</title>" + STYLE + "".join(parts))
