"""Commands that are printed to be typed: those that come next, quoted for the shell."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from classicnets.support.errors import shell

if TYPE_CHECKING:
    from classicnets.api.train import Training


def command(*words: object) -> str:
    """The command line of a verb, as this program is called here.

    By its name if that is on the PATH, else by its path.
    """
    from shutil import which

    here = Path(sys.argv[0])
    if here.name == "__main__.py":
        return shell("python", "-m", "classicnets", *words)
    path = here.absolute()
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return shell(here.name if which(here.name) else shown, *words)


def resume_command(training: "Training") -> str:
    """What resumes this run, but for a recipe with parts of your own."""
    return command("train", "--resume", training.directory, *_own_network(training))


def next_commands(training: "Training", image: object = "") -> list[str]:
    """What to do with a finished run: evaluate it, predict an image, look inside, compare.

    `image` is a file; by default one of the test images, where they are files.
    """
    run, own = training.directory, _own_network(training)
    paths = getattr(training.splits.test, "paths", ["path/to/image.jpg"])
    return [
        command("evaluate", run, *own),
        command("predict", run, image or paths[0], *own),
        command("see", run, *own),
        command("compare", run, *_newest_beside(run)),
    ]


def print_commands(lines: Iterable[str]) -> None:
    """Prints what to try next."""
    print("\nwhat to try next:")
    for line in lines:
        print(f"  {line}")


def _own_network(training: "Training") -> tuple[str, ...]:
    """The option that names your own network, which no command runs unless it is named."""
    name = training.config.network
    return ("--network", name) if ".py:" in name else ()


def _newest_beside(run: Path) -> list[Path]:
    """The newest other run in the same folder that has finished an epoch."""
    others = [file for file in run.parent.glob("*/metrics.csv") if file.parent != run]
    others.sort(key=lambda file: file.stat().st_mtime)
    return [file.parent for file in others[-1:]]
