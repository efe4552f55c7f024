"""ResNet: He, Zhang, Ren, Sun, Deep residual learning for image recognition, CVPR 2016,
arXiv:1512.03385. Table 1 (ImageNet), section 4.1 (shortcut options A, B, C), 4.2 (CIFAR-10).

The plain networks are those of the same table without shortcuts, the baseline of the paper.

Where the paper leaves a choice: in bottleneck blocks the stride is in the first 1x1 convolution, as
in the authors' released networks (in `resnet50_v15` and its kin, which are later, in the 3x3). The
convolutions have no bias, since batch normalisation follows; the authors' ResNet-50 has one in
conv1, their 101 and 152 do not. The first pool is padded by 1, which gives the printed 56x56.
Option A puts its zero maps after the copied ones. The stages of the CIFAR networks have no names in
the paper; here they are conv2_x, conv3_x, conv4_x.
"""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from classicnets.layers.wiring import Network, Residual, chain


class PadShortcut(nn.Module):
    """Option A: every stride-th pixel, with zero maps for the added width; no parameters.

    (n, c, h, w) -> (n, width, h / stride, w / stride)
    """

    def __init__(self, added: int, stride: int):
        super().__init__()
        self.added = added
        self.stride = stride

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n width y x"]:
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.added))


def basic(width_in: int, width: int, stride: int) -> nn.Sequential:
    """Figure 5, left: 3x3, 3x3."""
    return chain(
        conv1=nn.Conv2d(width_in, width, 3, stride, padding=1, bias=False),
        bn1=nn.BatchNorm2d(width),
        relu1=nn.ReLU(),
        conv2=nn.Conv2d(width, width, 3, padding=1, bias=False),
        bn2=nn.BatchNorm2d(width),
    )


def bottleneck(width_in: int, width: int, stride: int) -> nn.Sequential:
    """Figure 5, right: 1x1 to a quarter of the width, 3x3, 1x1 back."""
    narrow = width // 4
    return chain(
        conv1=nn.Conv2d(width_in, narrow, 1, stride, bias=False),
        bn1=nn.BatchNorm2d(narrow),
        relu1=nn.ReLU(),
        conv2=nn.Conv2d(narrow, narrow, 3, padding=1, bias=False),
        bn2=nn.BatchNorm2d(narrow),
        relu2=nn.ReLU(),
        conv3=nn.Conv2d(narrow, width, 1, bias=False),
        bn3=nn.BatchNorm2d(width),
    )


