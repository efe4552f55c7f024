"""Deconvnet: projects an activation back to the pixels (Zeiler, Fergus, section 2.1, Figure 2).

Back through the layers: unpool with the switches of the max pools, apply ReLU to the signal, filter
with the transposed kernels, without biases. Batch normalisation is replaced by its scale; local
response normalisation is skipped, as the paper does not describe its inverse; a concatenation is
split, an addition passes the signal to both branches, an average spreads it evenly. Where a layer
has tanh, tanh is applied to the signal in place of ReLU.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from . import backward
from .backward import BackwardRules
from .forward import Batch, Image, as_input, differentiate, frozen
from .layers import find_calls, layer_outputs, target_maps

LINEAR = dict.fromkeys([*backward.JOINTLY_LINEAR, *backward.MULTILINEAR], backward.linear)
PUBLISHED = {
    **LINEAR,
    **dict.fromkeys(backward.POOLS, backward.linear),  # its gradient is added at the switches
    **dict.fromkeys(backward.NORMS, backward.identity),
    **dict.fromkeys(backward.ACTIVATIONS, backward.apply_to_gradient),
}
OVERWRITING = {**PUBLISHED, **dict.fromkeys(backward.POOLS, backward.overwrite)}


@dataclass(frozen=True)
class Deconv:
    """Reconstructions (k, c, h, w) of one activation each, the strongest first.

    Activation `values[i]` is at `positions[i]` (row, column) of map `maps[i]` of `layer`.
    `applied` counts the operators that were not simply transposed.
    """

    layer: str
    maps: tuple[int, ...]
    positions: Int64[Tensor, "k 2"]
    values: Float[Tensor, " k"]
    reconstructions: Float[Tensor, "k c h w"]
    applied: dict[str, int]


def deconv(
    network: nn.Module,
    image: Image,
    layer: str,
    maps: Sequence[int] | None = None,
    count: int = 9,
    overwrite: bool = False,
) -> Deconv:
    """Projects back the strongest activation of each of these maps, or of the `count` strongest.

    Where pooling windows overlap, a pixel can be the maximum of several: their signals are added,
    or with `overwrite` the last one counts. The paper does not say which. Raises ValueError for an
    unknown layer or map, and for a network with an operator that has no inverse here.
    """
    x = as_input(network, image[None])
    calls = find_calls(network, x, [layer])
    with frozen(network), torch.no_grad():
        strength, positions = peaks(layer_outputs(network, x, calls)[layer])
    numbers = torch.tensor(target_maps(maps, strength.shape[1], layer), device=x.device)
    order = strength[0, numbers].argsort(descending=True, stable=True)
    numbers = numbers[order][: count if maps is None else None]
    positions, values = positions[0, numbers], strength[0, numbers]
    x = x.expand(len(numbers), -1, -1, -1)
    images, applied = reconstruct(network, x, layer, numbers, positions, overwrite)
    return Deconv(
        layer, tuple(numbers.tolist()), positions.cpu(), values.float().cpu(), images, applied
    )


def as_maps(out: Tensor) -> Float[Tensor, "n maps h w"]:
    """A layer's output as feature maps; other outputs become maps of 1x1."""
    return out if out.ndim == 4 else out.flatten(1)[:, :, None, None]


def peaks(out: Tensor) -> tuple[Float[Tensor, "n maps"], Int64[Tensor, "n maps 2"]]:
    """The strongest activation of each map, and its position (row, column)."""
    maps = as_maps(out)
    values, index = maps.flatten(2).max(dim=2)
    width = maps.shape[3]
    return values, torch.stack([index // width, index % width], dim=2)


def reconstruct(
    network: nn.Module,
    x: Batch,
    layer: str,
    maps: Int64[Tensor, " n"],
    positions: Int64[Tensor, "n 2"],
    overwrite: bool = False,
) -> tuple[Float[Tensor, "n c h w"], dict[str, int]]:
    """For each image the reconstruction from one activation of `layer`, with all others set to 0.

    Also counts the operators that were not simply transposed.
    """
    rules = OVERWRITING if overwrite else PUBLISHED
    x = as_input(network, x)
    calls = find_calls(network, x, [layer])  # outside the rules, which count operators
    with frozen(network), BackwardRules(rules, backward.refuse) as mode:
        pixels = x.requires_grad_()
        out = layer_outputs(network, pixels.clone(), calls)[layer]
        if not out.requires_grad:
            raise ValueError(f"the output of {layer} has no gradient with respect to the image")
    backward.require_known_nodes(out, backward.LINEAR_NODES)
    grid = as_maps(out)
    signal = torch.zeros_like(grid)
    at = (torch.arange(len(x)), maps.cpu(), *positions.cpu().unbind(1))
    signal[at] = grid.detach()[at]
    (images,) = differentiate(out, [pixels], signal.view_as(out))
    applied = {name: n for name, n in mode.counts.items() if name not in LINEAR}
    return images.float().cpu(), applied


def summary(applied: Mapping[str, int]) -> str:
    """The counts of `Deconv.applied` in words.

    >>> summary({"relu": 3, "max_pool2d": 2, "lrn": 1})
    'ReLU 3 times, unpooled 2 times, normalisation skipped 1 time'
    """
    words = dict.fromkeys(backward.POOLS, "unpooled")
    words |= dict.fromkeys(backward.NORMS, "normalisation skipped") | {"relu": "ReLU"}
    parts = [f"{words.get(name, name)} {n} time{'s' * (n > 1)}" for name, n in applied.items()]
    return ", ".join(parts) or "filters transposed"
