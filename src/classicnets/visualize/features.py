"""Feature maps of an image, and the image patches that activate a map most strongly."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from classicnets.measure import measure

from .deconv import as_maps, peaks, reconstruct
from .forward import Batch, Image, as_input, frozen
from .layers import find_calls, get_layer, layer_outputs, named_layers, target_maps


@dataclass(frozen=True)
class FeatureMaps:
    """The feature maps of a layer for one image."""

    layer: str
    maps: Float[Tensor, "maps h w"]

    @cached_property
    def order(self) -> tuple[int, ...]:
        """The numbers of the maps, by descending largest value."""
        return tuple(self.maps.amax(dim=(1, 2)).argsort(descending=True, stable=True).tolist())


def feature_maps(network: nn.Module, image: Image, layers: Sequence[str]) -> list[FeatureMaps]:
    """The feature maps of these layers; other outputs count as maps of 1x1.

    Raises ValueError for an unknown layer.
    """
    x = as_input(network, image[None])
    calls = find_calls(network, x, layers)
    with frozen(network), torch.no_grad():
        outputs = layer_outputs(network, x, calls)
    return [FeatureMaps(name, as_maps(outputs[name])[0].float().cpu()) for name in layers]


@dataclass(frozen=True)
class Strongest:
    """For m maps of a layer the k images with the strongest activations, the strongest first.

    `images` are indices into the set, `positions` (row, column) of the activations, and `boxes`
    their exact receptive fields: top, left, height, width in pixels, possibly beyond the image.
    """

    layer: str
    maps: tuple[int, ...]
    values: Float[Tensor, "m k"]
    images: Int64[Tensor, "m k"]
    positions: Int64[Tensor, "m k 2"]
    boxes: Int64[Tensor, "m k 4"]
    reconstructions: Float[Tensor, "m k c h w"] | None = None
    applied: dict[str, int] | None = None


def strongest_activations(
    network: nn.Module,
    images: Batch,
    layer: str,
    maps: Sequence[int] | None = None,
    count: int = 9,
    max_maps: int = 6,
    batch: int = 64,
) -> Strongest:
    """The `count` strongest activations of each map over a set, one an image (ZFNet, Figure 2).

    Of these maps, or of the `max_maps` with the strongest activations. Raises ValueError for an
    unknown layer or map.
    """
    calls = find_calls(network, images, [layer])
    with frozen(network), torch.no_grad():
        parts = [
            peaks(layer_outputs(network, as_input(network, x), calls)[layer])
            for x in images.split(batch)
        ]
    values, positions = (torch.cat(part).cpu() for part in zip(*parts, strict=True))
    numbers = target_maps(maps, values.shape[1], layer)
    if maps is None:
        numbers = values.amax(0).argsort(descending=True, stable=True)[:max_maps].tolist()
    top = values[:, numbers].float().topk(min(count, len(images)), dim=0)
    indices = top.indices.T
    at = positions[indices, torch.tensor(numbers)[:, None]]
    boxes = receptive_boxes(network, tuple(images.shape[1:]), layer, at)
    return Strongest(layer, tuple(numbers), top.values.T, indices, at, boxes)


def add_reconstructions(
    network: nn.Module,
    images: Batch,
    found: Strongest,
    overwrite: bool = False,
    batch: int = 64,
) -> Strongest:
    """The same activations with their deconvnet reconstructions. Raises as `deconv` does."""
    m, k = found.images.shape
    maps = torch.tensor(found.maps).repeat_interleave(k).split(batch)
    indices = found.images.flatten().split(batch)
    positions = found.positions.flatten(0, 1).split(batch)
    parts = [
        reconstruct(network, images[ids.to(images.device)], found.layer, numbers, at, overwrite)
        for ids, numbers, at in zip(indices, maps, positions, strict=True)
    ]
    together = torch.cat([part for part, _ in parts]).unflatten(0, (m, k))
    return replace(found, reconstructions=together, applied=parts[0][1])


def receptive_boxes(
    network: nn.Module, size: tuple[int, ...], layer: str, positions: Int64[Tensor, "*any 2"]
) -> Int64[Tensor, "*any 4"]:
    """The exact receptive fields of activations: top, left, height, width in pixels.

    `size` is that of the image (c, h, w); in the padding a box is negative. The box is the whole
    image where the receptive field is unknown.
    """
    get_layer(network, layer)
    whole = torch.tensor([0, 0, *size[1:]]).expand(*positions.shape[:-1], 4)
    try:
        call = find_calls(network, torch.zeros(1, *size), [layer])[layer]
        rows = measure(network, size, batch=2).layers  # normalisation cannot train on one value
    except ValueError:
        return whole
    path = next(n for n, module in named_layers(network).items() if module is call.module)
    # a container has a row for each of its layers, and each call has as many rows
    rows = [r for r in rows if re.match(rf"{re.escape(path)}(\.| \(\d+\)$|$)", r.name)]
    a_call, rest = divmod(len(rows), call.count)
    if not a_call or rest:
        return whole
    r = rows[a_call * call.number - 1]
    if r.receptive_field is None:
        return whole
    field, stride, offset = (
        torch.tensor(v if isinstance(v, tuple) else (v, v))
        for v in (r.receptive_field, r.stride, r.offset)
    )
    if len(field) != 2:
        return whole
    return torch.cat([offset + positions * stride, field.expand_as(positions)], dim=-1)


def cut_patch(
    image: Image, box: Int64[Tensor, " 4"], fill: float = 0.0
) -> Float[Tensor, "c patch_h patch_w"]:
    """The part of the image inside a box, at most as large as the image; `fill` lies beyond it.

    >>> cut_patch(torch.ones(1, 8, 8), torch.tensor([-2, 3, 5, 4])).shape
    torch.Size([1, 5, 4])
    """
    (top, left, height, width), (_, h, w) = box.tolist(), image.shape
    masked = torch.full_like(image, fill)
    inside = (
        ...,
        slice(max(0, top), max(0, top + height)),
        slice(max(0, left), max(0, left + width)),
    )
    masked[inside] = image[inside]
    rows = (0, h) if height >= h else (top, height)
    columns = (0, w) if width >= w else (left, width)
    y, x = (torch.arange(start, start + n) for start, n in (rows, columns))
    beyond = ((y < 0) | (y >= h))[:, None] | ((x < 0) | (x >= w))
    patch = masked[:, y.clamp(0, h - 1)][:, :, x.clamp(0, w - 1)]
    return torch.where(beyond, fill, patch)
