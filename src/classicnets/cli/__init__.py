"""The command line: one function a verb. The only code that reads argv, prints and draws progress.

Everything heavy is imported inside a verb, so that --help answers at once.
"""

import ctypes
import functools
import io
import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

import typer

from .compare import compare
from .demo import demo
from .judge import evaluate, predict
from .list import list_
from .pack import pack
from .recipe import recipe
from .see import see
from .show import show
from .speed import speed
from .train import train

KEPT = {-4: 0, -1: -1}  # glibc's malloc.h: M_MMAP_MAX none, M_TRIM_THRESHOLD never

app = typer.Typer(
    name="classicnets",
    help="LeNet-5, AlexNet, ZFNet, VGG, GoogLeNet and ResNet exactly as published.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _stoppable(verb: Callable[..., None]) -> Callable[..., None]:
    """Ctrl-C ends the verb in a line, where it has no better end of its own."""

    @functools.wraps(verb)
    def run(*args: Any, **options: Any) -> None:
        try:
            verb(*args, **options)
        except KeyboardInterrupt:
            print("classicnets: stopped; what was under way is not saved", file=sys.stderr)
            raise typer.Exit(130) from None

    return run


for verb in (list_, show, speed, recipe, train, evaluate, predict, compare, see, pack, demo):
    app.command(name=verb.__name__.strip("_"))(_stoppable(verb))


def keep_memory() -> None:
    """Memory that is free again stays with the program, for the next step to take.

    Otherwise what is large goes back to the system each time, which hands it over anew in pages of
    4 KiB: the gradients of AlexNet in 60,000 of them. Does nothing where malloc is not glibc's.
    """
    with suppress(AttributeError, OSError, TypeError):
        malloc = ctypes.CDLL(None)
        for option, value in KEPT.items():
            malloc.mallopt(option, value)


def main() -> None:
    """Runs a verb. A user's mistake becomes one line on stderr and exit status 2."""
    keep_memory()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # not every terminal can draw a rule
    try:
        app()
    except BrokenPipeError:  # the reader of our output has gone, as with `| head`
        sys.stderr.close()
        sys.exit(1)
    except (ValueError, OSError) as error:
        _give_up(error)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not re.search("(of|allocate) memory", str(error)):
            raise
        _give_up("there is not enough memory; smaller images, or fewer at a time, need less")


def _give_up(reason: object) -> NoReturn:
    if os.environ.get("RANK", "0") == "0":  # of several processes the first one speaks for all
        print(f"classicnets: {reason}", file=sys.stderr)
    sys.exit(2)
