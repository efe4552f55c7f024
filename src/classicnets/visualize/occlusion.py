"""Occlusion sensitivity: predictions while a grey square hides part of the image.

ZFNet, section 4.2.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from .forward import Image, as_input, class_scores, frozen, target_class
from .layers import capture_outputs, find_calls, last_spatial_layer


@dataclass(frozen=True)
class Occlusion:
    """For each position of the square: the probability of `label`, the predicted class, and the
    activity (sum) of map `map` of `layer`, the most active one for the whole image.

    Position (i, j) hides `size` x `size` pixels from (`tops[i]`, `lefts[j]`). The whole image has
    `whole_probability`, `whole_activity` and `whole_predicted`.
    """

    label: int
    size: int
    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    probability: Float[Tensor, "rows columns"]
    predicted: Int64[Tensor, "rows columns"]
    activity: Float[Tensor, "rows columns"]
    layer: str
    map: int
    whole_probability: float
    whole_activity: float
    whole_predicted: int


def occlusion(
    network: nn.Module,
    image: Image,
    label: int | None = None,
    size: int | None = None,
    stride: int | None = None,
    layer: str | None = None,
    grey: Image | float = 0.0,
    batch: int = 64,
) -> Occlusion:
    """Probability, prediction and activity for each position of a grey square.

    `label` is by default the most likely class. The paper gives neither the size of the square nor
    its stride: here a seventh of the shorter side, and a third of that. The square stays inside the
    image, and its last position in each direction touches the border. `grey` is a grey image scaled
    as the network's input, or one such value. Raises ValueError for a square that does not fit, a
    stride below 1, and an unknown layer or class.
    """
    c, h, w = image.shape
    size = max(1, round(min(h, w) / 7)) if size is None else size
    stride = max(1, size // 3) if stride is None else stride
    if not 1 <= size <= min(h, w):
        raise ValueError(f"the square must have 1 to {min(h, w)} pixels a side, not {size}")
    if stride < 1:
        raise ValueError(f"the stride must be at least 1 pixel, not {stride}")
    layer = last_spatial_layer(network, image) if layer is None else layer
    x = as_input(network, image[None])
    calls = find_calls(network, x, [layer])
    fill = torch.as_tensor(grey, dtype=x.dtype, device=x.device).expand(c, h, w)
    tops, lefts = _positions(h, size, stride), _positions(w, size, stride)
    corners = [(top, left) for top in tops for left in lefts]
    parts: list[tuple[Tensor, Tensor]] = []
    with frozen(network), torch.no_grad(), capture_outputs(network, calls) as captured:
        whole = class_scores(network, x)[0].float().softmax(0)
        label = target_class(whole, label)
        whole_activity = _activity(captured[layer])[0]
        strongest = int(whole_activity.argmax())
        for start in range(0, len(corners), batch):
            chunk = corners[start : start + batch]
            hidden = x.repeat(len(chunk), 1, 1, 1)
            for i, (top, left) in enumerate(chunk):
                square = (..., slice(top, top + size), slice(left, left + size))
                hidden[i][square] = fill[square]
            p = class_scores(network, hidden).float().softmax(1)
            parts.append((p.cpu(), _activity(captured[layer])[:, strongest].cpu()))
    p, activity = (torch.cat(part) for part in zip(*parts, strict=True))
    grid = (len(tops), len(lefts))
    return Occlusion(
        label,
        size,
        tops,
        lefts,
        p[:, label].view(grid),
        p.argmax(1).view(grid),
        activity.view(grid),
        layer,
        strongest,
        whole[label].item(),
        whole_activity[strongest].item(),
        int(whole.argmax()),
    )


def _positions(side: int, size: int, stride: int) -> tuple[int, ...]:
    return tuple(dict.fromkeys([*range(0, side - size + 1, stride), side - size]))


def _activity(maps: Tensor) -> Tensor:
    return maps.flatten(2).float().sum(2) if maps.ndim > 2 else maps.float()
