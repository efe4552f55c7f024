"""What is printed of a training before it starts: its facts, and what is probably not meant."""

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from classicnets import catalog
from classicnets.recipes.adapt import FEW_IMAGES
from classicnets.recipes.fast import FAST
from classicnets.support.errors import call, first_few, option, setting
from classicnets.support.names import visible
from classicnets.training.recipe.init import AsBuilt, FromRun
from classicnets.training.recipe.layer_rates import HeadFirst
from classicnets.training.recipe.recipe import Recipe, shown
from classicnets.training.run.loop import has_ended

if TYPE_CHECKING:
    from .train import Training

Counts = Mapping[str, tuple[int, int, int]]  # class -> training, validation and test images

SHOWN_CLASSES = 20  # with more, the smallest and the largest stand for all
FEW = 3  # smallest and largest classes that stand for many
IMBALANCED = 5  # times as many images; of two such classes, always guessing one is right in 83 %
SHOWN_NAMES = 8  # of frozen parameters
FEW_STEPS = 300  # fewer hardly move a network from its initial values
# per second in training on two cores, measured: 0.9e11 to 1.6e11, and 1.6e11 to 4.8e11
CPU_FLOPS = {"fp32": 1e11, "bf16": 2.4e11}
LONG = 600  # seconds; small images are trained on in less


def introduction(training: "Training") -> Iterator[str]:
    """The network, its recipe, the data, and how steps are executed, line by line."""
    recipe, splits = training.recipe, training.splits
    yield f"{training.config.network}, recipe source: {recipe.cite}"
    length = _length(recipe.epochs, recipe.steps)
    parts = ", ".join(map(shown, (recipe.optimizer, recipe.lr, recipe.loss)))
    yield f"{length}, batch {recipe.batch}, {parts}"
    yield from _choice_of_recipe(training)
    adapted = training.adapted or {}
    for name, reason in recipe.assumed.items():
        if name not in {*adapted, *training.given}:
            yield f"  assumed {name}: {reason}"
    for name, reason in adapted.items():
        yield f"  adapted {name}: {reason}"
    for name, (ours, paper) in _differences(training.config.differences).items():
        yield f"  differs from the paper: {name} {ours} (paper: {paper})"
    yield from _starting_point(training)
    yield str(splits)
    yield from class_sizes(splits.counts())
    yield _input(training)
    yield _steps(training)
    yield from _execution(training)


def advice(training: "Training") -> Iterator[str]:
    """What is probably not meant, and what to do."""
    if not training.state.step:
        yield from _imbalance(training.splits.counts(), training.recipe)
    yield from _too_short(training)
    yield from _too_long(training)


def _choice_of_recipe(training: "Training") -> Iterator[str]:
    """Why it is this recipe, where nobody has chosen it."""
    origin = training.run.notes.get("origin") or {}
    unasked = not origin.get("recipe") and training.recipe.cite == FAST.cite
    if training.config.network not in catalog.CATALOG and unasked:
        yield "  recipe fast: a network of your own has none of a paper"


def _input(training: "Training") -> str:
    """What the network reads, and how images become that."""
    c, crop, _ = training.config.input
    side, size = training.config.side, training.splits.original
    text = f"input {c}x{crop}x{crop}"
    if size:
        grey = "read in grey, " * (c == 1)
        text += f": images, the median {size[1]}x{size[0]} pixels, are {grey}resized"
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
    config = training.config
    epoch, total = config.steps_per_epoch, config.total_steps
    learnt = training.state.step or isinstance(config.recipe.init, FromRun)
    if total >= FEW_STEPS or learnt:
        return
    epochs = math.ceil(FEW_STEPS / epoch)
    in_steps = config.recipe.steps
    better = setting("steps", FEW_STEPS) if in_steps else option("epochs", epochs)
    longer = FEW_STEPS if in_steps else epochs * epoch
    yield (
        f"{_length(None, total)} will hardly train a network, which takes a few hundred; the same "
        f"command with {better} takes {longer}"
    )


