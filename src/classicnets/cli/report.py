"""What is printed before and after a training, and of an evaluation."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from classicnets.api.train import Training
    from classicnets.evaluation.metrics import Evaluation

SHOWN_CLASSES = 20  # with more, a confusion table is unreadable
SHOWN_MISTAKES = 5
SHOWN_WARNINGS = 10
WORST = 10  # classes listed in place of a confusion table


def is_first_process() -> bool:
    """Whether this is the only process, or rank 0 of those that torchrun started."""
    return os.environ.get("RANK", "0") == "0"


def command() -> str:
    """The command that runs this program here: its name if that is on the PATH, else its path."""
    from shutil import which

    here = Path(sys.argv[0])
    if here.name == "__main__.py":
        return "python -m classicnets"
    if which(here.name):
        return here.name
    path = here.absolute()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def print_introduction(training: "Training") -> None:
    """The network, its recipe, the data, and how steps are executed."""
    recipe, splits = training.recipe, training.splits
    count, unit = (recipe.steps, "step") if recipe.steps else (recipe.epochs or 0, "epoch")
    length = f"{count:,} {unit}{'s' * (count != 1)}"
    print(f"{training.config.network}, recipe source: {recipe.cite}")
    print(f"{length}, batch {recipe.batch}, {recipe.optimizer}, {recipe.lr}, {recipe.loss}")
    for name, reason in recipe.assumed.items():
        print(f"  assumed {name}: {reason}")
    for name, reason in (training.adapted or {}).items():
        print(f"  adapted {name}: {reason}")
    for name, (ours, paper) in training.config.differences.items():
        print(f"  differs from the paper: {name} {ours} (paper: {paper})")
    sizes = splits.sizes
    print(
        f"{splits.name}: {len(splits.classes)} classes; {sizes[0]} images for training, "
        f"{sizes[1]} for validation, {sizes[2]} for test"
    )
    for name, counts in list(splits.counts().items())[:SHOWN_CLASSES]:
        print(f"  {name}: {' + '.join(map(str, counts))}")
    if (more := len(splits.classes) - SHOWN_CLASSES) > 0:
        print(f"  and {more} more classes")
    warn([f"skipped: {reason}" for reason in splits.skipped], " (run.json names all)")
    warn(splits.duplicates, " (run.json names all)")
    print_left_out(splits.left_out)
    if training.chosen:
        print(f"execution: {training.chosen}")


def warn(lines: Sequence[str], where: str = "") -> None:
    """Prints the first lines as warnings, and how many more there are and where."""
    for line in lines[:SHOWN_WARNINGS]:
        print(f"warning: {line}", file=sys.stderr)
    if (more := len(lines) - SHOWN_WARNINGS) > 0:
        print(f"warning: and {more} more like this{where}", file=sys.stderr)


def print_left_out(lines: Sequence[str]) -> None:
    """Prints what in a folder was not taken for an image."""
    for line in lines:
        print(f"left out: {line}", file=sys.stderr)


def print_summary(training: "Training") -> None:
    """The evaluation on the test images, and the run directory."""
    assert training.test is not None
    print_evaluation(training.test)
    print(f"\nrun: {training.directory}")


def print_evaluation(evaluation: "Evaluation") -> None:
    """The errors, and the confusion table or, with many classes, those of the lowest recall."""
    print(
        f"\ntest error {evaluation.top1_error:.2f} % (top-5 {evaluation.top5_error:.2f} %) "
        f"of {evaluation.images} images, protocol {evaluation.protocol}, {evaluation.seconds:.1f} s"
    )
    if len(evaluation.classes) > SHOWN_CLASSES:
        _print_worst(evaluation)
    else:
        _print_confusion(evaluation)


def print_confidence(evaluation: "Evaluation") -> None:
    """The views of each image, the calibration error and the most confident mistakes."""
    views = f"{evaluation.views} view{'s' * (evaluation.views != 1)}"
    print(f"each image was seen in {views}; calibration error {evaluation.calibration_error:.2f} %")
    if evaluation.mistakes:
        print("most confident mistakes:")
    for mistake in evaluation.mistakes[:SHOWN_MISTAKES]:
        name = mistake.image if isinstance(mistake.image, str) else f"image {mistake.image}"
        print(
            f"  {name}: predicted {mistake.predicted} with {100 * mistake.probability:.1f} %, "
            f"true class {mistake.label}"
        )


def _print_confusion(evaluation: "Evaluation") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    print("rows: true class; columns: predicted class")
    table = Table(box=None, padding=(0, 1))
    table.add_column("")
    for i in range(len(evaluation.classes)):
        table.add_column(str(i), justify="right", no_wrap=True)
    table.add_column("recall %", justify="right", no_wrap=True)
    for i, (name, row) in enumerate(zip(evaluation.classes, evaluation.confusion, strict=True)):
        cells = [str(count or "·") for count in row]
        cells[i] = f"[bold]{cells[i]}[/]"
        label = name if name == str(i) else f"{i} {escape(name)}"
        table.add_row(label, *cells, f"{evaluation.recall[i]:.1f}")
    Console().print(table)


def _print_worst(evaluation: "Evaluation") -> None:
    worst = sorted(zip(evaluation.recall, evaluation.classes, strict=True))[:WORST]
    print("classes with the lowest recall:")
    for recall, name in worst:
        print(f"  {recall:5.1f} %  {name}")
