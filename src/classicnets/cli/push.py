"""The verb `push`: a run to the Hugging Face hub."""

from typing import Annotated

import typer

from .commands import command
from .options import OUTPUT, RunDirectory
from .terminal import one_line


def push(
    run: RunDirectory,
    place: Annotated[
        str, typer.Argument(metavar="USER/NAME", help="place on the hub, such as ada/digits")
    ],
    licence: Annotated[
        str,
        typer.Option(
            "--licence",
            "--license",
            metavar="NAME",
            rich_help_panel=OUTPUT,
            help="licence of the weights, by the hub's word for it, such as --licence mit",
            show_default="none",
        ),
    ] = "",
    private: Annotated[
        bool,
        typer.Option("--private", rich_help_panel=OUTPUT, help="only for you to see"),
    ] = False,
    exist_ok: Annotated[
        bool,
        typer.Option(
            "--exist-ok", rich_help_panel=OUTPUT, help="replace the run there by a new commit"
        ),
    ] = False,
    message: Annotated[
        str,
        typer.Option(
            metavar="TEXT", rich_help_panel=OUTPUT, help="of the commit, such as --message v2"
        ),
    ] = "",
) -> None:
    """Publish a run on the Hugging Face hub.

    Weights, run.json, metrics, curve, design and a model card. Log in first: `hf auth login`. Where
    a command takes a run, hf:USER/NAME is this one, and hf:USER/NAME@REVISION an older one.

    \b
    Examples:
      classicnets push runs/digits ada/digits --licence mit
      classicnets predict hf:ada/digits photo.png
    """
    import classicnets as cn

    done = cn.push(run, place, licence, private, exist_ok, message)
    print(one_line(str(done)))
    print(f"\nwhat to try next:\n  {command('predict', done.name, 'path/to/image.jpg')}")
