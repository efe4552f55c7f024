"""Which recipe a network is trained by: its paper's, the modern one, or one from a file."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from classicnets import catalog
from classicnets.data.images import Splits
from classicnets.data.scaling import Standardise
from classicnets.designs.lint import ends_in_maps
from classicnets.designs.reader import read
from classicnets.layers.wiring import Network
from classicnets.measure.sizes import scores_shape
from classicnets.recipes import FOR_SETS, MORE
from classicnets.recipes.adapt import NOT_MIRRORED
from classicnets.recipes.fast import fast
from classicnets.recipes.finetune import fine_tune
from classicnets.support.errors import suggest
from classicnets.support.modules import evaluation_mode
from classicnets.support.named_code import run_file
from classicnets.support.names import as_path, as_text
from classicnets.training.recipe.init import AsBuilt, HeNormal, Init
from classicnets.training.recipe.overrides import override
from classicnets.training.recipe.recipe import CustomPart, Recipe
from classicnets.training.recipe.schedules import Schedule, scaled
from classicnets.training.recipe.shorthand import FORMS
from classicnets.training.run.directory import Run

TUNED = "fine-tune"  # the recipe where there are weights to start from
# what an override may name
SETTINGS = {*(field.name for field in fields(Recipe)), *FORMS}


MOST_IN_HEAD = 5_000_000  # parameters by which other classes change a network: 4,096 a class


class Target(NamedTuple):
    """A network to train: its name, its default recipe, its input channels and its builder.

    `init` is what "fast" starts from: a network of your own keeps the values it has. `design` is
    the text of a design file, of which the run keeps a copy. A `published` network has the recipe
    of its paper.
    """

    name: str
    recipe: Recipe
    channels: int
    build: Callable[..., nn.Module]
    init: Init = AsBuilt()
    published: bool = False
    design: str = ""


def resolve_network(
    network: str | nn.Module | Callable[..., nn.Module], data: str | Splits
) -> Target:
    """The network of this name or builder, or this module, to be trained on these data."""
    if not isinstance(network, nn.Module):
        entry = catalog.find(network)
        channels, side, _ = entry.input
        if entry.paper:
            return Target(entry.name, entry.recipe, channels, entry.build, HeNormal(), True)
        if entry.design:
            if reason := ends_in_maps(read(entry.design)):
                raise ValueError(f"{entry.name}: {reason}")
            init = HeNormal()
            recipe = _fast(side, channels, data, init)
            return Target(entry.name, recipe, channels, entry.build, init, design=entry.design)
        path, colon, builder = entry.name.rpartition(":")
        name = f"{as_text(Path(as_path(path)).resolve())}:{builder}" if colon else builder
        return Target(name, _fast(side, channels, data), channels, entry.build)
    convs = (m for m in network.modules() if isinstance(m, nn.modules.conv._ConvNd))
    kernels = (p.shape[1] for p in network.parameters() if p.ndim == 4)
    channels, side = next((conv.in_channels for conv in convs), next(kernels, 3)), 224
    if isinstance(data, Splits):
        channels, side = data.channels, int(data.train.sizes.min())
    recipe = _fast(side, channels, data)
    return Target(type(network).__name__, recipe, channels, lambda **_: network)


def choose_recipe(
    target: Target, recipe: str | Recipe | None, data: str | Splits, start: Run | None = None
) -> Recipe:
    """The recipe asked for: a Recipe, "paper", "fast", "fine-tune", another of the paper's, a file,
    or None: then "fine-tune" where a run is given to start from, else the paper's.

    Raises a ValueError for a name that is none of these.
    """
    if isinstance(recipe, Recipe):
        return recipe
    modern = _fast(target.recipe.crop, target.channels, data, target.init)
    named = {"paper": target.recipe, "fast": modern}
    for family, others in MORE.items():
        named |= others if target.name.startswith(family) else {}
    if recipe == TUNED or (recipe is None and start is not None):
        return _tuned(target, data, start)
    if recipe is None:
        own = FOR_SETS.get((target.name, data)) if isinstance(data, str) else None
        return own or target.recipe
    if ".py" in recipe:
        return load_recipe(recipe)
    if recipe not in named:
        raise ValueError(f"no recipe {recipe!r}; {suggest(recipe, [*named, TUNED, 'FILE.py'])}")
    return named[recipe]


def adaptable(
    target: Target, chosen: Recipe, recipe: str | Recipe | None, data: str | Splits
) -> Recipe | None:
    """The chosen recipe where it may be adapted to few images, as adapt's `source`.

    Not one of your own, which you wrote for your data, or one that was written for these data.
    """
    own = isinstance(recipe, Recipe) or ".py" in (recipe or "")
    for_these = recipe is None and isinstance(data, str) and (target.name, data) in FOR_SETS
    return None if own or for_these else chosen


def macs_on_cpu(target: Target, recipe: Recipe, device: torch.device) -> float | int:
    """The multiply-adds for an image, where a CPU trains a network of the catalogue; else 0."""
    entry = catalog.CATALOG.get(target.name)
    if entry is None or device.type != "cpu":
        return 0
    return entry.macs * (recipe.crop / entry.input[1]) ** 2


def set_by_hand(
    before: Recipe,
    wanted: Recipe,
    epochs: int | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> set[str]:
    """The fields that the user has set, also to the value that they had, or by a short form."""
    named = {name.partition(".")[0] for name in overrides or ()}
    named |= {"epochs"} if epochs is not None else set()
    return {
        f.name
        for f in fields(Recipe)
        if f.name in named or getattr(wanted, f.name) != getattr(before, f.name)
    }


def with_overrides(
    recipe: Recipe, epochs: int | None = None, overrides: Mapping[str, Any] | None = None
) -> Recipe:
    """The recipe made shorter or longer in proportion, and with some fields changed."""
    if epochs is not None:
        recipe = replace(recipe, epochs=epochs, steps=None)
    return override(recipe, overrides) if overrides else recipe


def load_recipe(name: str) -> Recipe:
    """The recipe in `path/to/file.py` if it defines one, else in `path/to/file.py:NAME`.

    Recipes that the file only imports from this package do not count. Raises a ValueError for a
    file that cannot be read or run, and where the name is missing or is not a recipe.
    """
    path, _, wanted = (name, "", "") if name.endswith(".py") else name.rpartition(":")
    if not path:
        raise ValueError(f"a recipe in a file is written path/to/file.py:NAME, not {name!r}")
    defined = vars(run_file(Path(path)))
    found = {key: value for key, value in defined.items() if isinstance(value, Recipe)}
    if wanted and wanted not in found:
        raise ValueError(
            f"{path} has no recipe {wanted!r}" + f"; {suggest(wanted, found)}" * bool(found)
        )
    if wanted:
        return found[wanted]
    own = {key: value for key, value in found.items() if not _is_ours(value)} or found
    if len(own) == 1:
        return next(iter(own.values()))
    if not own:
        raise ValueError(f"{path} defines no recipe, no classicnets.Recipe")
    raise ValueError(f"{path} has {', '.join(own)}; name one, as in {path}:{next(iter(own))}")


def _fast(side: int, channels: int, data: str | Splits, init: Init = AsBuilt()) -> Recipe:  # noqa: B008
    """It mirrors neither grey images nor sets whose images would then mean something else."""
    return fast(side, _mirrored(channels, data), init)


def _tuned(target: Target, data: str | Splits, start: Run | None) -> Recipe:
    """Size and pixels are those of the weights of a run, or of the network; LeNet-5, whose scores
    are distances, keeps its loss, at half the rate of its recipe "fast" too."""
    flip = _mirrored(target.channels, data)
    then = start.config.recipe if start else fast(target.recipe.crop)
    pixels = Standardise() if isinstance(then.pixels, CustomPart) else then.pixels
    normalised = not (target.published or target.design) or _normalises(target)
    tuned = fine_tune(then.side, then.crop, flip, pixels, target.init, normalised)
    for family, others in MORE.items():
        if target.name.startswith(family) and (own := others.get("fast")):
            assert isinstance(own.lr, Schedule)
            tuned = replace(tuned, loss=own.loss, lr=scaled(own.lr, 0.5))
    return tuned


def _normalises(target: Target) -> bool:
    with torch.device("meta"):
        network = target.build(channels=target.channels)
    return any(isinstance(m, nn.BatchNorm2d) for m in network.modules())


def _mirrored(channels: int, data: str | Splits) -> bool:
    name = data if isinstance(data, str) else data.name
    return channels > 1 and name not in NOT_MIRRORED


def _is_ours(recipe: Recipe) -> bool:
    modules = (m for name, m in sys.modules.items() if name.startswith("classicnets.recipes."))
    return any(value is recipe for module in modules for value in vars(module).values())


def fit_to_network(
    recipe: Recipe, network: nn.Module, name: str, image: tuple[int, int, int], classes: int
) -> tuple[Recipe, dict[str, str]]:
    """The recipe, without progressive resizing where the network takes one size only; and why.

    `image` is (c, h, w). Raises a ValueError when network, data and recipe do not fit together.
    """
    for count, images in ((2, "two images"), (1, "one image")):
        shape = (count, *image)
        output = scores_shape(network, shape) or _output_shape(network, shape)
        if output != (count, classes):
            raise ValueError(
                f"{name} gives {output} for {images} of {classes} classes; "
                f"it should give ({count}, {classes})"
            )
    if recipe.progressive_resizing is None:
        return recipe, {}
    small = recipe.progressive_resizing(recipe.crop, 0.0)
    try:
        scores_shape(network, (2, image[0], small, small))
    except ValueError:
        reason = f"the network takes {recipe.crop} pixels, not the {small} of the first epochs"
        return replace(recipe, progressive_resizing=None), {"progressive_resizing": reason}
    return recipe, {}


@torch.no_grad()
def _output_shape(network: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the output for blank images, for a network whose forward depends on values."""
    try:
        with evaluation_mode(network.cpu()):
            return tuple(network(torch.zeros(shape)).shape)
    except Exception as error:  # anything can happen in your own network
        raise ValueError(f"the network fails on blank images of {shape}: {error}") from error


def recognised(network: nn.Module) -> str:
    """The name of the network of the catalogue that has the same layers; empty for any other.

    >>> recognised(catalog.build("plain20", classes=3))
    'plain20'
    """
    if not isinstance(network, Network):
        return ""
    count = sum(p.numel() for p in network.parameters())
    kept = [entry for entry in catalog.CATALOG.values() if abs(entry.params - count) < MOST_IN_HEAD]
    weights = [tensor for tensor in network.state_dict().values() if tensor.ndim > 1]
    if not weights:
        return ""
    sizes = {"classes": len(weights[-1]), "channels": weights[0].shape[1]}
    for entry in sorted(kept, key=lambda entry: abs(entry.params - count)):
        with torch.device("meta"):
            ours = entry.build(**sizes)
        if repr(ours) == repr(network):
            return entry.name
    return ""
