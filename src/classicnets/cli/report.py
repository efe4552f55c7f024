"""What is printed before and after a training, and of an evaluation."""

import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from classicnets.support.errors import first_few
from classicnets.support.tables import align

from .commands import command
from .terminal import console, one_line

if TYPE_CHECKING:
    from classicnets.api.train import Training
    from classicnets.catalog import Entry
    from classicnets.data.images import Splits
    from classicnets.evaluation.metrics import Evaluation
    from classicnets.training.recipe.init import FromRun
    from classicnets.training.recipe.recipe import Recipe

SHOWN_CLASSES = 20  # with more, a confusion table is unreadable
FEW = 3  # smallest and largest classes that stand for many
IMBALANCED = 5  # times as many images; of two such classes, always guessing one is right in 83 %
SHOWN_MISTAKES = 5
SHOWN_NAMES = 8  # of frozen parameters
SHOWN_WARNINGS = 10
WORST = 10  # classes listed in place of a confusion table
FEW_STEPS = 300  # fewer hardly move a network from its initial values
CPU_FLOPS = 1e11  # per second in training on two cores, measured: 0.9e11 to 1.6e11 in fp32
LONG = 600  # seconds; small images are trained on in less


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
    """The network, its recipe, the data, and how steps are executed."""
    from classicnets.training.recipe.recipe import shown

    recipe, splits = training.recipe, training.splits
    print(f"{training.config.network}, recipe source: {recipe.cite}")
    length = _length(recipe.epochs, recipe.steps)
    parts = ", ".join(map(shown, (recipe.optimizer, recipe.lr, recipe.loss)))
    print(f"{length}, batch {recipe.batch}, {parts}")
    adapted = training.adapted or {}
    for name, reason in recipe.assumed.items():
        if name not in adapted:
            print(f"  assumed {name}: {reason}")
    for name, reason in adapted.items():
        print(f"  adapted {name}: {reason}")
    for name, (ours, paper) in _differences(training.config.differences).items():
        print(f"  differs from the paper: {name} {ours} (paper: {paper})")
    for line in _starting_point(training):
        print(line)
    print(splits)
    for line in _class_sizes(splits.counts()):
        print(line)
    if not training.state.step:
        warn(list(_imbalance(splits.counts(), recipe)))
    warn(splits.duplicates, " (run.json names all)")
    print_skipped(splits, " (run.json names all)")
    print(_input(training))
    print(_steps(training))
    for line in _execution(training):
        print(line)
    warn([*_too_short(training), *_too_long(training)])


def _input(training: "Training") -> str:
    """What the network reads, and how images become that."""
    c, crop, _ = training.config.input
    side, size = training.config.side, training.splits.original
    text = f"input {c}x{crop}x{crop}"
    if size:
        text += f": images, the median {size[1]}x{size[0]} pixels, are resized"
        text += f" to {side} on the shorter side and" if side > crop else " and"
        text += f" cropped to {crop}x{crop}"
    return text


def _steps(training: "Training") -> str:
    """The whole length in steps, and that of an epoch."""
    config = training.config
    epoch, total = config.steps_per_epoch, config.total_steps
    epochs = math.ceil(total / epoch)
    return (
        f"{total:,} step{'s' * (total != 1)}: {_length(epochs, None)} of {_length(None, epoch)}, "
        f"batches of {config.recipe.batch}"
    )


def _too_short(training: "Training") -> Iterator[str]:
    """What to say of a training that is too short to learn, and what would do better."""
    from classicnets.training.recipe.init import FromRun

    config = training.config
    epoch, total = config.steps_per_epoch, config.total_steps
    learnt = training.state.step or isinstance(config.recipe.init, FromRun)
    if total >= FEW_STEPS or learnt:
        return
    epochs = math.ceil(FEW_STEPS / epoch)
    better = f"--set steps={FEW_STEPS}" if config.recipe.steps else f"--epochs {epochs}"
    longer = FEW_STEPS if config.recipe.steps else epochs * epoch
    yield (
        f"{_length(None, total)} will hardly train a network, which takes some hundred; the same "
        f"command with {better} takes {longer}"
    )


def _too_long(training: "Training") -> Iterator[str]:
    """How long a CPU takes for few large images, and which network takes minutes."""
    from classicnets import catalog
    from classicnets.recipes.adapt import FEW_IMAGES

    config = training.config
    entry = catalog.CATALOG.get(config.network)
    on_cpu = training.state.totals.device.type == "cpu"
    if not entry or not on_cpu or config.images[0] >= FEW_IMAGES or training.state.step:
        return
    pixels = (config.input[1] / entry.input[1]) ** 2
    # forward and backward are three passes, a multiply-add is two operations
    shown = config.images[0] * config.total_steps / config.steps_per_epoch
    seconds = 6 * entry.macs * pixels * shown / CPU_FLOPS
    if seconds > LONG:
        yield (
            f"two CPU cores take about {seconds / 60:.0f} minutes for this; in a few minutes a "
            f"small network learns from such a folder: "
            f"{command('train', 'resnet20', '--data', config.data)}"
        )


