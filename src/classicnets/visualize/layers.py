"""Layers by name, and passes that leave a network as they found it.

Every instrument of this room runs the network inside `undisturbed`, and sees layers through hooks
that go again, also after an error.
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

POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveMaxPool2d, nn.AdaptiveAvgPool2d)


class _Enough(BaseException):
    """Ends a pass whose rest is of no interest; no `except Exception` on the way holds it up."""


@contextmanager
def undisturbed(network: nn.Module) -> Iterator[None]:
    """The network in evaluation mode, its parameters constant and nothing done in place.

    Modes and flags are afterwards what they were, also after an error.
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


def layer_named(network: nn.Module, name: str) -> nn.Module:
    """The layer of this name. Raises a ValueError that offers the nearest names."""
    layers = dict(network.named_modules())
    if name and name in layers:
        return layers[name]
    short = {n.rpartition(".")[2]: n for n in layers if n}
    near = dict.fromkeys(short.get(n, n) for n in get_close_matches(name, [*layers, *short], n=3))
    children = ", ".join(n for n, _ in network.named_children())
    hint = f"did you mean {' or '.join(near)}?" if near else f"its stages are {children}"
    raise ValueError(f"the network has no layer {name!r}; {hint}")


@contextmanager
def watching(
    network: nn.Module, names: Sequence[str], last: bool = False
) -> Iterator[dict[str, Tensor]]:
    """Name -> what that layer gave in the last pass; with `last`, the pass ends once all are seen.

    >>> network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    >>> with watching(network, ["1"]) as seen:
    ...     _ = network(torch.zeros(1, 1, 5, 5))
    >>> seen["1"].shape
    torch.Size([1, 2, 3, 3])
    """
    seen: dict[str, Tensor] = {}
    wanted = {name: layer_named(network, name) for name in names}

    def note(name: str, out: Any) -> Tensor:
        if not isinstance(out, Tensor):
            raise ValueError(f"{name} gives a {type(out).__name__}, not a tensor to look at")
        seen[name] = out
        if last and len(seen) == len(wanted):
            raise _Enough
        return out.clone()  # what comes next may work in place

    with hooked(wanted, note):
        yield seen


@contextmanager
def hooked(
    layers: Mapping[str, nn.Module], note: Callable[[str, Any], Tensor | None]
) -> Iterator[None]:
    """Each of these layers tells its name and what it gives, as soon as it has run.

    What `note` returns, if anything, is given in its place.
    """

    def tell(name: str, layer: nn.Module, out: Any) -> Tensor | None:
        # not for a copy on which an error is explained
        return note(name, out) if layer is layers[name] else None

    if scripts := [n for n, layer in layers.items() if isinstance(layer, ScriptModule)]:
        raise ValueError(f"{scripts[0]} is a script, which cannot be looked into")
    with temporary_hooks(
        layer.register_forward_hook(lambda layer, _, out, name=name: tell(name, layer, out))
        for name, layer in layers.items()
    ):
        yield


