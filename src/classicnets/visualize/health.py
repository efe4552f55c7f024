"""Signal health: how activations and gradients fare on their way through the depth of a network."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from .deconv import as_maps
from .layers import hooked, prepared, scores_of, undisturbed


@dataclass(frozen=True)
class LayerHealth:
    """Standard deviations of what a layer gives, of the loss's gradient there, and of its weights.

    `dead` is the share of its maps, or units, of which the rectifier right behind it passes nothing
    for any picture, and 0 where there is none. `response` is the deviation before the next
    rectifier: behind the layer's own batch normalisation if it has one, else `activation`
    (He et al., Fig. 7).
    """

    name: str
    activation: float
    gradient: float
    weight: float
    dead: float
    response: float


def health(
    network: nn.Module, images: Float[Tensor, "n c h w"], labels: Int64[Tensor, " n"]
) -> list[LayerHealth]:
    """Every layer with weights, in order of execution, for these pictures and their true classes.

    As in a step of training, so batch normalisation takes the statistics of these pictures; but
    nothing is dropped out, and nothing is learnt. The loss is the cross-entropy.
    """
    kept = [(buffer, buffer.clone()) for buffer in network.buffers()]
    layers = dict(network.named_modules())
    told = {name: layer for name, layer in layers.items() if _weighs(layer) or _normalises(layer)}
    seen: dict[str, Tensor] = {}
    given: list[Tensor] = []  # what goes on in its place, so that nothing works on it in place
    rectified = _Rectified()
    x = prepared(network, images).requires_grad_()

    def note(name: str, out: Tensor) -> Tensor:
        seen[name] = out
        given.append(out.clone())
        return given[-1]

    try:
        with undisturbed(network), hooked(told, note), rectified:
            for layer in told.values():
                layer.training = _normalises(layer)
            scores = scores_of(network, x.clone())
            loss = F.cross_entropy(scores.float(), labels.to(scores.device))
            gradients = torch.autograd.grad(loss, list(seen.values()))
    finally:
        for buffer, values in kept:
            buffer.copy_(values)
    order, found = list(seen), []
    before_rectifier = {
        name for name, t in zip(order, given, strict=True) if id(t) in rectified.ids
    }
    for (name, out), gradient in zip(seen.items(), gradients, strict=True):
        if _normalises(layers[name]):
            continue
        after = order[order.index(name) + 1 :][:1]
        last = after[0] if after and _normalises(layers[after[0]]) else name
        response = seen[last]
        silent = (as_maps(response).amax(dim=(0, 2, 3)) <= 0).float().mean().item()
        found.append(
            LayerHealth(
                name,
                out.float().std().item(),
                gradient.float().std().item(),
                _largest(layers[name]).detach().float().std().item(),
                silent if last in before_rectifier else 0.0,
                response.float().std().item(),
            )
        )
    return found


class _Rectified(TorchFunctionMode):
    """While active, notes which tensors a rectifier reads."""

    def __init__(self):
        super().__init__()
        self.ids: set[int] = set()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict | None = None
    ) -> Any:
        if getattr(func, "__name__", "").strip("_") == "relu":
            self.ids |= {id(t) for t in (*args, *(kwargs or {}).values())}
        return func(*args, **(kwargs or {}))


def _normalises(layer: nn.Module) -> bool:
    return isinstance(layer, nn.modules.batchnorm._BatchNorm)


def _weighs(layer: nn.Module) -> bool:
    leaf = next(layer.children(), None) is None
    return leaf and any(p.ndim > 1 for p in layer.parameters())


def _largest(layer: nn.Module) -> Tensor:
    return max(layer.parameters(), key=Tensor.numel)