def _class_sizes(counts: Mapping[str, tuple[int, int, int]]) -> Iterator[str]:
    """The images of each class; of many classes the smallest and the largest ones."""
    lines = {name: f"{one_line(name)}: {' + '.join(map(str, row))}" for name, row in counts.items()}
    if len(lines) <= SHOWN_CLASSES:
        yield from (f"  {line}" for line in lines.values())
        return
    order = sorted(counts, key=lambda name: counts[name][0])
    for title, names in (("smallest", order[:FEW]), ("largest", order[: -FEW - 1 : -1])):
        yield f"  {title}: {', '.join(lines[name] for name in names)}"


def _imbalance(counts: Mapping[str, tuple[int, int, int]], recipe: "Recipe") -> Iterator[str]:
    """What to say of classes of very unequal size, unless the recipe balances them."""
    sizes = {name: row[0] for name, row in counts.items()}
    small, large = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
    balanced = recipe.class_weights or recipe.sampler
    if not balanced and sizes[large] >= IMBALANCED * max(1, sizes[small]):
        yield (
            f"the classes are imbalanced: {large!r} has {sizes[large] / max(1, sizes[small]):.3g} "
            f"times as many training images as {small!r} ({sizes[large]:,} and {sizes[small]:,}), "
            "and a network may learn to ignore small classes; --class-weights balanced or "
            "--sampler balanced makes all classes count the same"
        )


def _starting_point(training: "Training") -> Iterator[str]:
    """The values that training starts from, and what of the network stays as it is."""
    from classicnets.training.recipe.init import AsBuilt, FromRun
    from classicnets.training.run.loop import has_ended

    init, step = training.recipe.init, training.state.step
    if step and has_ended(training.state, training.config):
        yield (
            f"weights: those of step {step:,}, the last; nothing is left to train "
            "(--epochs trains on)"
        )
    elif step:
        yield f"weights: those of step {step:,}"
    elif isinstance(init, AsBuilt):
        yield "initial values: as the builder left them"
    elif isinstance(init, FromRun):
        yield f"initial values: learnt in {init.run}{_not_learnt(init)}"
    else:
        name = getattr(init, "__name__", type(init).__name__)
        yield f"initial values: drawn by {name}, the recipe's init"
    frozen = [n for n, p in training.network.named_parameters() if not p.requires_grad]
    if frozen:
        yield f"frozen: {first_few(frozen, SHOWN_NAMES)}"
    evaluating = set(training.state.evaluating)
    if names := [n for n, m in training.network.named_modules() if m in evaluating]:
        yield f"in evaluation mode throughout: {first_few(names, SHOWN_NAMES)}"


def _not_learnt(init: "FromRun") -> str:
    """Which layers are not taken from the run, and what initialises them."""
    if not init.new and init.layers is None:
        return ""
    drawn = type(init.rest).__name__
    drawn = "as the builder left it" if drawn == "AsBuilt" else f"drawn by {drawn}"
    if init.layers is None:
        return f", except {first_few(init.new, SHOWN_NAMES)}, which is new, {drawn}"
    return f": {first_few(init.layers, SHOWN_NAMES)}; the rest is new, {drawn}"


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


def print_skipped(of: "Splits | Evaluation", where: str = " (--json names all)") -> None:
    """Prints which files of a folder could not be read, and what was not taken for an image."""
    warn([f"skipped: {reason}" for reason in of.skipped], where)
    print_left_out(of.left_out)


def print_left_out(lines: Sequence[str]) -> None:
    """Prints what in a folder was not taken for an image."""
    for line in lines:
        print(one_line(f"left out: {line}"), file=sys.stderr)


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
    columns = ("support", "recall", "precision", "f1")
    rows = [
        [
            str(i),
            *(getattr(evaluation, name)[i] for name in columns),
            one_line(evaluation.classes[i]),
        ]
        for i in range(len(evaluation.classes))
    ]
    if len(rows) > SHOWN_CLASSES:
        print("classes with the lowest recall:")
        rows = sorted((row for row in rows if row[1]), key=itemgetter(2))[:WORST]
    cells = [[k, str(n), *(f"{value:.1f}" for value in row), name] for k, n, *row, name in rows]
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
