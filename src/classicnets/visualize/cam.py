"""Class activation maps: CAM, Grad-CAM and Grad-CAM++."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .forward import Image, as_input, class_scores, differentiate, frozen, target_class
from .layers import capture_outputs, classifier_layer, find_calls, get_layer, last_spatial_layer


@dataclass(frozen=True)
class Heatmap:
    """The evidence for class `label` at each position of `layer`; `method` names the formula."""

    method: str
    layer: str
    label: int
    values: Float[Tensor, "h w"]


def grad_cam(
    network: nn.Module, image: Image, label: int | None = None, layer: str | None = None
) -> Heatmap:
    """Grad-CAM: the ReLU of the maps' sum, weighted by their mean gradients (arXiv:1610.02391).

    Default: the most likely class, and the last layer with maps. Raises ValueError for an unknown
    class or layer, and for a layer without maps.
    """
    layer, label, maps, gradient = _maps_and_gradient(network, image, label, layer)
    weights = gradient.mean(dim=(1, 2))
    return Heatmap("Grad-CAM", layer, label, torch.einsum("c,chw->hw", weights, maps).relu())


def grad_cam_plus_plus(
    network: nn.Module, image: Image, label: int | None = None, layer: str | None = None
) -> Heatmap:
    """Grad-CAM++: weights that count several objects alike (arXiv:1710.11063, equation 19).

    Divided by the square of the gradient g, the equation reads alpha = 1 / (2 + S g), where S is
    the sum of the map. Only positions with g > 0 count. There the denominator is at least 2 for the
    rectified maps of the paper; where another layer makes it 0 or negative, the position counts 0.
    """
    layer, label, maps, g = _maps_and_gradient(network, image, label, layer)
    below = 2 + maps.sum(dim=(1, 2), keepdim=True) * g
    weights = torch.where((g > 0) & (below > 0), g / below, 0.0).sum(dim=(1, 2))
    return Heatmap("Grad-CAM++", layer, label, torch.einsum("c,chw->hw", weights, maps).relu())


def cam(network: nn.Module, image: Image, label: int | None = None) -> Heatmap:
    """CAM: the last maps, weighted by the class's weights in the last layer (arXiv:1512.04150).

    Its mean plus the bias equals the score, which is checked. Raises ValueError for a network that
    does not end in global average pooling and one fully connected layer.
    """
    classifier, layer = classifier_layer(network, image), last_spatial_layer(network, image)
    fc = get_layer(network, classifier)
    x = as_input(network, image[None])
    calls = find_calls(network, x, [layer])
    with frozen(network), torch.no_grad(), capture_outputs(network, calls) as captured:
        scores = class_scores(network, x)[0]
        label = target_class(scores, label)
        maps = captured[layer][0]
    if isinstance(fc, nn.Linear) and fc.weight.shape == (len(scores), len(maps)):
        values = torch.einsum("c,chw->hw", fc.weight[label].detach(), maps)
        bias = 0.0 if fc.bias is None else fc.bias[label].detach()
        off = (values.mean() + bias - scores[label]).abs()
        if off <= 1e-3 * (values.abs().mean() + abs(bias)):  # relative, for scores of any size
            return Heatmap("CAM", layer, label, values.float().cpu())
    raise ValueError(
        f"CAM is not defined for {type(network).__name__}: the network must end in global average "
        "pooling and one fully connected layer, and its last ReLU must be a module; use Grad-CAM"
    )


def _maps_and_gradient(
    network: nn.Module, image: Tensor, label: int | None, layer: str | None
) -> tuple[str, int, Tensor, Tensor]:
    layer = last_spatial_layer(network, image) if layer is None else layer
    x = as_input(network, image[None])
    calls = find_calls(network, x, [layer])
    with frozen(network), capture_outputs(network, calls) as captured:
        scores = class_scores(network, x.requires_grad_())[0]
        label = target_class(scores, label)
        maps = captured[layer]
        if maps.ndim != 4:
            raise ValueError(
                f"{layer} gives {tuple(maps.shape[1:])}, not feature maps, which Grad-CAM needs"
            )
        (gradient,) = differentiate(scores[label], [maps])
    return layer, label, maps[0].detach().float().cpu(), gradient[0].float().cpu()
