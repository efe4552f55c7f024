"""Layers by name, hooks on their outputs, and forward passes that leave a network unchanged.

Every method of this package runs the network inside `frozen`, and removes its hooks also after an
error.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from itertools import chain
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.jit import ScriptModule

from classicnets.measure.sizes import explain
from classicnets.support.errors import one_line
from classicnets.support.hooks import temporary_hooks
from classicnets.support.meta import image_dtype

Image = Float[Tensor, "c h w"]
Batch = Float[Tensor, "n c h w"]
POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveMaxPool2d, nn.AdaptiveAvgPool2d)


class _Stop(BaseException):
    """Ends a forward pass early; a BaseException so that no `except Exception` catches it."""


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """The network in evaluation mode, without parameter gradients and in-place operations.

    Restores modes and flags afterwards, also after an error.
    """
    modes = [(module, module.training) for module in network.modules()]
    in_place: list[Any] = [m for m in network.modules() if getattr(m, "inplace", None) is True]
    flags = [(p, p.requires_grad) for p in network.parameters()]
    try:
        network.eval()
        for module in in_place:
            module.inplace = False
        for parameter, _ in flags:
            parameter.requires_grad_(False)
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training
        for module in in_place:
            module.inplace = True
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


def get_layer(network: nn.Module, name: str) -> nn.Module:
    """The layer of this name. Raises a ValueError that suggests the nearest names."""
    layers = dict(network.named_modules())
    if name and name in layers:
        return layers[name]
    full_names = {n.rpartition(".")[2]: n for n in layers if n}
    near = get_close_matches(name, [*layers, *full_names], n=3)
    near = dict.fromkeys(full_names.get(n, n) for n in near)
    children = ", ".join(n for n, _ in network.named_children())
    hint = f"did you mean {' or '.join(near)}?" if near else f"its stages are {children}"
    raise ValueError(f"the network has no layer {name!r}; {hint}")


@contextmanager
def capture_outputs(
    network: nn.Module, names: Sequence[str], stop: bool = False
) -> Iterator[dict[str, Tensor]]:
    """Layer name -> its output in the last forward pass, which `stop` ends once all are captured.

    >>> network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    >>> with capture_outputs(network, ["1"]) as captured:
    ...     _ = network(torch.zeros(1, 1, 5, 5))
    >>> captured["1"].shape
    torch.Size([1, 2, 3, 3])
    """
    captured: dict[str, Tensor] = {}
    layers = {name: get_layer(network, name) for name in names}

    def capture(name: str, out: Any) -> Tensor:
        if not isinstance(out, Tensor):
            raise ValueError(f"{name} returns a {type(out).__name__}, not a tensor")
        captured[name] = out
        if stop and len(captured) == len(layers):
            raise _Stop
        return out.clone()  # the next layer may work in place

    with output_hooks(layers, capture):
        yield captured


@contextmanager
def output_hooks(
    layers: Mapping[str, nn.Module], callback: Callable[[str, Any], Tensor | None]
) -> Iterator[None]:
    """Calls `callback(name, output)` after each of these layers has run.

    A returned tensor replaces the output. Raises a ValueError for a ScriptModule.
    """

    def hook(name: str, layer: nn.Module, out: Any) -> Tensor | None:
        # not for the copy of the network on which `explain` finds the reason of an error
        return callback(name, out) if layer is layers[name] else None

    if scripts := [n for n, layer in layers.items() if isinstance(layer, ScriptModule)]:
        raise ValueError(f"{scripts[0]} is a ScriptModule, whose output cannot be captured")
    with temporary_hooks(
        layer.register_forward_hook(lambda layer, _, out, name=name: hook(name, layer, out))
        for name, layer in layers.items()
    ):
        yield


def class_scores(network: nn.Module, x: Batch) -> Float[Tensor, "n classes"]:
    """The scores of input tensors. Raises a ValueError for a size that the network cannot take."""
    scores = _forward(network, x)
    if not isinstance(scores, Tensor) or scores.ndim != 2:
        shape = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise ValueError(f"the network returns {shape}, not scores (n, classes)")
    return scores


def layer_outputs(network: nn.Module, x: Batch, names: Sequence[str]) -> dict[str, Tensor]:
    """Layer name -> its output for these input tensors; later layers are not computed."""
    with capture_outputs(network, names, stop=True) as captured:
        with suppress(_Stop):
            _forward(network, x)
        if missing := set(names) - set(captured):
            raise ValueError(f"the layer {min(missing)} does not run in a forward pass")
    return captured


def as_input(network: nn.Module, x: Batch) -> Batch:
    """The tensor on the device and in the dtype of the network, detached."""
    first = next(chain(network.parameters(), network.buffers()), x)
    with torch.inference_mode(False):  # an inference tensor can take part in no gradient
        x = x.clone() if x.is_inference() else x.detach()
        return x.to(first.device, image_dtype(network))


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
    layers = dict(network.named_modules())
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
    layers = dict(network.named_modules())
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
    with_state = _layers_with_state(network, image)[:-1]
    try:
        maps, names = spatial_layers(network, image), stages(network, image)
    except ValueError:  # no layer gives maps
        return with_state
    return [*names, *(name for name in with_state if name not in maps)]


def classifier_layer(network: nn.Module, image: Image) -> str:
    """The last layer with parameters or buffers, which turns the last features into scores."""
    return _layers_with_state(network, image)[-1]


def target_class(scores: Shaped[Tensor, " classes"], label: int | None) -> int:
    """The class to explain: `label`, or else the most likely. Raises ValueError out of range."""
    if label is None:
        return int(scores.argmax())
    if not 0 <= label < len(scores):
        raise ValueError(f"the network has no class {label}; choose from 0 to {len(scores) - 1}")
    return label


def target_maps(maps: Sequence[int] | None, count: int, layer: str) -> list[int]:
    """These maps, or else all. Raises ValueError for one that the layer does not have."""
    for number in maps or ():
        if not 0 <= number < count:
            raise ValueError(f"{layer} has no map {number}; choose from 0 to {count - 1}")
    return list(range(count) if maps is None else maps)


def _layers_with_state(network: nn.Module, image: Tensor) -> list[str]:
    """Layers with parameters or buffers of their own, in running order."""
    order: list[str] = []
    layers = {
        name: layer
        for name, layer in network.named_modules()
        if next(layer.children(), None) is None
        and next(chain(layer.parameters(), layer.buffers()), None) is not None
    }
    with frozen(network), torch.no_grad(), output_hooks(layers, lambda n, _: order.append(n)):
        class_scores(network, as_input(network, image[None]))
    if not order:
        raise ValueError(f"{type(network).__name__} has no layer with parameters")
    return list(dict.fromkeys(order))


def _spatial_outputs(network: nn.Module, image: Tensor) -> dict[str, Tensor]:
    maps: dict[str, Tensor] = {}

    def collect(name: str, out: Any) -> None:  # replaces no output: tensors are compared by id
        if isinstance(out, Tensor) and out.ndim == 4 and out[0, 0].numel() > 1:
            maps.pop(name, None)
            maps[name] = out

    layers = {
        name: layer
        for name, layer in network.named_modules()
        if name and not isinstance(layer, ScriptModule)
    }
    with frozen(network), torch.no_grad(), output_hooks(layers, collect):
        _forward(network, as_input(network, image[None]))
    if not maps:
        raise ValueError(f"{type(network).__name__} has no layer with feature maps")
    return maps


def _forward(network: nn.Module, x: Tensor) -> Any:
    try:
        return network(x)
    except ValueError:
        raise
    except Exception as error:
        reason = explain(network, x.shape, x.dtype)
        raise ValueError(
            reason or f"the network fails on images of {tuple(x.shape[1:])}: {one_line(error)}"
        ) from error
