"""From a network to its design."""

from collections import Counter
from dataclasses import replace

from torch import nn

from classicnets.layers.wiring import Aside, Concat, Network, Residual
from classicnets.models.googlenet import GoogLeNet

from .fold import fold
from .kinds import Shape, kind_of
from .tree import (
    ASIDE,
    RESIDUAL,
    SEQUENCE,
    SIDE_BY_SIDE,
    Block,
    Design,
    Item,
    Layer,
    Line,
)

RUNS = (Network.run, GoogLeNet.run)  # the ways through the stages that a design can say
IN_SEQUENCE = (nn.Sequential, Aside)


def describe(network: nn.Module, size: Shape, comment: str = "") -> Design:
    """The design of a network for images of `size`, (c, h, w).

    It holds the layers and how they are joined, not the weights. Raises a ValueError that names
    the module which a design cannot hold.

    >>> describe(Network(flatten=nn.Flatten(), fc=nn.Linear(48, 2)), (3, 4, 4)).lines[0][0].name
    'fc'
    """
    body = _sequence(network, "")
    _require_unshared(network)
    lines = _without_flatten(body.lines)
    lines = tuple((replace(item, name=item.name),) for (item,) in lines)
    return fold(Design(size, lines, comment=comment))


def _require_unshared(network: nn.Module) -> None:
    count = Counter(id(m) for _, m in network.named_modules(remove_duplicate=False))
    for name, module in network.named_modules():
        if count[id(module)] > 1:
            raise ValueError(
                f"{name} is used twice in the network; a design has a layer for each name"
            )
    if len(list(network.parameters())) < len(
        list(network.named_parameters(remove_duplicate=False))
    ):
        raise ValueError("two layers of the network share a weight, which a design cannot hold")


def _sequence(module: nn.Module, path: str) -> Block:
    whole = isinstance(module, Network) and type(module).run in RUNS
    if not whole and type(module) not in IN_SEQUENCE:
        raise ValueError(
            f"{path or 'the network'} is a {type(module).__name__}, which has its own forward; "
            "a design holds chains, Concat and Residual of the layers in docs/designs.md"
        )
    lines = tuple((_item(child, name, path),) for name, child in module.named_children())
    return Block(ASIDE if isinstance(module, Aside) else SEQUENCE, lines)


def _item(module: nn.Module, name: str, path: str) -> Item:
    path = f"{path}.{name}" if path else name
    if type(module) is Concat:
        lines = tuple((_item(child, key, path),) for key, child in module.named_children())
        return Item(Block(SIDE_BY_SIDE, lines), name)
    if type(module) is Residual:
        return Item(_residual(module, path), name)
    found = kind_of(module)
    if found is None:
        if any(True for _ in module.children()):
            return Item(_without_flatten_in(_sequence(module, path)), name)
        raise ValueError(
            f"{path} is {module}, which a design cannot hold; docs/designs.md lists what it can"
        )
    kind, values = found
    return Item(Layer(kind.name, tuple((kind.options | values).items())), name)


def _residual(module: Residual, path: str) -> Block:
    if type(module.body) is not nn.Sequential:
        raise ValueError(f"{path}.body is a {type(module.body).__name__}, not a chain of layers")
    if type(module.relu) not in (nn.ReLU, nn.Identity):
        raise ValueError(
            f"{path}.relu is {module.relu}; after an addition a design has relu or nothing"
        )
    shortcut: Line = ()
    if type(module.shortcut) is not nn.Identity:
        shortcut = (_item(module.shortcut, "shortcut", path),)
    body = _without_flatten_in(_sequence(module.body, f"{path}.body"))
    return Block(RESIDUAL, body.lines, shortcut, type(module.relu) is nn.ReLU)


def _without_flatten_in(block: Block) -> Block:
    return replace(block, lines=_without_flatten(block.lines))


def _without_flatten(lines: tuple[Line, ...]) -> tuple[Line, ...]:
    """Without the flattening that a design has by itself before a layer that reads values."""
    kept = []
    for i, (item,) in enumerate(lines):
        after = lines[i + 1][0].what if i + 1 < len(lines) else None
        implied = isinstance(after, Layer) and after.of.flat and item.name == "flatten"
        if not (implied and isinstance(item.what, Layer) and item.what.kind == "flatten"):
            kept.append((item,))
    return tuple(kept)
