"""Forward and backward passes that leave a network unchanged.

Every method of this package runs the network inside `frozen`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.jit import ScriptModule

from classicnets.measure.sizes import explain
from classicnets.support.errors import one_line
from classicnets.support.modules import evaluation_mode, image_dtype

Image = Float[Tensor, "c h w"]
Batch = Float[Tensor, "n c h w"]


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """The network in evaluation mode, without parameter gradients and in-place operations.

    Restores modes and flags afterwards, also after an error.
    """
    in_place: list[Any] = [m for m in network.modules() if getattr(m, "inplace", None) is True]
    flags = [(p, p.requires_grad) for p in network.parameters()]
    try:
        for module in in_place:
            module.inplace = False
        for parameter, _ in flags:
            parameter.requires_grad_(False)
        with evaluation_mode(network), torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        for module in in_place:
            module.inplace = True
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


def as_input(network: nn.Module, x: Batch) -> Batch:
    """The tensor on the device and in the dtype of the network, detached."""
    first = next(chain(network.parameters(), network.buffers()), x)
    with torch.inference_mode(False):  # an inference tensor can take part in no gradient
        x = x.clone() if x.is_inference() else x.detach()
        return x.to(first.device, image_dtype(network))


def forward(network: nn.Module, x: Tensor) -> Any:
    """What the network returns. Raises a ValueError with the reason where its forward fails."""
    try:
        return network(x)
    except ValueError:
        raise
    except Exception as error:
        scripted = any(isinstance(m, ScriptModule) for m in network.modules())  # takes no hooks
        reason = "" if scripted else explain(network, x.shape, x.dtype)
        raise ValueError(
            reason or f"the network fails on images of {tuple(x.shape[1:])}: {one_line(error)}"
        ) from error


def class_scores(network: nn.Module, x: Batch) -> Float[Tensor, "n classes"]:
    """The scores of input tensors. Raises a ValueError for a size that the network cannot take."""
    scores = forward(network, x)
    if not isinstance(scores, Tensor) or scores.ndim != 2:
        shape = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise ValueError(f"the network returns {shape}, not scores (n, classes)")
    return scores


def target_class(scores: Shaped[Tensor, " classes"], label: int | None) -> int:
    """The class to explain: `label`, or else the most likely. Raises ValueError out of range."""
    if label is None:
        return int(scores.argmax())
    if not 0 <= label < len(scores):
        raise ValueError(f"the network has no class {label}; choose from 0 to {len(scores) - 1}")
    return label


def differentiate(
    value: Tensor, inputs: Sequence[Tensor], signal: Tensor | None = None
) -> list[Tensor]:
    """The gradients of `value` (times `signal`), zeros for inputs that it does not depend on.

    Raises a ValueError where it depends on none of them, or cannot be differentiated.
    """
    if not value.requires_grad:
        raise ValueError("the network cuts the gradient: what it returns depends on no input")
    try:
        found = torch.autograd.grad(value, inputs, signal, allow_unused=True)
    except RuntimeError as error:
        raise ValueError(f"the network has no backward pass: {one_line(error)}") from error
    if all(g is None for g in found):
        raise ValueError("the network cuts the gradient: its scores do not depend on this layer")
    return [torch.zeros_like(x) if g is None else g for x, g in zip(inputs, found, strict=True)]
