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
    return command("train", "--resume", training.directory, *_options(training))


def next_commands(training: "Training", image: object = "") -> list[str]:
    """What to do with a finished run: evaluate it, predict an image, look inside, compare
    it with another one, where there is one.

    `image` is a file; by default one of the test images, where they are files.
    """
    run, own = training.directory, _options(training)
    paths = training.splits.test.paths
    paths = paths if paths and isinstance(paths, list) else ["path/to/image.jpg"]
    return [
        command("evaluate", run, *own),
        command("predict", run, image or paths[0], *own),
        command("see", run, *own),
        *(command("compare", run, other) for other in _newest_beside(run, training.config.data)),
    ]


def print_commands(lines: Iterable[str]) -> None:
    """Prints what to try next."""
    print("\nwhat to try next:")
    for line in lines:
        print(f"  {line}")


def _options(training: "Training") -> tuple[object, ...]:
    """Those that a run's commands need: your own network, which no command runs unless it is named,
    and the largest image that was read, where it is not the usual one.
    """
    from classicnets.data.image_file import MAX_PIXELS

    name, most = training.config.network, training.config.max_pixels
    named = name if ".py:" in name else training.run.notes.get("like")
    own = ("--network", named) if named else ()
    return own if most == MAX_PIXELS else (*own, "--max-pixels", most)


def _newest_beside(run: Path, data: str) -> list[Path]:
    """The newest other run in the same folder, on these data, that has finished an epoch."""
    others = [file for file in run.parent.glob("*/metrics.csv") if file.parent != run]
    others.sort(key=lambda file: file.stat().st_mtime, reverse=True)
    return [file.parent for file in others if _trained_on(file.parent) == data][:1]


def _trained_on(run: Path) -> str | None:
    """The data of a run; None where it cannot be read."""
    from classicnets.training.run.directory import open_run

    try:
        return open_run(run).config.data
    except (OSError, ValueError):
        return None
