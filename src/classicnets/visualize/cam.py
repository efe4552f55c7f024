"""Class activation: which positions of a layer speak for a class."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .layers import (
    chosen_class,
    head,
    last_spatial,
    layer_named,
    prepared,
    scores_of,
    undisturbed,
    watching,
)


@dataclass(frozen=True)
class Heat:
    """How much each position of `layer` speaks for class `label`."""

    kind: str
    layer: str
    label: int
    heat: Float[Tensor, "h w"]


def grad_cam(
    network: nn.Module,
    image: Float[Tensor, "c h w"],
    label: int | None = None,
    layer: str | None = None,
) -> Heat:
    """The maps, each weighted by its mean gradient, added and rectified (arXiv:1610.02391).

    Of the likeliest class and the last layer with maps unless told otherwise. Raises ValueError for
    an unknown class or layer, and for a layer without maps.
    """
    layer, label, maps, gradient = _maps_and_gradient(network, image, label, layer)
    weights = gradient.mean(dim=(1, 2))
    return Heat("Grad-CAM", layer, label, torch.einsum("c,chw->hw", weights, maps).relu())


def grad_cam_plus_plus(
    network: nn.Module,
    image: Float[Tensor, "c h w"],
    label: int | None = None,
    layer: str | None = None,
) -> Heat:
    """Grad-CAM with weights that count several objects alike (arXiv:1710.11063, equation 19)."""
    layer, label, maps, g = _maps_and_gradient(network, image, label, layer)
    below = 2 * g**2 + maps.sum(dim=(1, 2), keepdim=True) * g**3
    alpha = torch.where(g != 0, g**2 / (below + 1e-6), 0.0)
    weights = (alpha * g.relu()).sum(dim=(1, 2))
    return Heat("Grad-CAM++", layer, label, torch.einsum("c,chw->hw", weights, maps).relu())


def cam(network: nn.Module, image: Float[Tensor, "c h w"], label: int | None = None) -> Heat:
    """The last maps, weighted by the class's weights in the last layer (arXiv:1512.04150).

    Its mean, with the bias, is the score, which is checked. Raises ValueError for a network that
    does not end in global average pooling and one fully connected layer.
    """
    classifier, layer = head(network, image), last_spatial(network, image)
    full = layer_named(network, classifier)
    x = prepared(network, image[None])
    with undisturbed(network), torch.no_grad(), watching(network, [layer]) as seen:
        scores = scores_of(network, x)[0]
        label = chosen_class(scores, label)
        maps = seen[layer][0]
    if isinstance(full, nn.Linear) and full.weight.shape == (len(scores), len(maps)):
        heat = torch.einsum("c,chw->hw", full.weight[label].detach(), maps)
        bias = 0.0 if full.bias is None else full.bias[label].detach()
        if torch.allclose(heat.mean() + bias, scores[label], rtol=1e-3, atol=1e-4):
            return Heat("CAM", layer, label, heat.float().cpu())
    raise ValueError(
        "CAM needs a network that ends in global average pooling and one fully connected layer; "
        f"{type(network).__name__} ends otherwise, or its last rectifier is no layer of its own; "
        "Grad-CAM does without"
    )


def _maps_and_gradient(
    network: nn.Module, image: Tensor, label: int | None, layer: str | None
) -> tuple[str, int, Tensor, Tensor]:
    layer = last_spatial(network, image) if layer is None else layer
    x = prepared(network, image[None])
    with undisturbed(network), watching(network, [layer]) as seen:
        scores = scores_of(network, x.requires_grad_())[0]
        label = chosen_class(scores, label)
        maps = seen[layer]
        if maps.ndim != 4:
            raise ValueError(
                f"{layer} gives no maps but {tuple(maps.shape[1:])}; Grad-CAM needs some"
            )
        (gradient,) = torch.autograd.grad(scores[label], maps)
    return layer, label, maps[0].detach().float().cpu(), gradient[0].float().cpu()
