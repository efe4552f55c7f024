"""Runs read back: their networks, as they began and as they ended.

A run directory is data, possibly somebody else's: the Python file of a network of your own runs
only when the user names it, never because run.json does.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from classicnets import catalog
from classicnets.data.crops import ScaleJitter
from classicnets.evaluation.protocols import TrainScale
from classicnets.support.arguments import answering
from classicnets.support.devices import network_device
from classicnets.support.errors import one_line, option
from classicnets.support.meta import materialise
from classicnets.support.modules import require_float32, require_plain, without_values
from classicnets.training.execution.execution import Execution, resolve_execution
from classicnets.training.execution.inference import Inference
from classicnets.training.recipe.recipe import custom_parts
from classicnets.training.run.config import RunConfig
from classicnets.training.run.directory import DESIGN, Run

from .opened import open_trained

BATCH = 64  # images evaluated together

# a module, its builder, or the name of either: your own network, where a run is of one
Source = str | nn.Module | Callable[..., nn.Module] | None


@answering()
def load(run: str | Path, network: Source = None) -> nn.Module:
    """The network of a run with its best weights, in evaluation mode.

    A run of your own network needs it again as `network`: the module, its builder, or
    `path/to/file.py:builder`. Raises ValueError when the run is missing, damaged, or of another
    network.
    """
    return load_best(open_trained(run), network)


def load_best(run: Run, network: Source) -> nn.Module:
    """The network of an opened run with its best weights, in evaluation mode."""
    ours = network is None  # whose values are all in the file
    with without_values() if ours else nullcontext():
        module = build(run, network)
    run.load_weights(module, assign=ours)
    if network is not None:
        _require_scores(module.eval(), run.config)
    return module.eval()


def build(run: Run, network: Source) -> nn.Module:
    """The run's network as its builder makes it, or the module given.

    Raises ValueError for a run of a network of your own without `network`.
    """
    config = run.config
    if isinstance(network, nn.Module):
        return with_sizes(network, config.input, config.seed)
    builder = (_published(run) if network is None else catalog.find(network)).build
    return build_seeded(builder, len(config.classes), config.input, config.seed)


def build_initial(run: Run, network: Source) -> nn.Module | None:
    """The run's network with the values that training began with, or None if these are not known,
    as of a module, or when the recipe's `init` is a part of your own.
    """
    if isinstance(network, nn.Module) or any(custom_parts(run.config.recipe.init)):
        return None
    from classicnets.training.run import loop  # noqa: PLC0415  # what has learnt needs none

    built = build(run, network)
    loop.initialise(built, run.config.recipe, run.config.seed)
    return built


def _require_scores(network: nn.Module, config: RunConfig) -> None:
    """Raises a ValueError when a network of your own fails on a blank image, or its scores are not
    one for each class.
    """
    blank = torch.zeros(1, *config.input, device=network_device(network))
    try:
        with torch.no_grad():
            shape = tuple(network(blank).shape)
    except Exception as error:  # anything can happen in your own network
        raise ValueError(f"the network fails on a blank image: {one_line(error)}") from error
    if shape != (1, len(config.classes)):
        raise ValueError(
            f"the network gives {shape} for an image; the run has {len(config.classes)} classes"
        )


def _published(run: Run) -> catalog.Entry:
    name = run.config.network
    if entry := catalog.CATALOG.get(catalog.ALIASES.get(name, name)):
        return entry
    if name.endswith(".net"):
        return catalog.from_design(run.directory / DESIGN)
    like = run.notes.get("like")
    if ".py:" in name or like not in catalog.CATALOG:
        own = option("network", name if ".py:" in name else "FILE.py:BUILDER")
        others = " (or a name such as resnet20, where the weights fit it)" * (".py:" not in name)
        raise ValueError(
            f"{run.directory} is a run of your own network {name}, whose code runs only when you "
            f"name it: add {own}{others}"
        )
    raise ValueError(
        f"{run.directory} is a run of a module that was given in Python, of the same layers as "
        f"{like}: add {option('network', like)}, or name your own as FILE.py:BUILDER"
    )


def build_seeded(
    builder: Callable[..., nn.Module], classes: int, shape: tuple[int, int, int], seed: int
) -> nn.Module:
    """A network as built under this seed: what the recipe does not initialise keeps its values.

    `shape` is that of one image, (c, h, w), from which lazy modules take their sizes.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = builder(classes=classes, channels=shape[0])
    return with_sizes(network, shape, seed)


def with_sizes(network: nn.Module, shape: tuple[int, int, int], seed: int) -> nn.Module:
    """The network, whose lazy modules take their sizes and values under this seed.

    Raises a ValueError for a module that is compiled, exported, wrapped or not in float32.
    """
    require_plain(network)
    require_float32(network)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        materialise(network, (2, *shape))
    return network


def for_inference(
    network: nn.Module,
    config: RunConfig,
    execution: Execution = Execution(precision="fp32", accumulation_steps=1),  # noqa: B008
) -> Inference:
    """The network optimized for batches of the run's images."""
    # a protocol may use hooks, which a CUDA graph would not run again
    execution = replace(execution, graph=False)
    return Inference(network, resolve_execution(execution, network, config.input, BATCH)[0])


def train_scale(config: RunConfig) -> TrainScale:
    """The image sizes of training, from which a protocol derives those of the test."""
    sampler = config.recipe.crop_sampler
    jitter = (sampler.low, sampler.high) if isinstance(sampler, ScaleJitter) else None
    return TrainScale(config.side, config.input[1], jitter)
