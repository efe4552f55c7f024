"""Copies of a network on the meta device: shapes without values, at no memory."""

import copy
import re
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .errors import one_line


def meta_copy(network: nn.Module) -> nn.Module:
    """The same network with tensors that have shapes but no values; nothing is allocated.

    Raises ValueError for a network that cannot be copied, such as one that holds a lock.
    """
    try:
        parameters: dict[int, Any] = {
            id(p): nn.Parameter(p.detach().to("meta"), p.requires_grad)
            for p in network.parameters()
        }
        with _WithoutValues():
            return copy.deepcopy(network, parameters)
    except Exception as error:
        raise ValueError(f"{type(network).__name__} cannot be copied: {one_line(error)}") from error


class _WithoutValues(TorchFunctionMode):
    """Copies tensors onto the meta device, also those that are neither parameter nor buffer."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if func is not Tensor.__deepcopy__:
            return func(*args, **(kwargs or {}))
        tensor, copies = args
        empty = tensor.detach().to("meta").requires_grad_(tensor.requires_grad)
        return copies.setdefault(id(tensor), empty)


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


def image_dtype(network: nn.Module) -> torch.dtype:
    """What the network computes in: the type of its first floating-point parameter."""
    dtypes = (p.dtype for p in network.parameters() if p.is_floating_point())
    return next(dtypes, torch.get_default_dtype())
