"""What is printed before and after a training, and of an evaluation."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classicnets.support.errors import first_few

from .terminal import cell, console, one_line

if TYPE_CHECKING:
    from classicnets.api.train import Training
    from classicnets.catalog import Entry
    from classicnets.evaluation.metrics import Evaluation

SHOWN_CLASSES = 20  # with more, a confusion table is unreadable
SHOWN_MISTAKES = 5
SHOWN_NAMES = 8  # of frozen parameters
SHOWN_WARNINGS = 10
WORST = 10  # classes listed in place of a confusion table


def is_first_process() -> bool:
    """Whether this is the only process, or rank 0 of those that torchrun started."""
    return os.environ.get("RANK", "0") == "0"


def is_first_to_fail() -> bool:
    """Whether this process is to tell the user of its error: no other one has failed before."""
    module = sys.modules.get("classicnets.training.execution.distributed")
    return module.is_first_to_fail() if module else is_first_process()


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


def warn_of_design(network: "str | Entry") -> None:
    """Prints on stderr what is probably not meant in a design file."""
    from classicnets.api.design import design_warnings

    for warning in design_warnings(network):
        print(f"classicnets: warning: {warning}", file=sys.stderr)


def print_introduction(training: "Training") -> None:
    """The network, its recipe, the data, and how steps are executed."""
    recipe, splits = training.recipe, training.splits
    print(f"{training.config.network}, recipe source: {recipe.cite}")
    length = _length(recipe.epochs, recipe.steps)
    print(f"{length}, batch {recipe.batch}, {recipe.optimizer}, {recipe.lr}, {recipe.loss}")
    for name, reason in recipe.assumed.items():
        print(f"  assumed {name}: {reason}")
    for name, reason in (training.adapted or {}).items():
        print(f"  adapted {name}: {reason}")
    for name, (ours, paper) in _differences(training.config.differences).items():
        print(f"  differs from the paper: {name} {ours} (paper: {paper})")
    for line in _starting_point(training):
        print(line)
    sizes = splits.sizes
    print(
        f"{splits.name}: {len(splits.classes)} classes; {sizes[0]} images for training, "
        f"{sizes[1]} for validation, {sizes[2]} for test"
    )
    for name, counts in list(splits.counts().items())[:SHOWN_CLASSES]:
        print(f"  {one_line(name)}: {' + '.join(map(str, counts))}")
    if (more := len(splits.classes) - SHOWN_CLASSES) > 0:
        print(f"  and {more} more classes")
    warn([f"skipped: {reason}" for reason in splits.skipped], " (run.json names all)")
    warn(splits.duplicates, " (run.json names all)")
    print_left_out(splits.left_out)
    for line in _execution(training):
        print(line)


def _starting_point(training: "Training") -> Iterator[str]:
    """The values that training starts from, and what of the network stays as it is."""
    from classicnets.training.recipe.init import AsBuilt

    init, step = training.recipe.init, training.state.step
    if step and step >= training.config.total_steps:
        yield f"weights: those of step {step:,}, the last; nothing is left to train"
    elif step:
        yield f"weights: those of step {step:,}"
    elif isinstance(init, AsBuilt):
        yield "initial values: as the builder left them"
    else:
        name = getattr(init, "__name__", type(init).__name__)
        yield f"initial values: drawn by {name}, the recipe's init"
    frozen = [n for n, p in training.network.named_parameters() if not p.requires_grad]
    if frozen:
        yield f"frozen: {first_few(frozen, SHOWN_NAMES)}"
    evaluating = set(training.state.evaluating)
    if names := [n for n, m in training.network.named_modules() if m in evaluating]:
        yield f"in evaluation mode throughout: {first_few(names, SHOWN_NAMES)}"


def _execution(training: "Training") -> Iterator[str]:
    """How steps are executed, and the last batch of an epoch where it is larger than the others."""
    if training.chosen:
        yield f"execution: {training.chosen}"
    *_, last = training.config.batches()
    if (left := last - training.recipe.batch) > 0:
        needed = training.config.smallest
        yield f"last batch: {last} images, with the {left} left over; a batch needs {needed}"


def _length(epochs: int | str | None, steps: int | str | None) -> str:
    count, unit = (steps, "step") if isinstance(steps, int) else (epochs, "epoch")
    return f"{count:,} {unit}{'s' * (count != 1)}"


def _differences(differences: Mapping[str, tuple[Any, Any]]) -> dict[str, tuple[Any, Any]]:
    """The differences, where epochs in place of steps are one: of the length."""
    if not {"epochs", "steps"} <= differences.keys():
        return dict(differences)
    (epochs, paper_epochs), (steps, paper_steps) = differences["epochs"], differences["steps"]
    others = {name: pair for name, pair in differences.items() if name not in ("epochs", "steps")}
    return {"length": (_length(epochs, steps), _length(paper_epochs, paper_steps)), **others}


def warn(lines: Sequence[str], where: str = "") -> None:
    """Prints the first lines as warnings, and how many more there are and where."""
    for line in lines[:SHOWN_WARNINGS]:
        print(one_line(f"warning: {line}"), file=sys.stderr)
    if (more := len(lines) - SHOWN_WARNINGS) > 0:
        print(f"warning: and {more} more like this{where}", file=sys.stderr)


def print_left_out(lines: Sequence[str]) -> None:
    """Prints what in a folder was not taken for an image."""
    for line in lines:
        print(one_line(f"left out: {line}"), file=sys.stderr)


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
        told = f"{name}: predicted {mistake.predicted} with {100 * mistake.probability:.1f} %, "
        print(f"  {one_line(told)} true class {one_line(mistake.label)}")


def _print_confusion(evaluation: "Evaluation") -> None:
    from rich.table import Table

    print("rows: true class; columns: predicted class")
    table = Table(box=None, padding=(0, 1))
    table.add_column("")
    for i in range(len(evaluation.classes)):
        table.add_column(str(i), justify="right", no_wrap=True)
    table.add_column("recall %", justify="right", no_wrap=True)
    for i, (name, row) in enumerate(zip(evaluation.classes, evaluation.confusion, strict=True)):
        cells = [str(count or ".") for count in row]
        cells[i] = f"[bold]{cells[i]}[/]"
        label = name if name == str(i) else f"{i} {cell(name)}"
        table.add_row(label, *cells, f"{evaluation.recall[i]:.1f}")
    console().print(table)


def _print_worst(evaluation: "Evaluation") -> None:
    worst = sorted(zip(evaluation.recall, evaluation.classes, strict=True))[:WORST]
    print("classes with the lowest recall:")
    for recall, name in worst:
        print(f"  {recall:5.1f} %  {one_line(name)}")