def scores_of(network: nn.Module, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n classes"]:
    """The scores of prepared images. Raises a ValueError for images the network cannot take."""
    scores = _forward(network, x)
    if not isinstance(scores, Tensor) or scores.ndim != 2:
        what = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise ValueError(f"the network gives {what}, not scores (n, classes)")
    return scores


def outputs(
    network: nn.Module, x: Float[Tensor, "n c h w"], names: Sequence[str]
) -> dict[str, Tensor]:
    """What these layers give for prepared images; what comes after them is not computed."""
    with watching(network, names, last=True) as seen:
        with suppress(_Enough):
            _forward(network, x)
        if missing := set(names) - set(seen):
            raise ValueError(f"the layer {min(missing)} does not run when the network is used")
    return seen


def prepared(network: nn.Module, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """Images where the network is, and in the numbers that it computes with."""
    first = next(chain(network.parameters(), network.buffers()), x)
    with torch.inference_mode(False):  # what was made in that mode can take part in no gradient
        x = x.clone() if x.is_inference() else x.detach()
        return x.to(first.device, image_dtype(network))


def spatial(network: nn.Module, image: Float[Tensor, "c h w"]) -> dict[str, tuple[int, ...]]:
    """The layers that give maps with more than one position, in order of completion: their shapes.

    Raises a ValueError when there is none.
    """
    return {name: tuple(maps.shape[1:]) for name, maps in _maps(network, image).items()}


def last_spatial(network: nn.Module, image: Float[Tensor, "c h w"]) -> str:
    """The last layer with maps that is no pool: where Grad-CAM looks unless told otherwise.

    >>> last_spatial(nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2)), torch.zeros(1, 8, 8))
    '0'
    """
    maps = _maps(network, image)
    layers = dict(network.named_modules())
    pooled = {id(maps[name]) for name in maps if isinstance(layers[name], POOLS)}
    return ([name for name in maps if id(maps[name]) not in pooled] or list(maps))[-1]


def stages(network: nn.Module, image: Float[Tensor, "c h w"]) -> list[str]:
    """The layers that a paper would show: the network's own stages that learn and give maps.

    Where these are fewer than three, as when a network keeps its layers in a container, what is in
    the container.

    >>> from classicnets.models.lenet import lenet5
    >>> stages(lenet5(), torch.zeros(1, 32, 32))
    ['C1', 'S2', 'C3', 'S4']
    """
    maps = spatial(network, image)
    layers = dict(network.named_modules())
    names = [name for name, _ in network.named_children()]

    def shown() -> list[str]:
        # what a map has one number of, as in normalisation, makes no map of its own
        learnt = (n for n in names if n in maps and any(p.ndim > 1 for p in layers[n].parameters()))
        return sorted(learnt, key=list(maps).index)

    while len(shown()) < 3 and any(isinstance(layers[name], nn.Sequential) for name in names):
        opened = [(n, layers[n] if isinstance(layers[n], nn.Sequential) else None) for n in names]
        names = [
            inner
            for name, stage in opened
            for inner in ([f"{name}.{n}" for n, _ in stage.named_children()] if stage else [name])
        ]
    return shown() or list(maps)


def stages_and_full(network: nn.Module, image: Float[Tensor, "c h w"]) -> list[str]:
    """The stages, and the layers that learn behind them but for the one that gives the scores.

    >>> from classicnets.models.lenet import lenet5
    >>> stages_and_full(lenet5(), torch.zeros(1, 32, 32))
    ['C1', 'S2', 'C3', 'S4', 'C5', 'F6']
    """
    learning = _learning(network, image)
    try:
        maps, names = spatial(network, image), stages(network, image)
    except ValueError:  # no layer gives maps
        return learning[:-1]
    return [*names, *(name for name in learning[:-1] if name not in maps)]


def head(network: nn.Module, image: Float[Tensor, "c h w"]) -> str:
    """The layer that turns the last features into scores: the last that learns or holds numbers."""
    return _learning(network, image)[-1]


def _learning(network: nn.Module, image: Tensor) -> list[str]:
    """The layers that learn or hold numbers, in order of execution."""
    order: list[str] = []
    layers = {
        name: layer
        for name, layer in network.named_modules()
        if next(layer.children(), None) is None
        and next(chain(layer.parameters(), layer.buffers()), None) is not None
    }
    with undisturbed(network), torch.no_grad(), hooked(layers, lambda name, _: order.append(name)):
        scores_of(network, prepared(network, image[None]))
    if not order:
        raise ValueError(f"{type(network).__name__} has no layer that learns")
    return list(dict.fromkeys(order))


def chosen_class(scores: Shaped[Tensor, " classes"], label: int | None) -> int:
    """The class to explain: the one asked for, or the likeliest. Raises ValueError out of range."""
    if label is None:
        return int(scores.argmax())
    if not 0 <= label < len(scores):
        raise ValueError(
            f"there is no class {label}; the network has {len(scores)}, 0 to {len(scores) - 1}"
        )
    return label


def chosen_maps(maps: Sequence[int] | None, count: int, layer: str) -> list[int]:
    """The maps asked for, or all. Raises ValueError for one that the layer does not have."""
    for number in maps or ():
        if not 0 <= number < count:
            raise ValueError(f"{layer} has no map {number}; it has {count}, 0 to {count - 1}")
    return list(range(count) if maps is None else maps)


def _maps(network: nn.Module, image: Tensor) -> dict[str, Tensor]:
    maps: dict[str, Tensor] = {}

    def note(name: str, out: Any) -> None:  # returns nothing: layers are told apart by identity
        if isinstance(out, Tensor) and out.ndim == 4 and out[0, 0].numel() > 1:
            maps.pop(name, None)
            maps[name] = out

    layers = {
        name: layer
        for name, layer in network.named_modules()
        if name and not isinstance(layer, ScriptModule)
    }
    with undisturbed(network), torch.no_grad(), hooked(layers, note):
        _forward(network, prepared(network, image[None]))
    if not maps:
        raise ValueError(f"{type(network).__name__} has no layer that gives maps to look at")
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
