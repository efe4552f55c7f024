"""A place to drop one image on, or to choose it."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from nicegui import events, ui

from classicnets.web.texts import Text

LARGEST = 2**25  # bytes of an image


def drop_image(t: Text, look_at: Callable[[Path, str], Awaitable[None]]) -> ui.upload:
    """`look_at` is called with the file, which is removed after it, and with its name."""

    async def receive(sent: events.UploadEventArguments) -> None:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "image"
            await sent.file.save(path)
            await look_at(path, sent.file.name)

    def reject() -> None:
        raise ValueError(t("An image may have at most {} bytes.", f"{LARGEST:,}"))

    upload = ui.upload(
        label=t("Drop an image, or choose one"),
        on_upload=receive,
        on_rejected=reject,
        auto_upload=True,
        max_file_size=LARGEST,
    )
    upload.on("finish", upload.reset)  # or they pile up, one that is refused with a check mark
    return upload.props("accept=image/* flat bordered").classes("w-80")
