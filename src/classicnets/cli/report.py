"""What is printed before and after a training, and of an evaluation."""

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from classicnets.support.tables import align

from .terminal import console, one_line, sentence

if TYPE_CHECKING:
    from classicnets.api.train import Training
    from classicnets.catalog import Entry
    from classicnets.data.images import Splits
    from classicnets.evaluation.metrics import Evaluation

SHOWN_CLASSES = 20  # with more, a confusion table is unreadable
SHOWN_MISTAKES = 5
SHOWN_WARNINGS = 10
WORST = 10  # classes listed in place of a confusion table


def is_first_process() -> bool:
    """Whether this is the only process, or rank 0 of those that torchrun started."""
    return os.environ.get("RANK", "0") == "0"


def is_first_to_fail() -> bool:
    """Whether this process is to tell the user of its error: no other one has failed before."""
    module = sys.modules.get("classicnets.training.execution.distributed")
    return module.is_first_to_fail() if module else is_first_process()


def warn_of_design(network: "str | Entry") -> None:
    """Prints on stderr what is probably not meant in a design file."""
    from classicnets.api.design import design_warnings

    for warning in design_warnings(network):
        print(f"classicnets: warning: {warning}", file=sys.stderr)


def print_introduction(training: "Training") -> None:
    """The facts of a training, and warnings of what is probably not meant."""
    from classicnets.api.introduction import advice, introduction

    for line in introduction(training):
        print(line)
    warn(training.splits.duplicates, " (run.json names all)")
    print_skipped(training.splits, " (run.json names all)")
    warn(list(advice(training)))


def warn(lines: Sequence[str], where: str = "") -> None:
    """Prints the first lines as warnings, and how many more there are and where."""
    for line in lines[:SHOWN_WARNINGS]:
        print(sentence(f"warning: {line}"), file=sys.stderr)
    if (more := len(lines) - SHOWN_WARNINGS) > 0:
        print(f"warning: and {more} more like this{where}", file=sys.stderr)


def print_skipped(of: "Splits | Evaluation", where: str = " (--json names all)") -> None:
    """Prints which files of a folder could not be read, and what was not taken for an image."""
    warn([f"skipped: {reason}" for reason in of.skipped], where)
    print_left_out(of.left_out)


def print_left_out(lines: Sequence[str]) -> None:
    """Prints what in a folder was not taken for an image."""
    for line in lines:
        print(sentence(f"left out: {line}"), file=sys.stderr)


def print_summary(training: "Training") -> None:
    """The evaluation on the test images, and the run directory."""
    assert training.test is not None
    if training.stopped_early:
        print(training.stopped_early)
    print_evaluation(training.test)
    print(f"\nrun: {training.directory}")


def print_evaluation(evaluation: "Evaluation") -> None:
    """The errors, the metrics of each class and, where they are few, the confusion table."""
    print(f"\n{evaluation}")
    if evaluation.data:
        print(one_line(f"images: {evaluation.data}"))
    for weights in evaluation.weights:
        of = "" if weights["epoch"] is None else f", of epoch {weights['epoch']}"
        print(one_line(f"weights: {weights['file']}{of}"))
    print(f"balanced accuracy {evaluation.balanced_accuracy:.2f} %, the mean recall of the classes")
    _print_classes(evaluation)
    if len(evaluation.classes) <= SHOWN_CLASSES:
        _print_confusion(evaluation)


def print_confidence(evaluation: "Evaluation") -> None:
    """The views of each image, the calibration error and the most confident mistakes."""
    views = f"{evaluation.views} view{'s' * (evaluation.views != 1)}"
    print(f"each image was seen in {views}; calibration error {evaluation.calibration_error:.2f} %")
    if evaluation.mistakes:
        print("most confident mistakes:")
    for mistake in evaluation.mistakes[:SHOWN_MISTAKES]:
        name = mistake.image if isinstance(mistake.image, str) else f"image {mistake.image}"
        prediction = (
            f"{name}: predicted {mistake.predicted} with {100 * mistake.probability:.1f} %, "
        )
        print(f"  {one_line(prediction)} true class {one_line(mistake.label)}")


def _print_classes(evaluation: "Evaluation") -> None:
    """The metrics of each class; of many classes, of those with the lowest recall."""
    names, images = evaluation.classes, evaluation.support
    shown = list(range(len(names)))
    if len(names) > SHOWN_CLASSES:
        print("classes with the lowest recall:")
        shown = sorted(filter(images.__getitem__, shown), key=evaluation.recall.__getitem__)[:WORST]
    cells = [[str(i), str(images[i]), *evaluation.measures(i), one_line(names[i])] for i in shown]
    head = ["", "images", "recall %", "precision %", "F1 %", "class"]
    print("\n".join(align([head, *cells], left=("class",))))


def _print_confusion(evaluation: "Evaluation") -> None:
    from rich.table import Table

    print("\nrows: true class; columns: predicted class")
    table = Table(box=None, padding=(0, 1))
    for name in ("", *map(str, range(len(evaluation.classes)))):
        table.add_column(name, justify="right", no_wrap=True)
    for i, row in enumerate(evaluation.confusion):
        cells = [str(count or ".") for count in row]
        cells[i] = f"[bold]{cells[i]}[/]"
        table.add_row(str(i), *cells)
    console().print(table)
