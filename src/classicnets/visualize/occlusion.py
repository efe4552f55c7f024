"""Occlusion: what changes when a grey square hides part of the picture (ZFNet, section 4.2)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from .layers import (
    chosen_class,
    last_spatial,
    layer_named,
    prepared,
    scores_of,
    undisturbed,
    watching,
)


@dataclass(frozen=True)
class Occlusion:
    """For each position of the square: the probability of `label`, the likeliest class, and how
    active map `map` of `layer` still is, which was the strongest before (summed over the map).

    Position (i, j) hides `size` pixels a side from (`tops[i]`, `lefts[j]`).
    """

    label: int
    size: int
    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    probability: Float[Tensor, "rows columns"]
    labels: Int64[Tensor, "rows columns"]
    activity: Float[Tensor, "rows columns"]
    layer: str
    map: int
    before: tuple[float, float]  # probability and activity of the whole picture
    called: int  # what the whole picture is taken for


def occlusion(
    network: nn.Module,
    image: Float[Tensor, "c h w"],
    label: int | None = None,
    size: int | None = None,
    step: int | None = None,
    layer: str | None = None,
    grey: Float[Tensor, "c h w"] | float = 0.0,
    batch: int = 64,
) -> Occlusion:
    """Probability, label and activity as a grey square moves over the picture.

    `label` is the likeliest class unless given. The paper gives neither the size of the square nor
    its step: here a seventh of the shorter side, and a third of that. The square never leaves the
    picture, and its last position in each direction touches the border. `grey` is a grey picture in
    prepared values, or one such value. Raises ValueError for a square that does not fit, a step
    below 1, and an unknown layer or class.
    """
    c, h, w = image.shape
    size = max(1, round(min(h, w) / 7)) if size is None else size
    step = max(1, size // 3) if step is None else step
    if not 1 <= size <= min(h, w):
        raise ValueError(f"the square must have 1 to {min(h, w)} pixels a side, not {size}")
    if step < 1:
        raise ValueError(f"the step must be at least 1 pixel, not {step}")
    layer = last_spatial(network, image) if layer is None else layer
    layer_named(network, layer)
    x = prepared(network, image[None])
    fill = torch.as_tensor(grey, dtype=x.dtype, device=x.device).expand(c, h, w)
    tops, lefts = _positions(h, size, step), _positions(w, size, step)
    corners = [(top, left) for top in tops for left in lefts]
    found: list[tuple[Tensor, Tensor]] = []
    with undisturbed(network), torch.no_grad(), watching(network, [layer]) as seen:
        before = scores_of(network, x)[0].float().softmax(0)
        label = chosen_class(before, label)
        summed = _activity(seen[layer])
        strongest = int(summed[0].argmax())
        for start in range(0, len(corners), batch):
            part = corners[start : start + batch]
            hidden = x.repeat(len(part), 1, 1, 1)
            for i, (top, left) in enumerate(part):
                square = (..., slice(top, top + size), slice(left, left + size))
                hidden[i][square] = fill[square]
            scores = scores_of(network, hidden).float().softmax(1)
            found.append((scores.cpu(), _activity(seen[layer])[:, strongest].cpu()))
    scores, activity = (torch.cat(parts) for parts in zip(*found, strict=True))
    grid = (len(tops), len(lefts))
    return Occlusion(
        label,
        size,
        tops,
        lefts,
        scores[:, label].view(grid),
        scores.argmax(1).view(grid),
        activity.view(grid),
        layer,
        strongest,
        (before[label].item(), summed[0, strongest].item()),
        int(before.argmax()),
    )


def _positions(side: int, size: int, step: int) -> tuple[int, ...]:
    return tuple(dict.fromkeys([*range(0, side - size + 1, step), side - size]))


def _activity(maps: Tensor) -> Tensor:
    return maps.flatten(2).float().sum(2) if maps.ndim > 2 else maps.float()
