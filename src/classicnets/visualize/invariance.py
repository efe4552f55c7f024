"""Invariance of features and scores to translation, scale and rotation (ZFNet, Figure 5)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from classicnets.support.errors import suggest

from .forward import Batch, as_input, frozen
from .layers import find_calls, layer_outputs

# as in the figure: pixels of 224, factors, degrees
AMOUNTS = {
    "translation": tuple(range(-60, 61, 10)),
    "scale": tuple(1 + k / 10 for k in range(9)),
    "rotation": tuple(range(0, 361, 15)),
}


@dataclass(frozen=True)
class Invariance:
    """The effect of one transformation on n images, for each of the `amounts`.

    `distances` are Euclidean, per layer, from the features of the unchanged images; `probability`
    is that of the true class.
    """

    transformation: str
    amounts: tuple[float, ...]
    distances: dict[str, Float[Tensor, "n amounts"]]
    probability: Float[Tensor, "n amounts"]


def invariance(
    network: nn.Module,
    images: Batch,
    labels: Int64[Tensor, " n"],
    layers: Sequence[str],
    classifier: str,
    transformation: str,
    amounts: Sequence[float | int] | None = None,
) -> Invariance:
    """Figure 5 for these layers; the paper takes the first and the seventh, and five images.

    `classifier` is the layer that gives the scores. `amounts` are pixels down for a translation,
    factors for a scale, degrees for a rotation; by default those of the paper, translations in
    proportion to the image. Raises ValueError for an unknown transformation or layer.
    """
    if transformation not in AMOUNTS:
        hint = suggest(transformation, AMOUNTS)
        raise ValueError(f"no transformation {transformation!r}; {hint}")
    if amounts is None:
        unit = images.shape[2] / 224 if transformation == "translation" else 1
        amounts = [round(a * unit) if unit != 1 else a for a in AMOUNTS[transformation]]
    amounts = list(dict.fromkeys(float(a) for a in amounts))
    calls = find_calls(network, images, list(dict.fromkeys([*layers, classifier])))
    with frozen(network), torch.no_grad():
        original, *changed = (
            layer_outputs(network, as_input(network, x), calls)
            for x in (images, *(transform(images, transformation, a) for a in amounts))
        )
    distances = {
        name: torch.stack([(c[name] - original[name]).flatten(1).norm(dim=1) for c in changed], 1)
        for name in layers
    }
    p = torch.stack([c[classifier].flatten(1).softmax(1) for c in changed], 1)
    true = labels.to(p.device)[:, None, None].expand(-1, len(amounts), 1)
    return Invariance(
        transformation,
        tuple(amounts),
        {name: d.float().cpu() for name, d in distances.items()},
        p.gather(2, true)[:, :, 0].float().cpu(),
    )


def transform(images: Batch, transformation: str, amount: float | int) -> Batch:
    """Images moved down by pixels, enlarged by a factor or rotated by degrees, padded with zeros.

    >>> transform(torch.arange(4.0).view(1, 1, 4, 1), "translation", 1).flatten().tolist()
    [0.0, 0.0, 1.0, 2.0]
    """
    if transformation == "translation":
        down = round(amount)
        return F.pad(images, (0, 0, down, -down))
    angle = math.radians(amount) if transformation == "rotation" else 0.0
    zoom = 1 / amount if transformation == "scale" else 1.0
    h, w = images.shape[2:]
    cos, sin = zoom * math.cos(angle), zoom * math.sin(angle)
    theta = torch.tensor([[cos, -sin * h / w, 0.0], [sin * w / h, cos, 0.0]])
    theta = theta.to(images).expand(len(images), 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)