def bottleneck_v15(width_in: int, width: int, stride: int) -> nn.Sequential:
    """The later version of torchvision and others, with the stride in the 3x3."""
    block = bottleneck(width_in, width, 1)
    block.conv2 = nn.Conv2d(width // 4, width // 4, 3, stride, padding=1, bias=False)
    return block


# depth: the block, its widths and the number of blocks in conv2_x, conv3_x, conv4_x, conv5_x
# fmt: off
TABLE_1 = {
    18:  (basic,      (64, 128, 256, 512),     (2, 2, 2, 2)),
    34:  (basic,      (64, 128, 256, 512),     (3, 4, 6, 3)),
    50:  (bottleneck, (256, 512, 1024, 2048),  (3, 4, 6, 3)),
    101: (bottleneck, (256, 512, 1024, 2048),  (3, 4, 23, 3)),
    152: (bottleneck, (256, 512, 1024, 2048),  (3, 8, 36, 3)),
}
# fmt: on


def resnet(depth: int, option: str = "B", classes: int = 1000, channels: int = 3) -> Network:
    """A column of Table 1: images of 224x224 (or any size) -> scores.

    Parameters with option B: 11,689,512 (18), 21,797,672 (34), 25,557,032 (50), 44,549,160 (101),
    60,192,808 (152).
    Raises a ValueError for a depth that is not in the table, and an option other than A, B, C.
    """
    return _imagenet(depth, _option(option), classes, channels)


def resnet_v15(depth: int, classes: int = 1000, channels: int = 3) -> Network:
    """Not of the paper: 50, 101 or 152 layers with the stride in the 3x3 of a bottleneck block.

    Most published weights are of this version, "v1.5", which came after the paper: its 3x3 reads
    every pixel of the larger maps, for 6 % more multiply-adds (50 layers) and as many parameters.
    Raises a ValueError for a depth without bottleneck blocks.
    """
    if depth not in (50, 101, 152):
        raise ValueError(f"depth must be 50, 101 or 152, not {depth}")
    return _imagenet(depth, _option("B"), classes, channels, bottleneck_v15)


def plain(depth: int, classes: int = 1000, channels: int = 3) -> Network:
    """Figure 3, middle: a column without shortcuts. 11,515,688 (18), 21,623,848 (34) parameters."""
    return _imagenet(depth, None, classes, channels)


def resnet_cifar(depth: int, option: str = "A", classes: int = 10, channels: int = 3) -> Network:
    """Section 4.2: 6n + 2 layers for images of 32x32 -> scores.

    Parameters with option A: 269,722 (20), 464,154 (32), 658,586 (44), 853,018 (56), 1,727,962
    (110), 19,421,274 (1202).
    Raises a ValueError for a depth that is not 6n + 2, and an option other than A, B, C.
    """
    return _cifar(depth, _option(option), classes, channels)


def plain_cifar(depth: int, classes: int = 10, channels: int = 3) -> Network:
    """Section 4.2: the same network without shortcuts, with the same number of parameters."""
    return _cifar(depth, None, classes, channels)


Shortcut = Callable[[int, int, int], nn.Module]
Block = Callable[[int, int, int], nn.Sequential]


def _option(option: str) -> Shortcut:
    """Section 4.1: the builder of the shortcut from one width to another at a stride."""

    def pad(width_in: int, width: int, stride: int) -> nn.Module:
        return PadShortcut(width - width_in, stride)

    def project(width_in: int, width: int, stride: int) -> nn.Module:
        return chain(
            conv=nn.Conv2d(width_in, width, 1, stride, bias=False), bn=nn.BatchNorm2d(width)
        )

    def identity_or(change: Shortcut) -> Shortcut:
        return lambda width_in, width, stride: (
            nn.Identity() if (width_in, 1) == (width, stride) else change(width_in, width, stride)
        )

    options = {"A": identity_or(pad), "B": identity_or(project), "C": project}
    if option not in options:
        raise ValueError(f"option must be A, B or C, not {option!r}")
    return options[option]


def _stage(
    number: int,
    block: Block,
    width_in: int,
    width: int,
    blocks: int,
    shortcut: Shortcut | None,
) -> nn.Sequential:
    """conv<number>_x: its first block changes the width and, after conv2_x, halves the maps."""
    stage: dict[str, nn.Module] = {}
    for i in range(1, blocks + 1):
        stride = 2 if number > 2 and i == 1 else 1
        body = block(width_in, width, stride)
        stage[f"conv{number}_{i}"] = (
            Residual(body, shortcut(width_in, width, stride), relu=nn.ReLU())
            if shortcut
            else chain(body=body, relu=nn.ReLU())
        )
        width_in = width
    return chain(stage)


def _imagenet(
    depth: int,
    shortcut: Shortcut | None,
    classes: int,
    channels: int,
    other: Block | None = None,
) -> Network:
    """A column of the table, with an `other` block in place of its own."""
    if depth not in TABLE_1:
        raise ValueError(f"depth must be one of {', '.join(map(str, TABLE_1))}, not {depth}")
    block, (w2, w3, w4, w5), (n2, n3, n4, n5) = TABLE_1[depth]
    block = other or block
    return Network(  # the shapes are those of 18 and 34 layers
        conv1=nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False),  # 64@112x112
        bn1=nn.BatchNorm2d(64),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(3, stride=2, padding=1),  # 64@56x56
        conv2_x=_stage(2, block, 64, w2, n2, shortcut),  # 64@56x56
        conv3_x=_stage(3, block, w2, w3, n3, shortcut),  # 128@28x28
        conv4_x=_stage(4, block, w3, w4, n4, shortcut),  # 256@14x14
        conv5_x=_stage(5, block, w4, w5, n5, shortcut),  # 512@7x7
        average=nn.AdaptiveAvgPool2d(1),  # 512@1x1
        flatten=nn.Flatten(),
        fc=nn.Linear(w5, classes),  # 1000
    )


def _cifar(depth: int, shortcut: Shortcut | None, classes: int, channels: int) -> Network:
    n, remainder = divmod(depth - 2, 6)
    if n < 1 or remainder:
        raise ValueError(f"depth must be 6n + 2 (20, 32, 44, 56, 110, 1202), not {depth}")
    return Network(
        conv1=nn.Conv2d(channels, 16, 3, padding=1, bias=False),  # 16@32x32
        bn1=nn.BatchNorm2d(16),
        relu1=nn.ReLU(),
        conv2_x=_stage(2, basic, 16, 16, n, shortcut),  # 16@32x32
        conv3_x=_stage(3, basic, 16, 32, n, shortcut),  # 32@16x16
        conv4_x=_stage(4, basic, 32, 64, n, shortcut),  # 64@8x8
        average=nn.AdaptiveAvgPool2d(1),  # 64@1x1
        flatten=nn.Flatten(),  # 64
        fc=nn.Linear(64, classes),  # 10
    )
