"""The command line: one function a verb. The only code that reads argv, prints and draws progress.

Everything heavy is imported inside a verb, so that --help answers at once.
"""

import functools
import io
import os
import re
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import typer

from .compare import compare
from .demo import demo
from .judge import evaluate, predict
from .pack import pack
from .read import list_, show
from .recipe import recipe
from .see import see
from .speed import speed
from .train import train

# torch asks for memory in pages of 2 MiB: what it takes anew in each step, as the gradients of a
# hundred million weights, is then there at once, and not in thousands of small pieces
LARGE_PAGES = {"THP_MEM_ALLOC_ENABLE": "1"}

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


def main() -> None:
    """Runs a verb. A user's mistake becomes one line on stderr and exit status 2."""
    for name, value in LARGE_PAGES.items():
        os.environ.setdefault(name, value)  # torch looks when it first needs memory
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
