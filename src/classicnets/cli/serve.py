"""The verb serve: a trained network as an HTTP service for programs."""

from typing import Annotated

import typer

from .options import DATA, EXECUTION, Device, OwnNetwork, RunDirectory, set_max_pixels

Port = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=0,
        max=65535,
        rich_help_panel=EXECUTION,
        help="port, or 0 for any free one, such as --port 8080",
    ),
]
Host = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS",
        rich_help_panel=EXECUTION,
        help="address to listen at; one that other machines reach needs a token, which is printed "
        "once, such as --host 0.0.0.0",
    ),
]
MaxPixels = Annotated[
    str,
    typer.Option(
        metavar="N",
        rich_help_panel=DATA,
        callback=set_max_pixels,
        help="largest image that is read, such as --max-pixels 12000000",
    ),
]
MOST_PIXELS = "50000000"  # fewer than the other verbs read: these images come from anywhere


def serve(
    run: RunDirectory,
    port: Port = 8000,
    host: Host = "127.0.0.1",
    max_upload: Annotated[
        str,
        typer.Option(
            metavar="BYTES",
            rich_help_panel=DATA,
            help="largest request, such as --max-upload 8MB",
        ),
    ] = "32MiB",
    max_pixels: MaxPixels = MOST_PIXELS,
    max_queue: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            rich_help_panel=EXECUTION,
            help="images that may wait; more are refused with status 429, such as --max-queue 64",
        ),
    ] = 256,
    timeout: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            rich_help_panel=EXECUTION,
            help="longest time to an answer, such as --timeout 10s",
        ),
    ] = "60s",
    network: OwnNetwork = "",
    device: Device = "auto",
) -> None:
    """Serve predictions over HTTP.

    POST /predict takes images as a form's files or as the body, and answers as `predict --json`.
    GET / says what else there is. Ctrl-C or SIGTERM answers what has arrived, and ends.

    \b
    Examples:
      classicnets serve runs/digits
      curl -F images=@a.png -F images=@b.png http://127.0.0.1:8000/predict
    """
    from classicnets.api.predict import Predictor
    from classicnets.support.units import parse_bytes, parse_seconds

    limits = int(parse_bytes(max_upload)), max_queue, parse_seconds(timeout)
    require_web()
    from classicnets.web.server import listen, run as run_server
    from classicnets.web.service import Limits, service

    predictor = Predictor(run, network or None, device)
    listening, address = listen(host, port)
    with listening:
        app = service(predictor, address, Limits(*limits))
        ready = f"{run} is served at {address.url} until Ctrl-C"
        run_server(app, listening, lambda: print(ready, flush=True))


def require_web() -> None:
    """Raises a ValueError where the packages that serve are not installed."""
    from importlib.util import find_spec

    if not find_spec("nicegui"):
        raise ValueError(
            "serving needs a package that is not installed: pip install 'classicnets[web]'"
        )
