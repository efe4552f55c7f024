"""The command line: one file per verb. Only this package reads argv, prints and draws progress.

Verbs import what is heavy when they run, so that --help answers at once.
"""

import functools
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

import typer

from classicnets.support.errors import (
    SkippedFiles,
    TrainingAdvice,
    is_out_of_memory,
    on_command_line,
)
from classicnets.support.interrupts import MESSAGE, STATUS, guard_work
from classicnets.support.machine import keep_memory

from .compare import compare
from .demo import demo
from .design import design, diff
from .evaluate import evaluate
from .experiment import experiment
from .export import export
from .list import list_
from .pack import pack
from .plan import plan
from .predict import predict
from .push import push
from .recipe import recipe
from .report import is_first_to_fail
from .see import see
from .serve import serve
from .show import show
from .speed import speed
from .study import study
from .suggest import suggest
from .terminal import discard_output, flush, make_visible, sentence
from .train import train
from .verbs import VerbCommand, VerbGroup, print_version
from .web import web
from .weights import weights

app = typer.Typer(
    name="classicnets",
    cls=VerbGroup,
    help="LeNet-5, AlexNet, ZFNet, VGG, GoogLeNet and ResNet exactly as published.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 120, "help_option_names": ["-h", "--help"]},
)


def _interruptible(verb: Callable[..., None]) -> Callable[..., None]:
    """Turns a Ctrl-C that the verb does not handle itself into one line and exit status 130."""

    @functools.wraps(verb)
    def run(*args: Any, **options: Any) -> None:
        try:
            for printed in (SkippedFiles, TrainingAdvice):  # verbs print all of them
                warnings.simplefilter("ignore", printed)
            if verb not in (list_, web):
                import torch  # noqa: F401  # before Ctrl-C raises: all other verbs need it

            guard_work()
            verb(*args, **options)
        except KeyboardInterrupt:
            print(MESSAGE.decode(), end="", file=sys.stderr)
            raise typer.Exit(STATUS) from None

    return run


VERBS = (
    *(list_, show, weights, design, diff, suggest, speed, plan, recipe),
    *(train, experiment, study, evaluate, predict, compare, see, export, push, serve),
    *(web, pack, demo),
)
app.callback(invoke_without_command=True)(print_version)
for verb in VERBS:
    app.command(name=verb.__name__.strip("_"), cls=VerbCommand)(_interruptible(verb))


def main() -> None:
    """Runs a verb. A user's mistake becomes one line on stderr and exit status 2."""
    keep_memory()
    make_visible()
    try:
        try:
            with on_command_line():
                app()
        finally:
            flush()
    except BrokenPipeError:  # the reader of our output has exited, as with `| head`
        discard_output()
        sys.exit(1)
    except (ValueError, OSError) as error:
        _fail(_message(error))
    except Exception as error:
        if not is_out_of_memory(error):
            if is_first_to_fail():
                raise
            sys.exit(1)
        _fail("out of memory; smaller images or a smaller batch need less")


def _message(error: Exception) -> str:
    """The message; of a system's error the file and the reason, without its number."""
    if isinstance(error, OSError) and error.strerror:
        named = error.filename is not None
        return f"{os.fsdecode(error.filename)}: {error.strerror}" if named else error.strerror
    return str(error)


def _fail(reason: object) -> NoReturn:
    if is_first_to_fail():
        print(f"classicnets: {sentence(reason)}", file=sys.stderr)
    sys.exit(2)
