"""The verb web: the pages in the browser."""

from pathlib import Path
from typing import Annotated

import typer

from .options import DATA, UNCHECKED
from .serve import MOST_PIXELS, Host, MaxPixels, Port, require_web


def web(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="folder that the page works in: its runs/, its designs, its data",
            **UNCHECKED,
        ),
    ] = Path(),
    port: Port = 8080,
    host: Host = "127.0.0.1",
    data: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            rich_help_panel=DATA,
            help="another folder of images that the page offers; may be repeated, such as "
            "--data path/to/photos",
            **UNCHECKED,
        ),
    ] = None,
    max_pixels: MaxPixels = MOST_PIXELS,
) -> None:
    """Read, design, train and look inside in a browser.

    Training runs in processes of its own, which go on when the page is closed or this command ends.

    \b
    Examples:
      classicnets web
      classicnets web projects/birds --data path/to/photos
    """
    require_web()
    from classicnets.web.app import application
    from classicnets.web.server import listen, run

    listening, address = listen(host, port)
    with listening:
        app = application(folder, data or [], address)
        ready = f"open {address.url} in a browser; Ctrl-C ends the page, and no training"
        run(app, listening, lambda: print(ready, flush=True))
