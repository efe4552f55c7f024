"""How features and scores change as the picture is moved, enlarged and turned. ZFNet, Figure 5."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import outputs, prepared, undisturbed

# by how much, as in the figure: pixels of 224, times, degrees
AMOUNTS = {
    "translation": tuple(range(-60, 61, 10)),
    "scale": tuple(1 + k / 10 for k in range(9)),
    "rotation": tuple(range(0, 361, 15)),
}


@dataclass(frozen=True)
class Invariance:
    """For one way of changing n pictures by `amounts`: how far the features of each layer move from
    those of the unchanged picture (Euclidean), and the probability of the true class.
    """

    change: str
    amounts: tuple[float, ...]
    distances: dict[str, Float[Tensor, "n amounts"]]
    probability: Float[Tensor, "n amounts"]


def invariance(
    network: nn.Module,
    images: Float[Tensor, "n c h w"],
    labels: Int64[Tensor, " n"],
    layers: Sequence[str],
    output: str,
    change: str,
    amounts: Sequence[float | int] | None = None,
) -> Invariance:
    """Figure 5 for these layers: the paper takes the first and the seventh, and five pictures.

    `output` is the layer that gives the scores. `amounts` are pixels downwards for a translation,
    factors for a scale, degrees for a rotation; the paper's unless given, translations in
    proportion to the picture. Raises ValueError for an unknown change or layer.
    """
    if change not in AMOUNTS:
        raise ValueError(f"change must be one of {', '.join(AMOUNTS)}, not {change!r}")
    if amounts is None:
        share = images.shape[2] / 224 if change == "translation" else 1
        amounts = [round(a * share) if change == "translation" else a for a in AMOUNTS[change]]
    amounts = list(dict.fromkeys(float(a) for a in amounts))
    names = list(dict.fromkeys([*layers, output]))
    with undisturbed(network), torch.no_grad():
        still = outputs(network, prepared(network, images), names)
        moved = [
            outputs(network, prepared(network, changed(images, change, a)), names) for a in amounts
        ]
    distances = {
        name: torch.stack([(m[name] - still[name]).flatten(1).norm(dim=1) for m in moved], 1)
        for name in layers
    }
    scores = torch.stack([m[output].flatten(1).softmax(1) for m in moved], 1)
    own = labels.to(scores.device)[:, None, None].expand(-1, len(amounts), 1)
    return Invariance(
        change,
        tuple(amounts),
        {name: d.float().cpu() for name, d in distances.items()},
        scores.gather(2, own)[:, :, 0].float().cpu(),
    )


def changed(
    images: Float[Tensor, "n c h w"], change: str, amount: float | int
) -> Float[Tensor, "n c h w"]:
    """Pictures moved down by pixels, enlarged, or turned by degrees; zeros come in at the border.

    >>> changed(torch.arange(4.0).view(1, 1, 4, 1), "translation", 1).flatten().tolist()
    [0.0, 0.0, 1.0, 2.0]
    """
    if change == "translation":
        down = round(amount)
        return F.pad(images, (0, 0, down, -down))
    turn = math.radians(amount) if change == "rotation" else 0.0
    zoom = 1 / amount if change == "scale" else 1.0
    h, w = images.shape[2:]
    cos, sin = zoom * math.cos(turn), zoom * math.sin(turn)
    theta = torch.tensor([[cos, -sin * h / w, 0.0], [sin * w / h, cos, 0.0]])
    theta = theta.to(images).expand(len(images), 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)
