"""How a network is shown the pictures at test time: the papers' protocols, in a written table.

Sizes are those of the paper in units of the network's own: what it was trained at stands for the
papers' pictures of 256 and crops of 224 pixels. Nothing is smaller than the crop.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor, nn

from classicnets.data.crops import centre_boxes
from classicnets.data.images import ImageFiles, Images
from classicnets.data.loader import stream
from classicnets.data.scaling import Scaling

from .dense import Window, scores_over

AT_ONCE = 64  # crops shown together; of larger pictures as many as have no more pixels


@dataclass(frozen=True)
class TrainScale:
    """What a network was trained at: crops of pictures whose shorter side is `side`.

    Where the side was drawn for each picture, `jitter` has its ends.
    """

    side: int
    crop: int
    jitter: tuple[int, int] | None = None

    @property
    def usual(self) -> int:
        """The side to test at: the one of training or, where it was drawn, the middle."""
        return sum(self.jitter) // 2 if self.jitter else self.side

    @property
    def three(self) -> tuple[int, ...]:
        """VGG, section 4.2: S - 32, S, S + 32 of crops of 224; the ends and the middle of jitter.

        >>> TrainScale(384, 224).three, TrainScale(384, 224, (256, 512)).three
        ((352, 384, 416), (256, 384, 512))
        >>> TrainScale(32, 32).three
        (32, 32, 37)
        """
        step = round(self.crop / 7)
        low, high = self.jitter or (self.side - step, self.side + step)
        return tuple(max(side, self.crop) for side in (low, self.usual, high))


Windows = Float32[Tensor, "n views 4"]


@dataclass(frozen=True)
class Crops:
    """Squares cut from a picture, each brought to the crop's size, and their mirror images.

    The probabilities are averaged. `whole` says that more than the centre square is looked at.
    """

    windows: Callable[[Int64[Tensor, "n 2"], TrainScale], Windows]
    mirrored: bool = True
    whole: bool = True


@dataclass(frozen=True)
class Dense:
    """The whole picture at several sides, with the network applied at every position.

    The scores are averaged over the positions, the probabilities over sides and mirror images.
    """

    sides: Callable[[TrainScale], tuple[int, ...]]
    mirrored: bool = True
    whole: bool = True


def ten(sizes: Int64[Tensor, "n 2"], scale: TrainScale) -> Windows:
    """AlexNet, section 4.1: the corners of the centre square, and its centre."""
    return _five(centre_boxes(sizes, scale.side, scale.side), scale.side, scale.crop)


def grid(sizes: Int64[Tensor, "n 2"], sides: tuple[int, ...], crop: int) -> Windows:
    """VGG, section 4.3: at each side five rows of five crops, evenly spaced over the picture."""
    return torch.cat([_grid(sizes, side, crop) for side in sides], 1)


def inception(sizes: Int64[Tensor, "n 2"], scale: TrainScale) -> Windows:
    """GoogLeNet, section 7: at four sides (256, 288, 320, 352) the square at either end of the
    picture and in its middle; of each the corners, the centre, and all of it.
    """
    shorter = sizes.min(1).values
    views = []
    for eighths in (8, 9, 10, 11):
        side = max(round(scale.side * eighths / 8), scale.crop)
        for place in (0, 0.5, 1):
            corner = ((sizes - shorter[:, None]) * place).floor()
            square = torch.cat([corner, shorter[:, None].expand(-1, 2)], 1).float()
            views += [_five(square, side, scale.crop), square[:, None]]
    return torch.cat(views, 1)


def _grid(sizes: Int64[Tensor, "n 2"], side: int, crop: int) -> Windows:
    shorter = sizes.min(1).values[:, None]
    scale, room = shorter / side, sizes * side // shorter - crop
    places = (room[:, None] * torch.linspace(0, 1, 5)[:, None]).round()
    rows, columns = places[..., 0].repeat_interleave(5, 1), places[..., 1].repeat(1, 5)
    length = torch.full_like(rows, crop)
    return torch.stack([rows, columns, length, length], 2) * scale[:, None]


def _five(square: Float32[Tensor, "n 4"], side: int, crop: int) -> Windows:
    """The corners and the centre of squares that have been brought to this side."""
    end, half = side - crop, (side - crop) // 2
    places = torch.tensor([[0, 0], [0, end], [end, 0], [end, end], [half, half]])
    scale = square[:, None, 2:] / side
    corners = square[:, None, :2] + places * scale
    return torch.cat([corners, (crop * scale).expand_as(corners)], 2)


# ResNet's paper averages "scores"; probabilities are averaged here, as in the others
PROTOCOLS: dict[str, Crops | Dense] = {
    "single": Crops(lambda s, at: centre_boxes(s, at.side, at.crop)[:, None], False, whole=False),
    "ten-crop": Crops(ten, whole=False),  # AlexNet, ZFNet; ResNet for comparisons
    "dense": Dense(lambda at: (at.usual,)),  # VGG, section 3.2
    "multi-scale": Dense(lambda at: at.three),  # VGG, section 4.2
    "50-crop": Crops(lambda s, at: grid(s, (at.usual,), at.crop)),  # VGG, section 4.3
    "150-crop": Crops(lambda s, at: grid(s, at.three, at.crop)),
    "144-crop": Crops(inception),
    "fully-convolutional": Dense(  # ResNet, section 3.4, which mentions no mirror images
        lambda at: tuple(round(at.crop * side / 224) for side in (224, 256, 384, 480, 640)), False
    ),
}


def protocol(name: str) -> Crops | Dense:
    """The protocol of this name. Raises a ValueError that lists them when there is none."""
    if name not in PROTOCOLS:
        raise ValueError(f"there is no protocol {name!r}; there is {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def passes(protocol: Crops | Dense, scale: TrainScale) -> int:
    """How many times a picture goes through the network.

    >>> scale = TrainScale(256, 224)
    >>> [passes(PROTOCOLS[name], scale) for name in ("ten-crop", "dense", "144-crop")]
    [10, 2, 144]
    """
    if isinstance(protocol, Dense):
        count = len(protocol.sides(scale))
    else:
        count = protocol.windows(torch.tensor([[scale.side, scale.side]]), scale).shape[1]
    return count * (1 + protocol.mirrored)


@torch.no_grad()
def log_probabilities(
    network: nn.Module,
    images: Images | ImageFiles,
    protocol: Crops | Dense,
    scale: TrainScale,
    scaling: Scaling,
) -> Float64[Tensor, "n classes"]:
    """What a network in evaluation mode takes the pictures to be, on the CPU.

    Logarithms, since of a confident network the probabilities of most classes round to 0 and their
    order would be lost. Raises a ValueError when there is no picture or one cannot be read, or the
    protocol needs the network at other sizes and it cannot be had there.
    """
    if not len(images):
        raise ValueError("there are no pictures to evaluate on")
    if isinstance(protocol, Crops):
        parts = list(_crops(network, images, protocol, scale, scaling))
    else:
        parts = list(_dense(network, images, protocol, scale, scaling))
    order = torch.cat([indices for indices, _ in parts])
    return torch.cat([found for _, found in parts])[order.argsort()]


def averaged(scores: list[Float64[Tensor, "n classes"]]) -> Float64[Tensor, "n classes"]:
    """The logarithm of the mean of the probabilities that go with these scores."""
    views = torch.stack(scores).log_softmax(2)
    return views.logsumexp(0) - torch.tensor(len(views)).double().log()


Part = tuple[Tensor, Tensor]  # indices of pictures, and their log-probabilities


def _crops(
    network: nn.Module,
    images: Images | ImageFiles,
    protocol: Crops,
    scale: TrainScale,
    scaling: Scaling,
) -> Iterator[Part]:
    views = passes(protocol, scale) // (1 + protocol.mirrored)
    parts = torch.arange(len(images)).split(max(1, AT_ONCE // views))
    requests = (
        (at.repeat_interleave(views), protocol.windows(images.sizes[at], scale).flatten(0, 1))
        for at in parts
    )
    for at, (x, _) in zip(parts, stream(images, requests, scale.crop), strict=True):
        scores = [
            one_view
            for seen in _both(x, protocol.mirrored)
            for one_view in _exact(network(scaling(seen))).unflatten(0, (-1, views)).unbind(1)
        ]
        yield at, averaged(scores)


def _dense(
    network: nn.Module,
    images: Images | ImageFiles,
    protocol: Dense,
    scale: TrainScale,
    scaling: Scaling,
) -> Iterator[Part]:
    device = images.labels.device
    window = Window.of(network, torch.zeros(1, images.channels, scale.crop, scale.crop).to(device))
    sides = protocol.sides(scale)
    together = max(1, AT_ONCE * scale.crop**2 // max(sides) ** 2)
    for at in _of_one_size(images.sizes, together):
        scores = [
            _exact(scores_over(network, window, scaling(seen)).mean((2, 3)))
            for side in sides
            for seen in _both(_resized(images, at, side), protocol.mirrored)
        ]
        yield at, averaged(scores)


def _of_one_size(sizes: Int64[Tensor, "n 2"], most: int) -> Iterator[Int64[Tensor, " m"]]:
    """Indices of pictures that can be shown together."""
    kinds, kind = sizes.unique(dim=0, return_inverse=True)
    for k in range(len(kinds)):
        yield from (kind == k).nonzero()[:, 0].split(most)


def _resized(images: Images | ImageFiles, at: Int64[Tensor, " m"], side: int) -> Tensor:
    """Whole pictures of one size with their shorter side brought to `side`, (m, c, h, w)."""
    size = images.sizes[at[0]]
    longer = int(size.max())
    canvas = round(longer * side / int(size.min()))
    h, w = (size * canvas / longer).round().int().tolist()
    square = torch.tensor([0, 0, longer, longer]).float().expand(len(at), 4)
    return images.crop(at, square, canvas)[:, :, :h, :w]


def _both(x: Tensor, mirrored: bool) -> Iterator[Tensor]:
    yield x
    if mirrored:
        yield x.flip(3)


def _exact(scores: Tensor) -> Float64[Tensor, "n classes"]:
    return scores.cpu().double()
