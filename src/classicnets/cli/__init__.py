"""The command line: one file per verb. Only this package reads argv, prints and draws progress.

Verbs import what is heavy when they run, so that --help answers at once.
"""

import functools
import os
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
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

from .report import is_first_to_fail
from .startup import import_torch
from .terminal import discard_output, flush, make_visible, sentence
from .verbs import VerbCommand, VerbGroup, print_version

# in the order of --help; each is a function of its name, in the file of its name but for one
VERBS = (
    *("list", "show", "weights", "design", "diff", "suggest", "speed", "plan", "recipe"),
    *("train", "experiment", "study", "evaluate", "predict", "compare", "see", "export", "push"),
    *("serve", "web", "pack", "demo"),
)
ELSEWHERE = {"diff": "design"}
WITHOUT_TORCH = ("list", "web")


def application(*verbs: str) -> typer.Typer:
    """The command line with these verbs, of which each takes time to import; by default all."""
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
    app.callback(invoke_without_command=True)(print_version)
    for name in verbs or VERBS:
        module = import_module(f".{ELSEWHERE.get(name, name)}", __name__)
        verb = vars(module)["list_" if name == "list" else name]
        app.command(name, cls=VerbCommand)(_interruptible(verb, name not in WITHOUT_TORCH))
    return app


def _interruptible(verb: Callable[..., None], with_torch: bool) -> Callable[..., None]:
    """Turns a Ctrl-C that the verb does not handle itself into one line and exit status 130."""

    @functools.wraps(verb)
    def run(*args: Any, **options: Any) -> None:
        try:
            for printed in (SkippedFiles, TrainingAdvice):  # verbs print all of them
                warnings.simplefilter("ignore", printed)
            if with_torch:
                import_torch()  # before Ctrl-C raises
            guard_work()
            verb(*args, **options)
        except KeyboardInterrupt:
            print(MESSAGE.decode(), end="", file=sys.stderr)
            raise typer.Exit(STATUS) from None

    return run


def main() -> None:
    """Runs a verb. A user's mistake becomes one line on stderr and exit status 2."""
    keep_memory()
    make_visible()
    try:
        try:
            with on_command_line():
                application(*(word for word in sys.argv[1:2] if word in VERBS))()
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
