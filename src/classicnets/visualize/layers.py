"""Layers by name, their calls in a forward pass, and hooks on the outputs of these calls.

Hooks are removed again, also after an error. A layer can run several times: `a` stands for the last
of its calls that gives feature maps, or else the last of all, and `a (2)` for its second call, as
`show` prints it. Every method of this package finds the call by `find_calls`.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.jit import ScriptModule
from torch.nn.utils.parametrize import ParametrizationList

from classicnets.support.hooks import temporary_hooks

from .forward import Batch, Image, as_input, class_scores, forward, frozen

POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveMaxPool2d, nn.AdaptiveAvgPool2d)


@dataclass(frozen=True)
class Call:
    """The `number`-th of the `count` calls of a module in a forward pass, from 1; 0 is any call."""

    module: nn.Module
    number: int = 0
    count: int = 0


class _Stop(BaseException):
    """Ends a forward pass early; a BaseException so that no `except Exception` catches it."""


def named_layers(network: nn.Module, aliases: bool = False) -> dict[str, nn.Module]:
    """The layers of a network by name, in order, without the parts of parametrized weights.

    A shared layer is listed under its first name, or with `aliases` under each of them.
    """
    modules = dict(network.named_modules(remove_duplicate=not aliases))
    computed = tuple(  # their ModuleDict: `conv.parametrizations`
        n.rpartition(".")[0] + "." for n, m in modules.items() if isinstance(m, ParametrizationList)
    )
    return {n: m for n, m in modules.items() if n and not f"{n}.".startswith(computed)}


def get_layer(network: nn.Module, name: str) -> nn.Module:
    """The layer of this name, or of this call. Raises a ValueError that suggests the nearest."""
    return _layer_and_number(network, name)[0]


def _layer_and_number(network: nn.Module, name: str) -> tuple[nn.Module, int]:
    layers = named_layers(network, aliases=True)
    path, number = name, 0
    if name not in layers and (numbered := re.fullmatch(r"(.+) \((\d{1,9})\)", name, re.DOTALL)):
        path, number = numbered[1], int(numbered[2])
        if number == 0:
            raise ValueError(f"there is no call {name!r}; the calls of a layer count from 1")
    if path in layers:
        return layers[path], number
    full_names = {n.rpartition(".")[2]: n for n in layers}
    near = get_close_matches(path, [*layers, *full_names], n=3)
    near = dict.fromkeys(full_names.get(n, n) for n in near)
    children = ", ".join(n for n, _ in network.named_children())
    hint = f"did you mean {' or '.join(near)}?" if near else f"its stages are {children}"
    raise ValueError(f"the network has no layer {path!r}; {hint}")


def find_calls(network: nn.Module, x: Batch, names: Sequence[str]) -> dict[str, Call]:
    """The call that each of these names stands for, found on the first of these input tensors.

    Raises a ValueError for an unknown layer, one that does not run, and a call that does not exist.
    """
    wanted = {name: _layer_and_number(network, name) for name in names}
    spatial: dict[str, list[bool]] = {name: [] for name in names}
    every = {name: Call(layer) for name, (layer, _) in wanted.items()}
    with (
        frozen(network),
        torch.no_grad(),
        output_hooks(network, every, lambda name, out: spatial[name].append(_has_positions(out))),
    ):
        try:
            forward(network, as_input(network, x[:1]))
        except ValueError:  # the layers before the error can still be looked at
            if not all(spatial.values()):
                raise
    found = {}
    for name, (layer, number) in wanted.items():
        count = len(spatial[name])
        if not count:
            raise ValueError(f"the layer {name} does not run in a forward pass")
        if number > count:
            times = "once" if count == 1 else f"{count} times"
            raise ValueError(f"there is no call {name!r}; the layer runs {times} in a forward pass")
        last = max((i for i, maps in enumerate(spatial[name], 1) if maps), default=count)
        found[name] = Call(layer, number or last, count)
    return found


@contextmanager
def capture_outputs(
    network: nn.Module, calls: Mapping[str, Call], stop: bool = False
) -> Iterator[dict[str, Tensor]]:
    """Name -> output of the call in the last forward pass, which `stop` ends with the last of them.

    >>> network, x = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()), torch.zeros(1, 1, 5, 5)
    >>> with capture_outputs(network, find_calls(network, x, ["1"])) as captured:
    ...     _ = network(x)
    >>> captured["1"].shape
    torch.Size([1, 2, 3, 3])
    """
    captured: dict[str, Tensor] = {}

    def capture(name: str, out: Any) -> Tensor:
        if not isinstance(out, Tensor):
            raise ValueError(f"{name} returns a {type(out).__name__}, not a tensor")
        captured[name] = out
        if stop and len(captured) == len(calls):
            raise _Stop
        return out.clone()  # the next layer may work in place

    with output_hooks(network, calls, capture):
        yield captured


@contextmanager
def output_hooks(
    network: nn.Module, calls: Mapping[str, Call], callback: Callable[[str, Any], Tensor | None]
) -> Iterator[None]:
    """Calls `callback(name, output)` after each of these calls, in every forward pass.

    A returned tensor replaces the output. Raises a ValueError for a ScriptModule.
    """
    counts: Counter[str] = Counter()
    running = 0  # a network may call itself

    def enter(*_: object) -> None:
        nonlocal running
        if not running:
            counts.clear()
        running += 1

    def leave(*_: object) -> None:
        nonlocal running
        running -= 1

    def hook(name: str, layer: nn.Module, out: Any) -> Tensor | None:
        if layer is not calls[name].module:
            return None  # the copy of the network on which `explain` finds the reason of an error
        counts[name] += 1
        return callback(name, out) if calls[name].number in (0, counts[name]) else None

    for name, module in (("", network), *((name, call.module) for name, call in calls.items())):
        if isinstance(module, ScriptModule):
            what = name or module.original_name
            raise ValueError(f"{what} is a ScriptModule, whose layers and outputs are hidden")
    handles = [
        network.register_forward_pre_hook(enter),
        network.register_forward_hook(leave, always_call=True),
    ]
    handles += [
        call.module.register_forward_hook(lambda layer, _, out, name=name: hook(name, layer, out))
        for name, call in calls.items()
    ]
    with temporary_hooks(handles):
        yield


def layer_outputs(network: nn.Module, x: Batch, calls: Mapping[str, Call]) -> dict[str, Tensor]:
    """Name -> output of the call for these input tensors; what follows them is not computed."""
    with capture_outputs(network, calls, stop=True) as captured:
        with suppress(_Stop):
            forward(network, x)
        if missing := set(calls) - set(captured):
            raise ValueError(f"the layer {min(missing)} does not run for every image")
    return captured


def spatial_layers(network: nn.Module, image: Image) -> dict[str, tuple[int, ...]]:
    """Layer name -> shape (maps, h, w), for layers with more than one position, in running order.

    Raises a ValueError when there is none.
    """
    return {name: tuple(maps.shape[1:]) for name, maps in _spatial_outputs(network, image).items()}


def last_spatial_layer(network: nn.Module, image: Image) -> str:
    """The last layer with feature maps that is not a pool: the default layer of Grad-CAM.

    >>> last_spatial_layer(nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2)), torch.zeros(1, 8, 8))
    '0'
    """
    maps = _spatial_outputs(network, image)
    layers = named_layers(network)
    pooled = {id(maps[name]) for name in maps if isinstance(layers[name], POOLS)}
    return ([name for name in maps if id(maps[name]) not in pooled] or list(maps))[-1]


def stages(network: nn.Module, image: Image) -> list[str]:
    """The stages a paper would show: top-level layers with weights that give feature maps.

    Where these are fewer than three, as when the layers are in a container, the layers inside it.

    >>> from classicnets.models.lenet import lenet5
    >>> stages(lenet5(), torch.zeros(1, 32, 32))
    ['C1', 'S2', 'C3', 'S4']
    """
    maps = spatial_layers(network, image)
    layers = named_layers(network)
    names = [name for name, _ in network.named_children()]

    def found() -> list[str]:
        # parameters of one dimension, as in normalisation, do not make a layer a stage
        learnt = (n for n in names if n in maps and any(p.ndim > 1 for p in layers[n].parameters()))
        return sorted(learnt, key=list(maps).index)

    while len(found()) < 3 and any(isinstance(layers[name], nn.Sequential) for name in names):
        opened = [(n, layers[n] if isinstance(layers[n], nn.Sequential) else None) for n in names]
        names = [
            inner
            for name, stage in opened
            for inner in ([f"{name}.{n}" for n, _ in stage.named_children()] if stage else [name])
        ]
    return found() or list(maps)


def stages_and_fc(network: nn.Module, image: Image) -> list[str]:
    """The stages and the fully connected layers behind them, without the classifier layer.

    >>> from classicnets.models.lenet import lenet5
    >>> stages_and_fc(lenet5(), torch.zeros(1, 32, 32))
    ['C1', 'S2', 'C3', 'S4', 'C5', 'F6']
    """
    with_state = layers_with_state(network, image)[:-1]
    try:
        maps, names = spatial_layers(network, image), stages(network, image)
    except ValueError:  # no layer gives maps
        return with_state
    return [*names, *(name for name in with_state if name not in maps)]


def classifier_layer(network: nn.Module, image: Image) -> str:
    """The last layer with parameters or buffers, which turns the last features into scores."""
    return layers_with_state(network, image)[-1]


def target_maps(maps: Sequence[int] | None, count: int, layer: str) -> list[int]:
    """These maps, or else all. Raises ValueError for one that the layer does not have."""
    for number in maps or ():
        if not 0 <= number < count:
            raise ValueError(f"{layer} has no map {number}; choose from 0 to {count - 1}")
    return list(range(count) if maps is None else maps)


def layers_with_state(network: nn.Module, image: Image) -> list[str]:
    """Layers with parameters or buffers of their own that run, in the order of their last calls."""
    order: dict[str, None] = {}
    layers = {
        name: Call(layer)
        for name, layer in named_layers(network).items()
        if is_leaf(layer) and next(chain(layer.parameters(), layer.buffers()), None) is not None
    }

    def note(name: str, out: Any) -> None:
        order.pop(name, None)
        order[name] = None

    with frozen(network), torch.no_grad(), output_hooks(network, layers, note):
        class_scores(network, as_input(network, image[None]))
    if not order:
        raise ValueError(f"{type(network).__name__} has no layer with parameters")
    return list(order)


def is_leaf(layer: nn.Module) -> bool:
    """Whether a layer has no layers inside; the parts of a parametrized weight do not count."""
    return not named_layers(layer)


def _has_positions(out: Any) -> bool:
    return isinstance(out, Tensor) and out.ndim == 4 and out[0, 0].numel() > 1


def _spatial_outputs(network: nn.Module, image: Tensor) -> dict[str, Tensor]:
    maps: dict[str, Tensor] = {}

    def collect(name: str, out: Any) -> None:  # replaces no output: tensors are compared by id
        if _has_positions(out):
            maps.pop(name, None)
            maps[name] = out

    layers = named_layers(network)
    hidden = [name for name, layer in layers.items() if isinstance(layer, ScriptModule)]
    calls = {name: Call(layer) for name, layer in layers.items() if name not in hidden}
    with frozen(network), torch.no_grad(), output_hooks(network, calls, collect):
        forward(network, as_input(network, image[None]))
    if not maps:
        note = f"; {hidden[0]} is a ScriptModule, whose layers are hidden" if hidden else ""
        raise ValueError(f"{type(network).__name__} has no layer with feature maps{note}")
    return maps
