"""Deconvnet: what in the image caused an activation. Zeiler, Fergus, section 2.1, and Figure 2.

Back from one activation to the pixels: unpool with the switches of the max pools, rectify the
reconstruction, filter with the transposed kernels, without biases. Of batch normalisation the scale
is kept; local response normalisation is skipped, as its inverse is not described; a concatenation
is taken apart, an addition passes to both branches, an average is spread evenly. A layer with tanh
applies tanh to the reconstruction, as a rectifier rectifies it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from . import backward
from .backward import Backwards
from .layers import chosen_maps, outputs, prepared, undisturbed

LINEAR = dict.fromkeys([*backward.TOGETHER, *backward.ALONE], backward.linear)
PUBLISHED = {
    **LINEAR,
    **dict.fromkeys(backward.POOLS, backward.linear),  # its gradient adds at the switches
    **dict.fromkeys(backward.NORMS, backward.skipped),
    **dict.fromkeys(backward.RECTIFIERS, backward.the_same_again),
}
OVERWRITING = {**PUBLISHED, **dict.fromkeys(backward.POOLS, backward.overwrite)}


@dataclass(frozen=True)
class Deconv:
    """Reconstructions (k, c, h, w) of one activation each, the strongest first.

    Activation `values[i]` stands in map `maps[i]` of `layer` at `places[i]` (row, column).
    `applied` counts the operators on the way that were not simply transposed.
    """

    layer: str
    maps: tuple[int, ...]
    places: Int64[Tensor, "k 2"]
    values: Float[Tensor, " k"]
    reconstructions: Float[Tensor, "k c h w"]
    applied: dict[str, int]


def deconv(
    network: nn.Module,
    image: Float[Tensor, "c h w"],
    layer: str,
    maps: Sequence[int] | None = None,
    count: int = 9,
    overwrite: bool = False,
) -> Deconv:
    """What caused the strongest activation of each of these maps, or of the `count` strongest maps.

    Where pooling windows overlap, one pixel can be the largest of several; what they carry is added
    there, or with `overwrite` the last one counts. The paper does not say which. Raises ValueError
    for an unknown layer or map, and for a network with an operator that has no inverse here.
    """
    x = prepared(network, image[None])
    with undisturbed(network), torch.no_grad():
        strength, places = peaks(outputs(network, x, [layer])[layer])
    numbers = torch.tensor(chosen_maps(maps, strength.shape[1], layer), device=x.device)
    order = strength[0, numbers].argsort(descending=True, stable=True)
    numbers = numbers[order][: count if maps is None else None]
    where = places[0, numbers]
    pictures, applied = reconstruct(
        network, x.expand(len(numbers), -1, -1, -1), layer, numbers, where, overwrite
    )
    values = strength[0, numbers]
    return Deconv(
        layer, tuple(numbers.tolist()), where.cpu(), values.float().cpu(), pictures, applied
    )


def as_maps(out: Tensor) -> Float[Tensor, "n maps h w"]:
    """What a layer gives; where that is no maps, maps of 1x1."""
    return out if out.ndim == 4 else out.flatten(1)[:, :, None, None]


def peaks(out: Tensor) -> tuple[Float[Tensor, "n maps"], Int64[Tensor, "n maps 2"]]:
    """The strongest activation of each map, and its place."""
    maps = as_maps(out)
    values, index = maps.flatten(2).max(dim=2)
    width = maps.shape[3]
    return values, torch.stack([index // width, index % width], dim=2)


def reconstruct(
    network: nn.Module,
    x: Float[Tensor, "n c h w"],
    layer: str,
    maps: Int64[Tensor, " n"],
    places: Int64[Tensor, "n 2"],
    overwrite: bool = False,
) -> tuple[Float[Tensor, "n c h w"], dict[str, int]]:
    """For each image the reconstruction from one activation of `layer`, all others set to zero."""
    rules = OVERWRITING if overwrite else PUBLISHED
    x = prepared(network, x)
    with undisturbed(network), Backwards(rules, backward.refused) as mode:
        pixels = x.requires_grad_()
        out = outputs(network, pixels.clone(), [layer])[layer]
        if not out.requires_grad:
            raise ValueError(f"{layer} does not depend on the image by a way that leads back")
    backward.require_all_met(out, backward.LINEAR_NODES)
    grid = as_maps(out)
    kept = torch.zeros_like(grid)
    at = (torch.arange(len(x)), maps.cpu(), *places.cpu().unbind(1))
    kept[at] = grid.detach()[at]
    (pictures,) = torch.autograd.grad(out, pixels, kept.view_as(out))
    applied = {name: n for name, n in mode.counts.items() if name not in LINEAR}
    return pictures.float().cpu(), applied


def told(applied: Mapping[str, int]) -> str:
    """What deconvnet did on its way back, in words.

    >>> told({"relu": 3, "max_pool2d": 2, "lrn": 1})
    'rectified 3 times, unpooled 2 times, normalisation skipped 1 time'
    """
    does = dict.fromkeys(backward.POOLS, "unpooled")
    does |= dict.fromkeys(backward.NORMS, "normalisation skipped") | {"relu": "rectified"}
    words = [f"{does.get(name, name)} {n} time{'s' * (n > 1)}" for name, n in applied.items()]
    return ", ".join(words) or "filters transposed"
