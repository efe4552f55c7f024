"""Signal health: how activations and gradients fare on their way through the depth of a network."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from .deconv import as_maps
from .watch import hooked, prepared, scores_of, undisturbed


@dataclass(frozen=True)
class LayerHealth:
    """Standard deviations of what a layer gives, of the loss's gradient there, and of its weights.

    `dead` is the share of its maps, or units, that are positive for no picture and at no place:
    a rectifier behind them would never pass anything. `response` is the deviation before the next
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
    x = prepared(network, images).requires_grad_()
    try:
        with undisturbed(network), hooked(told, seen.__setitem__):
            for layer in told.values():
                layer.training = _normalises(layer)
            scores = scores_of(network, x.clone())
            loss = F.cross_entropy(scores.float(), labels.to(scores.device))
            gradients = torch.autograd.grad(loss, list(seen.values()))
    finally:
        for buffer, values in kept:
            buffer.copy_(values)
    order, found = list(seen), []
    for (name, out), gradient in zip(seen.items(), gradients, strict=True):
        if _normalises(layers[name]):
            continue
        after = order[order.index(name) + 1 :][:1]
        response = seen[after[0]] if after and _normalises(layers[after[0]]) else out
        found.append(
            LayerHealth(
                name,
                out.float().std().item(),
                gradient.float().std().item(),
                _largest(layers[name]).detach().float().std().item(),
                (as_maps(response).amax(dim=(0, 2, 3)) <= 0).float().mean().item(),
                response.float().std().item(),
            )
        )
    return found


def _normalises(layer: nn.Module) -> bool:
    return isinstance(layer, nn.modules.batchnorm._BatchNorm)


def _weighs(layer: nn.Module) -> bool:
    leaf = next(layer.children(), None) is None
    return leaf and any(p.ndim > 1 for p in layer.parameters())


def _largest(layer: nn.Module) -> Tensor:
    return max(layer.parameters(), key=Tensor.numel)