def _too_long(training: "Training") -> Iterator[str]:
    """How long a CPU takes for few large images, and which network takes minutes."""
    config = training.config
    entry = catalog.CATALOG.get(config.network)
    on_cpu = training.state.totals.device.type == "cpu"
    if not entry or not on_cpu or config.images[0] >= FEW_IMAGES or training.state.step:
        return
    pixels = (config.input[1] / entry.input[1]) ** 2
    # forward and backward are three passes, a multiply-add is two operations
    images = config.images[0] * config.total_steps / config.steps_per_epoch
    seconds = 6 * entry.macs * pixels * images / CPU_FLOPS[config.execution.precision]
    if seconds > LONG:
        yield (
            f"two CPU cores take about {seconds / 60:.0f} minutes for this; in a few minutes a "
            f"small network learns from such a folder: "
            f"{call('train', 'resnet20', data=config.data)}"
        )


def class_sizes(counts: Counts) -> Iterator[str]:
    """The images of each class; of many classes the smallest and the largest ones."""
    lines = {
        name: f"{visible(name, chr(10))}: {' + '.join(map(str, row))}"
        for name, row in counts.items()
    }
    if len(lines) <= SHOWN_CLASSES:
        yield from (f"  {line}" for line in lines.values())
        return
    order = sorted(counts, key=lambda name: counts[name][0])
    for title, names in (("smallest", order[:FEW]), ("largest", order[: -FEW - 1 : -1])):
        yield f"  {title}: {', '.join(lines[name] for name in names)}"


def _imbalance(counts: Counts, recipe: Recipe) -> Iterator[str]:
    """What to say of classes of very unequal size, unless the recipe balances them."""
    sizes = {name: row[0] for name, row in counts.items()}
    small, large = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
    balanced = recipe.class_weights or recipe.sampler
    if not balanced and sizes[large] >= IMBALANCED * max(1, sizes[small]):
        weights, sampler = (
            setting(name, "balanced", flag=True) for name in ("class_weights", "sampler")
        )
        yield (
            f"the classes are imbalanced: {large!r} has {sizes[large] / max(1, sizes[small]):.3g} "
            f"times as many training images as {small!r} ({sizes[large]:,} and {sizes[small]:,}), "
            f"and a network may learn to ignore small classes; {weights} or {sampler} makes all "
            "classes count the same"
        )


def _starting_point(training: "Training") -> Iterator[str]:
    """The values that training starts from, and what of the network stays as it is."""
    init, step = training.recipe.init, training.state.step
    if step and has_ended(training.state, training.config):
        yield (
            f"weights: those of step {step:,}, the last; nothing is left to train "
            f"({option('epochs', 2 * training.config.epochs)} trains on)"
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
    yield from _held_back(training)


def _held_back(training: "Training") -> Iterator[str]:
    """Which layers do not learn, and which learn later or more slowly."""
    recipe, stages = training.recipe, training.state.stages
    resting = {id(p) for stage in stages for p in stage.parameters}
    named = dict(training.network.named_parameters())
    frozen = [n for n, p in named.items() if not p.requires_grad and id(p) not in resting]
    if recipe.freeze is not None:
        count = sum(named[name].numel() for name in frozen)
        whole = sum(p.numel() for p in named.values())
        yield f"frozen up to {recipe.freeze}: {count:,} of {whole:,} parameters"
    elif frozen:
        yield f"frozen: {first_few(frozen, SHOWN_NAMES)}"
    if isinstance(rates := recipe.layer_rates, HeadFirst) and len(stages) > 1:
        *body, head = stages
        epochs = training.config.epochs
        factors, alone = rates(epochs, epochs, len(body)), rates.head_epochs(epochs)
        first = f"{head.name} alone for {_length(alone, None)}, then " if alone else ""
        yield (
            f"learning rates: {first}all stages: {body[0].name} at {factors[0]:g} times its rate, "
            f"{body[-1].name} at {factors[-2]:g}"
        )
    evaluating = set(training.state.evaluating)
    names = [n for n, m in training.network.named_modules() if m in evaluating]
    if names and recipe.freeze is None:
        yield f"in evaluation mode throughout: {first_few(names, SHOWN_NAMES)}"


def _not_learnt(init: FromRun) -> str:
    """Which layers are not taken from the run, and what initialises them."""
    if not init.new and init.layers is None:
        return ", all layers"
    drawn = type(init.rest).__name__
    drawn = "as the builder left it" if drawn == "AsBuilt" else f"drawn by {drawn}"
    if init.layers is None:
        are = "is" if len(init.new) == 1 else "are"
        return f", except {first_few(init.new, SHOWN_NAMES)}, which {are} new, {drawn}"
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
