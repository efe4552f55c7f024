"""The papers' test protocols: which views of an image are scored, and how they are averaged.

Sizes are in proportion to the network's own training sizes, which stand for the papers' images of
256 and crops of 224 pixels. No view is smaller than the crop.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor, nn

from classicnets.data.crops import centre_boxes, corner_offsets
from classicnets.data.images import ImageFiles, Images
from classicnets.data.loader import stream
from classicnets.data.scaling import Scaling

from .dense import DenseHead, dense_scores

BATCH = 64  # crops in a forward pass; of larger images as many as have no more pixels


@dataclass(frozen=True)
class TrainScale:
    """The sizes a network was trained at: crops of images whose shorter side is `side`.

    With scale jitter, `jitter` holds the smallest and the largest shorter side.
    """

    side: int
    crop: int
    jitter: tuple[int, int] | None = None

    @property
    def test_side(self) -> int:
        """The shorter side to test at: that of training, or the middle of the jitter."""
        return sum(self.jitter) // 2 if self.jitter else self.side

    @property
    def test_sides(self) -> tuple[int, ...]:
        """VGG, section 4.2: S - 32, S, S + 32 for crops of 224; the ends and middle of jitter.

        >>> TrainScale(384, 224).test_sides, TrainScale(384, 224, (256, 512)).test_sides
        ((352, 384, 416), (256, 384, 512))
        >>> TrainScale(32, 32).test_sides
        (32, 32, 37)
        """
        step = round(self.crop / 7)
        low, high = self.jitter or (self.side - step, self.side + step)
        return tuple(max(side, self.crop) for side in (low, self.test_side, high))


Boxes = Float32[Tensor, "n views 4"]  # top, left, height, width in pixels of the image


@dataclass(frozen=True)
class Crops:
    """Squares cut from an image and resized to the crop size, with or without mirror images.

    Probabilities are averaged. `whole` is True where crops reach beyond the centre square.
    """

    boxes: Callable[[Int64[Tensor, "n 2"], TrainScale], Boxes]
    mirrored: bool = True
    whole: bool = True


@dataclass(frozen=True)
class Dense:
    """The whole image at several sizes, with the network applied at every position.

    Scores are averaged over positions, probabilities over sizes and mirror images.
    """

    sides: Callable[[TrainScale], tuple[int, ...]]
    mirrored: bool = True
    whole: bool = True


def ten_crop(sizes: Int64[Tensor, "n 2"], scale: TrainScale) -> Boxes:
    """AlexNet, section 4.1: the corners and the centre of the centre square."""
    return _five_boxes(centre_boxes(sizes, scale.side, scale.side), scale.side, scale.crop)


def grid_crops(sizes: Int64[Tensor, "n 2"], sides: tuple[int, ...], crop: int) -> Boxes:
    """VGG, section 4.3: for each side a grid of 5x5 crops, evenly spaced over the image."""
    return torch.cat([_grid_boxes(sizes, side, crop) for side in sides], 1)


def googlenet_crops(sizes: Int64[Tensor, "n 2"], scale: TrainScale) -> Boxes:
    """GoogLeNet, section 7: at four sides (256, 288, 320, 352) the squares at either end and in
    the middle of the image; of each the corners, the centre and the whole square.
    """
    shorter = sizes.min(1).values
    views = []
    for eighths in (8, 9, 10, 11):
        side = max(round(scale.side * eighths / 8), scale.crop)
        for position in (0, 0.5, 1):
            corner = ((sizes - shorter[:, None]) * position).floor()
            square = torch.cat([corner, shorter[:, None].expand(-1, 2)], 1).float()
            views += [_five_boxes(square, side, scale.crop), square[:, None]]
    return torch.cat(views, 1)


def _grid_boxes(sizes: Int64[Tensor, "n 2"], side: int, crop: int) -> Boxes:
    shorter = sizes.min(1).values[:, None]
    scale, margin = shorter / side, sizes * side // shorter - crop
    corners = (margin[:, None] * torch.linspace(0, 1, 5)[:, None]).round()
    rows, columns = corners[..., 0].repeat_interleave(5, 1), corners[..., 1].repeat(1, 5)
    length = torch.full_like(rows, crop)
    return torch.stack([rows, columns, length, length], 2) * scale[:, None]


def _five_boxes(square: Float32[Tensor, "n 4"], side: int, crop: int) -> Boxes:
    """Crops at the corners and the centre of squares resized to this side."""
    scale = square[:, None, 2:] / side
    corners = square[:, None, :2] + corner_offsets(side, crop) * scale
    return torch.cat([corners, (crop * scale).expand_as(corners)], 2)


# ResNet's paper averages "scores"; here probabilities are averaged, as in the other papers
PROTOCOLS: dict[str, Crops | Dense] = {
    "single": Crops(lambda s, at: centre_boxes(s, at.side, at.crop)[:, None], False, whole=False),
    "ten-crop": Crops(ten_crop, whole=False),  # AlexNet, ZFNet; ResNet for comparisons
    "dense": Dense(lambda at: (at.test_side,)),  # VGG, section 3.2
    "multi-scale": Dense(lambda at: at.test_sides),  # VGG, section 4.2
    "50-crop": Crops(lambda s, at: grid_crops(s, (at.test_side,), at.crop)),  # VGG, section 4.3
    "150-crop": Crops(lambda s, at: grid_crops(s, at.test_sides, at.crop)),
    "144-crop": Crops(googlenet_crops),
    "fully-convolutional": Dense(  # ResNet, section 3.4, which mentions no mirror images
        lambda at: tuple(round(at.crop * side / 224) for side in (224, 256, 384, 480, 640)), False
    ),
}


def find_protocol(name: str) -> Crops | Dense:
    """The protocol of this name. Raises a ValueError for an unknown one."""
    if name not in PROTOCOLS:
        raise ValueError(f"no protocol {name!r}; choose from {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def count_views(protocol: Crops | Dense, scale: TrainScale) -> int:
    """The number of forward passes an image takes.

    >>> scale = TrainScale(256, 224)
    >>> [count_views(PROTOCOLS[name], scale) for name in ("ten-crop", "dense", "144-crop")]
    [10, 2, 144]
    """
    if isinstance(protocol, Dense):
        count = len(protocol.sides(scale))
    else:
        count = protocol.boxes(torch.tensor([[scale.side, scale.side]]), scale).shape[1]
    return count * (1 + protocol.mirrored)


@torch.no_grad()
def log_probabilities(
    network: nn.Module,
    images: Images | ImageFiles,
    protocol: Crops | Dense,
    scale: TrainScale,
    scaling: Scaling,
) -> Float64[Tensor, "n classes"]:
    """The log-probabilities of the images, on the CPU, by a network in evaluation mode.

    Logarithms, because the probabilities of a confident network's other classes round to 0 and
    would lose their order. Raises a ValueError for an empty set, for an image that cannot be read,
    and for a network that cannot be applied at the sizes of the protocol.
    """
    if not len(images):
        raise ValueError("no images to evaluate on")
    if isinstance(protocol, Crops):
        parts = list(_score_crops(network, images, protocol, scale, scaling))
    else:
        parts = list(_score_dense(network, images, protocol, scale, scaling))
    order = torch.cat([indices for indices, _ in parts])
    scores = torch.cat([log_p for _, log_p in parts])[order.argsort()]
    if bad := int(scores.isnan().any(1).sum()):
        raise ValueError(
            f"the network's scores are not numbers for {bad} of {len(images)} images; "
            "its weights or its arithmetic overflow"
        )
    return scores


def mean_log_probabilities(
    scores: list[Float64[Tensor, "n classes"]],
) -> Float64[Tensor, "n classes"]:
    """The logarithm of the mean over views of the probabilities, from scores or their logs."""
    views = torch.stack(scores).log_softmax(2)
    return views.logsumexp(0) - torch.tensor(len(views)).double().log()


Part = tuple[Tensor, Tensor]  # indices of images, and their log-probabilities


def _score_crops(
    network: nn.Module,
    images: Images | ImageFiles,
    protocol: Crops,
    scale: TrainScale,
    scaling: Scaling,
) -> Iterator[Part]:
    views = count_views(protocol, scale) // (1 + protocol.mirrored)
    parts = torch.arange(len(images)).split(max(1, BATCH // views))
    requests = (
        (at.repeat_interleave(views), protocol.boxes(images.sizes[at], scale).flatten(0, 1))
        for at in parts
    )
    for at, (x, _) in zip(parts, stream(images, requests, scale.crop), strict=True):
        scores = [
            view
            for pixels in _mirrored(x, protocol.mirrored)
            for view in _to_cpu(network(scaling(pixels))).unflatten(0, (-1, views)).unbind(1)
        ]
        yield at, mean_log_probabilities(scores)


def _score_dense(
    network: nn.Module,
    images: Images | ImageFiles,
    protocol: Dense,
    scale: TrainScale,
    scaling: Scaling,
) -> Iterator[Part]:
    device = images.labels.device
    head = DenseHead.of(network, torch.zeros(1, images.channels, scale.crop, scale.crop).to(device))
    sides = protocol.sides(scale)
    batch = max(1, BATCH * scale.crop**2 // max(sides) ** 2)
    for at in _batches_of_one_size(images.sizes, batch):
        scores = [
            _to_cpu(dense_scores(network, head, scaling(pixels)).mean((2, 3)))
            for side in sides
            for pixels in _mirrored(_resize(images, at, side), protocol.mirrored)
        ]
        yield at, mean_log_probabilities(scores)


def _batches_of_one_size(sizes: Int64[Tensor, "n 2"], batch: int) -> Iterator[Int64[Tensor, " m"]]:
    """Indices of images that have the same size, at most `batch` at a time."""
    kinds, kind = sizes.unique(dim=0, return_inverse=True)
    for k in range(len(kinds)):
        yield from (kind == k).nonzero()[:, 0].split(batch)


def _resize(images: Images | ImageFiles, at: Int64[Tensor, " m"], side: int) -> Tensor:
    """Whole images of one size, their shorter side resized to `side`, (m, c, h, w)."""
    size = images.sizes[at[0]]
    longer = int(size.max())
    canvas = round(longer * side / int(size.min()))
    h, w = (size * canvas / longer).round().int().tolist()
    square = torch.tensor([0, 0, longer, longer]).float().expand(len(at), 4)
    return images.crop(at, square, canvas)[:, :, :h, :w]


def _mirrored(x: Tensor, mirrored: bool) -> Iterator[Tensor]:
    """The images and, if asked for, their mirror images."""
    yield x
    if mirrored:
        yield x.flip(3)


def _to_cpu(scores: Tensor) -> Float64[Tensor, "n classes"]:
    return scores.cpu().double()
