"""Copies of a network on the meta device: shapes without values, at no memory."""

import re
from collections.abc import Sequence
from contextlib import nullcontext
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import is_lazy

from .devices import network_device
from .errors import one_line
from .modules import copy_network, evaluation_mode, image_dtype


def meta_copy(network: nn.Module, device: str = "meta") -> nn.Module:
    """The same network with tensors that have shapes but no values; nothing is allocated.

    Within torch's FakeTensorMode the tensors may claim to be on another `device`.
    Raises ValueError for a network that cannot be copied.
    """
    held: dict[int, Any] = {id(p): _without_values(p, device) for p in network.parameters()}
    held |= {id(b): _without_values(b, device) for b in network.buffers() if is_lazy(b)}
    try:
        return copy_network(network, held, device)
    except Exception as error:
        raise ValueError(f"{type(network).__name__} cannot be copied: {one_line(error)}") from error


def _without_values(t: Tensor, device: str) -> Tensor:
    if is_lazy(t):
        uninitialized: Any = type(t)
        return uninitialized(t.requires_grad, device, t.dtype)
    return nn.Parameter(t.detach().to(device), t.requires_grad)


def materialise(network: nn.Module, shape: Sequence[int]) -> None:
    """Gives the lazy modules of a network their sizes, by passes over black images of this shape.

    Does nothing to a network without lazy modules. The network keeps its mode and its statistics;
    `shape` is (n, c, h, w). Raises ValueError where the forward fails, and for parameters that it
    leaves without a size.

    >>> network = nn.Sequential(nn.Flatten(), nn.LazyLinear(2))
    >>> materialise(network, (2, 3, 8, 8)); network[1].in_features
    192
    """
    if not lazy_modules(network):
        return
    kind = type(network).__name__
    statistics = {b: b.detach().clone() for b in network.buffers() if not is_lazy(b)}
    try:
        with evaluation_mode(network):
            for training in (False, True):  # some modules run in training only
                if lazy_modules(network):
                    _dry_pass(network.train(training), shape)
    except Exception as error:
        images = "x".join(map(str, shape[1:]))
        raise ValueError(
            f"the lazy modules of {kind} cannot take their sizes from images of {images}; "
            f"its forward raised {one_line(error)}"
        ) from error
    finally:
        for buffer, values in statistics.items():
            buffer.copy_(values)
    if left := [name for name in lazy_modules(network) if name in _without_sizes(network)]:
        raise ValueError(
            f"{left[0]} of {kind} has no size: it is lazy and the forward does not call it; "
            "call it there, give its sizes, or remove it"
        )


def lazy_modules(network: nn.Module) -> list[str]:
    """The names of the modules that take their sizes from their first input."""
    lazy = {name for name, m in network.named_modules() if isinstance(m, LazyModuleMixin)}
    return sorted(lazy | _without_sizes(network))


def _without_sizes(network: nn.Module) -> set[str]:
    tensors = chain(network.named_parameters(), network.named_buffers())
    return {name.rpartition(".")[0] for name, t in tensors if is_lazy(t)}


@torch.no_grad()
def _dry_pass(network: nn.Module, shape: Sequence[int]) -> None:
    device = network_device(network)
    with device if device.type == "meta" else nullcontext():  # for tensors that a forward creates
        network(torch.zeros(*shape, dtype=image_dtype(network), device=device))


def needs_values(error: Exception) -> bool:
    """Whether a pass over meta tensors failed because they have no values to read or to mix with.

    >>> try:
    ...     bool(torch.ones(1, device="meta"))
    ... except RuntimeError as error:
    ...     needs_values(error)
    True
    """
    words = r"\bmeta\b|\bregister_meta\b|Tensor\.__format__"
    return isinstance(error, RuntimeError | TypeError) and bool(re.search(words, str(error), re.I))
