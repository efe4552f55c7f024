"""Feature maps of one picture, and over many pictures the patches that excite a map most."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from classicnets.measure import measure

from .deconv import as_maps, peaks, reconstruct
from .layers import chosen_maps, layer_named, outputs, prepared, undisturbed


@dataclass(frozen=True)
class FeatureMaps:
    """What a layer gives for one picture, and the numbers of its maps, strongest first."""

    layer: str
    maps: Float[Tensor, "maps h w"]

    @cached_property
    def order(self) -> tuple[int, ...]:
        """By the largest value in the map."""
        return tuple(self.maps.amax(dim=(1, 2)).argsort(descending=True, stable=True).tolist())


def feature_maps(
    network: nn.Module, image: Float[Tensor, "c h w"], layers: Sequence[str]
) -> list[FeatureMaps]:
    """The maps of these layers for one prepared image. A layer without maps counts as maps of 1x1.

    Raises ValueError for an unknown layer.
    """
    with undisturbed(network), torch.no_grad():
        seen = outputs(network, prepared(network, image[None]), layers)
    return [FeatureMaps(name, as_maps(seen[name])[0].float().cpu()) for name in layers]


@dataclass(frozen=True)
class Strongest:
    """For m maps of a layer the k pictures that excite each most, the strongest first.

    `pictures` are numbers in the set, `places` (row, column) of the activation, `windows` what it
    sees of the picture, exactly: top, left, height, width in pixels; they may reach outside.
    """

    layer: str
    maps: tuple[int, ...]
    values: Float[Tensor, "m k"]
    pictures: Int64[Tensor, "m k"]
    places: Int64[Tensor, "m k 2"]
    windows: Int64[Tensor, "m k 4"]
    reconstructions: Float[Tensor, "m k c h w"] | None = None
    applied: dict[str, int] | None = None


def strongest(
    network: nn.Module,
    images: Float[Tensor, "n c h w"],
    layer: str,
    maps: Sequence[int] | None = None,
    count: int = 9,
    most: int = 6,
    batch: int = 64,
) -> Strongest:
    """The `count` strongest activations of each map over a set, one a picture (ZFNet, Fig. 2).

    Of these maps, or of the `most` with the strongest activations of all. Raises ValueError for an
    unknown layer or map.
    """
    with undisturbed(network), torch.no_grad():
        found = [
            peaks(outputs(network, prepared(network, x), [layer])[layer])
            for x in images.split(batch)
        ]
    values, places = (torch.cat(parts).cpu() for parts in zip(*found, strict=True))
    numbers = chosen_maps(maps, values.shape[1], layer)
    if maps is None:
        numbers = values.amax(0).argsort(descending=True, stable=True)[:most].tolist()
    top = values[:, numbers].float().topk(min(count, len(images)), dim=0)
    pictures = top.indices.T
    where = places[pictures, torch.tensor(numbers)[:, None]]
    size = tuple(images.shape[1:])
    return Strongest(
        layer,
        tuple(numbers),
        top.values.T,
        pictures,
        where,
        windows(network, size, layer, where),
    )


def reconstructed(
    network: nn.Module,
    images: Float[Tensor, "n c h w"],
    found: Strongest,
    overwrite: bool = False,
    batch: int = 64,
) -> Strongest:
    """The same with what deconvnet makes of each activation, from the same pictures. Raises as
    `deconv` does.
    """
    m, k = found.pictures.shape
    maps = torch.tensor(found.maps).repeat_interleave(k).split(batch)
    pictures, places = (
        found.pictures.flatten().split(batch),
        found.places.flatten(0, 1).split(batch),
    )
    made = [
        reconstruct(network, images[ids.to(images.device)], found.layer, numbers, where, overwrite)
        for ids, numbers, where in zip(pictures, maps, places, strict=True)
    ]
    together = torch.cat([part for part, _ in made]).unflatten(0, (m, k))
    return replace(found, reconstructions=together, applied=made[0][1])


def windows(
    network: nn.Module, size: tuple[int, ...], layer: str, places: Int64[Tensor, "*any 2"]
) -> Int64[Tensor, "*any 4"]:
    """What activations at these places see of an image of this size, exactly: top, left, height,
    width in pixels, negative in the padding.

    The whole image where the receptive field cannot be followed exactly.
    """
    layer_named(network, layer)
    whole = torch.tensor([0, 0, *size[1:]]).expand(*places.shape[:-1], 4)
    try:
        rows = measure(network, size).layers
    except ValueError:
        return whole
    # a layer made of layers has a row for each of them: its own field is the last one's
    row = [r for r in rows if r.name == layer or r.name.startswith(f"{layer}.")][-1:]
    if not row or row[0].receptive_field is None:
        return whole
    r = row[0]
    field, step, offset = (
        torch.tensor(v if isinstance(v, tuple) else (v, v))
        for v in (r.receptive_field, r.stride, r.offset)
    )
    if len(field) != 2:
        return whole
    return torch.cat([offset + places * step, field.expand_as(places)], dim=-1)


def patch(
    image: Float[Tensor, "c h w"], window: Int64[Tensor, " 4"], outside: float = 0.0
) -> Float[Tensor, "c patch_h patch_w"]:
    """What is seen through a window, at most as large as the image; `outside` is what lies beyond.

    >>> patch(torch.ones(1, 8, 8), torch.tensor([-2, 3, 5, 4])).shape
    torch.Size([1, 5, 4])
    """
    (top, left, height, width), (_, h, w) = window.tolist(), image.shape
    seen = torch.full_like(image, outside)
    inside = (
        ...,
        slice(max(0, top), max(0, top + height)),
        slice(max(0, left), max(0, left + width)),
    )
    seen[inside] = image[inside]
    rows, columns = (
        (0, h) if height >= h else (top, height),
        (0, w) if width >= w else (left, width),
    )
    y, x = (torch.arange(start, start + n) for start, n in (rows, columns))
    beyond = ((y < 0) | (y >= h))[:, None] | ((x < 0) | (x >= w))
    cut = seen[:, y.clamp(0, h - 1)][:, :, x.clamp(0, w - 1)]
    return torch.where(beyond, outside, cut)
