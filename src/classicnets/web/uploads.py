"""The images of a request, as files of a folder that is removed with the answer."""

from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

MOST_FILES = 64
MOST_FIELDS = 16
LONGEST_NAME = 255
BLOCK = 2**20


async def save_images(request: Request, folder: Path) -> list[tuple[str, Path]]:
    """The name and the file of each image: of a form those of its files, else the body itself.

    A name is what the client says, and never part of a path. Raises an HTTPException for a request
    without images, and one with too many.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        return [("image 0", await _save_body(request, folder / "0"))]
    async with request.form(max_files=MOST_FILES, max_fields=MOST_FIELDS) as form:
        sent = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        if not sent:
            raise HTTPException(422, "the form has no file; send each image as one")
        files = []
        for k, upload in enumerate(sent):
            await run_in_threadpool(_save, upload, folder / str(k))
            name = (upload.filename or f"image {k}")[:LONGEST_NAME]
            files.append((name, folder / str(k)))
        return files


async def _save_body(request: Request, path: Path) -> Path:
    size = 0
    with path.open("wb") as file:
        async for block in request.stream():
            size += file.write(block)
    if not size:
        raise HTTPException(422, "the request is empty; send an image as its body, or as a form")
    return path


def _save(upload: UploadFile, path: Path) -> None:
    with path.open("wb") as file:
        while block := upload.file.read(BLOCK):
            file.write(block)
