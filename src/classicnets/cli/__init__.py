"""The command line: one function a verb. The only code that reads argv, prints and draws progress.

Everything heavy is imported inside a verb, so that --help answers at once.
"""

import sys

import typer

from .demo import demo
from .judge import evaluate, predict
from .read import list_, show
from .train import train

app = typer.Typer(
    name="classicnets",
    help="LeNet-5, AlexNet, ZFNet, VGG, GoogLeNet and ResNet exactly as published.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for verb in (list_, show, train, evaluate, predict, demo):
    app.command(name=verb.__name__.strip("_"))(verb)


def main() -> None:
    """Runs a verb. A user's mistake becomes one line on stderr and exit status 2."""
    try:
        app()
    except (ValueError, OSError) as error:
        if isinstance(
            error, BrokenPipeError
        ):  # the reader of our output has gone, as with `| head`
            sys.stderr.close()
            sys.exit(1)
        print(f"classicnets: {error}", file=sys.stderr)
        sys.exit(2)
