"""The stages of a network: which are frozen, and how fast each of the others learns."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from torch import nn
from torch.optim import Optimizer

from classicnets.support.errors import option, suggest
from classicnets.training.recipe.init import FromRun, Gaussian, Glorot, HeNormal, LecunUniform
from classicnets.training.recipe.recipe import Recipe

from .state import Stage


def freeze(network: nn.Module, recipe: Recipe) -> None:
    """Freezes what the recipe does, `freeze` and everything before it but for layers that are new.

    Their parameters do not learn, and they are in evaluation mode. The order is that in which the
    network has its layers. Raises a ValueError for a layer that it does not have, and where nothing
    would be left to train.
    """
    if recipe.freeze is None:
        return
    last, named = recipe.freeze, list(network.named_modules())
    names = [name for name, _ in named if name]
    if last not in names:
        near = get_close_matches(last, names, n=1, cutoff=0.5)
        stages = [name for name, _ in network.named_children()]
        raise ValueError(
            f"freeze cannot be {last[:60]!r}, since the network has no such layer; "
            f"{suggest(last, near or stages)}"
        )
    end = max(k for k, (name, _) in enumerate(named) if _within(name, (last,)))
    taken = [(n, m) for n, m in named[: end + 1] if not _within(n, new_layers(recipe))]
    frozen = {id(p) for _, module in taken for p in module.parameters(recurse=False)}
    if not any(p.requires_grad for p in network.parameters() if id(p) not in frozen):
        raise ValueError(
            f"freeze cannot be {last!r}: nothing would be left to train; the last layer is "
            f"{_last_layer(network)}, and any before it can be frozen"
        )
    if not network.training:  # such a network is trained as a whole
        network.train()
    for name, module in taken:
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(False)
        if name and not last.startswith(f"{name}."):
            module.training = False


def require_start(recipe: Recipe) -> None:
    """Raises a ValueError for a recipe that holds layers back though their values are random."""
    held = "freeze" if recipe.freeze is not None else "layer_rates" if recipe.layer_rates else ""
    if held and isinstance(recipe.init, Gaussian | HeNormal | Glorot | LecunUniform):
        raise ValueError(
            f"{held} cannot be {getattr(recipe, held)!r} without weights to start from: it holds "
            f"back layers that have learnt nothing, since {type(recipe.init).__name__} draws them; "
            f"{option('init_from', 'RUN')} gives them"
        )


def divide(network: nn.Module, recipe: Recipe, optimizer: Optimizer) -> tuple[Stage, ...]:
    """The stages of the network, the last of them its head, with parameter groups for each.

    The head is what is new, or the last layer. None where the recipe has one rate for all.
    """
    if recipe.layer_rates is None:
        return ()
    stages = tuple(_stages(network, new_layers(recipe)))
    place = {id(p): k for k, stage in enumerate(stages) for p in stage.parameters}
    groups = [
        {**group, "params": own, "stage": k}
        for group in optimizer.param_groups
        for k in range(len(stages))
        if (own := [p for p in group["params"] if place[id(p)] == k])
    ]
    optimizer.param_groups[:] = groups
    return stages


def new_layers(recipe: Recipe) -> tuple[str, ...]:
    """The layers that do not start from learnt weights."""
    return recipe.init.new if isinstance(recipe.init, FromRun) else ()


def _stages(network: nn.Module, new: Sequence[str]) -> Iterator[Stage]:
    """What the network consists of at its top level; a module that only wraps others is opened."""
    learning = [name for name, module in network.named_modules() if _own(module)]
    heads = [name for name in learning if _within(name, new)] or learning[-1:]
    body = [name for name in learning if name not in heads]
    depth = 1
    deepest = max((name.count(".") + 1 for name in body), default=1)
    while depth < deepest and len({_top(name, depth) for name in body}) == 1:
        depth += 1
    for top in dict.fromkeys(_top(name, depth) for name in body):
        yield _stage(network, top, [n for n in _below(network, top) if n not in heads])
    yield _stage(network, heads[0], heads)


def _stage(network: nn.Module, title: str, names: Sequence[str]) -> Stage:
    modules = [network.get_submodule(name) for name in names]
    parameters = {id(p): p for module in modules for p in _own(module)}
    # the mode of the whole is not that of one of its stages
    parts = tuple(module for module in modules if module is not network)
    return Stage(title, parts, tuple(parameters.values()))


def _below(network: nn.Module, top: str) -> list[str]:
    names = [name for name, _ in network.named_modules()]
    return [name for name in names if _within(name, (top,))] if top else [""]


def _own(module: nn.Module) -> list[nn.Parameter]:
    return [p for p in module.parameters(recurse=False) if p.requires_grad]


def _top(name: str, depth: int) -> str:
    return ".".join(name.split(".")[:depth])


def _within(name: str, layers: Sequence[str]) -> bool:
    return any(f"{name}.".startswith(f"{layer}.") for layer in layers)


def _last_layer(network: nn.Module) -> str:
    return [name for name, m in network.named_modules() if [*m.parameters(recurse=False)]][-1]
