"""LeNet-5: LeCun, Bottou, Bengio, Haffner, Gradient-based learning applied to document recognition,
Proceedings of the IEEE 86(11), 1998. Figure 2 (the network), Table I (the links of C3), Figure 3
(the targets), section II-B.

Unusual today: the subsampling layers have parameters, each map of C3 reads only some maps of S2,
the non-linearity is a scaled tanh, and the output layer measures the distance to ten drawn digits.

Where the paper leaves a choice: the scores are the negated penalties of the output layer, so that
the largest wins. The bitmaps of Figure 3 are taken from public transcriptions that agree in 839 of
840 pixels; the remaining one is set so that the 9 is the 6 turned round. For other than ten
classes the targets are the first bitmaps, and beyond ten random codes, which the paper names as the
alternative to bitmaps. Table I is written with S2's maps as rows.
"""

import random

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from classicnets.layers.wiring import Network

# fmt: off
TABLE_I = """
    X . . . X X X . . X X X X . X X
    X X . . . X X X . . X X X X . X
    X X X . . . X X X . . X . X X X
    . X X X . . X X X X . . X . X X
    . . X X X . . X X X X . X X . X
    . . . X X X . . X X X X . X X X
"""

# the targets of the ten digits, 7x12 pixels each: the 84 units of F6
FIGURE_3 = """
    .#####. ...##.. .#####. ####### .#####.
    ....... ..###.. ....... .....## .......
    ..###.. .####.. .#####. ....##. .......
    .##.##. ...##.. ##...## ...##.. .##..##
    ##...## ...##.. #....## ..####. .##..##
    ##...## ...##.. ....##. .....## ###..##
    ##...## ...##.. ..###.. .....## ##...##
    ##...## ...##.. .##.... .....## ##...##
    .##.##. ...##.. ##..... ##...## ##..###
    ..###.. .###### ####### .#####. .######
    ....... ....... ....... ....... .....##
    ....... ....... ....... ....... .....##

    .#####. ..####. ####### .#####. .#####.
    ....... .##.... .....## ##...## ##..###
    ####### ##..... .....## ##...## ##...##
    ##..... ##..... ....##. ##...## ##...##
    ##..... ######. ...##.. .#####. ##..###
    .####.. ###..## ...##.. ##...## .######
    ..####. ##...## ..##... ##...## .....##
    .....## ##...## ..##... ##...## .....##
    ##...## ###..## ..##... ##...## ....##.
    .#####. .#####. ..##... .#####. .####..
    ....... ....... ....... ....... .......
    ....... ....... ....... ....... .......
"""
# fmt: on


class Squash(nn.Module):
    """f(a) = 1.7159 tanh(2a / 3), appendix A; the targets +1 and -1 are well inside its range."""

    def forward(self, a: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return 1.7159 * torch.tanh(2 / 3 * a)


class Subsample(nn.Module):
    """S2 and S4: halves each map, with two learnable values per map.

    The four inputs of a unit are added, multiplied by the map's coefficient, and shifted by its
    bias; the squashing is a separate layer. (n, c, h, w) -> (n, c, h/2, w/2)

    >>> Subsample(6)(torch.ones(1, 6, 28, 28))[0, 0, 0, 0].item()  # 4 inputs, coefficient 1/4
    1.0
    """

    def __init__(self, maps: int):
        super().__init__()
        self.coefficient = nn.Parameter(torch.full((maps, 1, 1), 0.25))
        self.bias = nn.Parameter(torch.zeros(maps, 1, 1))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c y x"]:
        total = F.avg_pool2d(x, 2, divisor_override=1)
        return torch.addcmul(self.bias, total, self.coefficient)


class PartialConv2d(nn.Module):
    """C3: a convolution whose maps read only those input maps that a table marks with a cross.

    One k x k kernel per cross, in the order of the table's columns; a column is an output map.
    (n, rows, h, w) -> (n, columns, h - k + 1, w - k + 1)
    """

    kernels: Tensor

    def __init__(self, table: str, k: int):
        super().__init__()
        rows = [row.split() for row in table.strip().splitlines()]
        self.table = "\n".join(map(" ".join, rows))
        columns = list(zip(*rows, strict=True))
        crosses = [cell == "X" for column in columns for cell in column]
        self.in_channels, self.out_channels = len(columns[0]), len(columns)
        self.kernel_size, self.stride, self.padding = (k, k), (1, 1), (0, 0)
        self.multiply_add_fraction = sum(crosses) / len(crosses)
        self.weight = nn.Parameter(torch.empty(sum(crosses), k, k).uniform_(-0.1, 0.1))
        self.bias = nn.Parameter(torch.zeros(self.out_channels))
        indices = torch.tensor([i for i, cross in enumerate(crosses) if cross])
        self.register_buffer("kernels", indices)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n maps y x"]:
        # one dense convolution is many times faster than sixteen small ones
        return F.conv2d(x, self.dense_weight(), self.bias)

    def dense_weight(self) -> Float[Tensor, "maps c k k"]:
        """The kernels, and zeros where there is no cross."""
        k = self.kernel_size[0]
        full = self.weight.new_zeros(self.out_channels * self.in_channels, k, k)
        full = full.index_copy(0, self.kernels, self.weight)
        return full.view(self.out_channels, self.in_channels, k, k)


class Prototypes(nn.Module):
    """The output layer: one Euclidean radial basis function per class, its centre fixed.

    The penalty of class i is y_i = sum_j (x_j - w_ij)^2 over the 84 outputs of F6; the score is
    -y_i. The centres are the bitmaps of Figure 3 with ink as +1. (n, 84) -> (n, classes)
    """

    centres: Tensor

    def __init__(self, classes: int):
        super().__init__()
        bands = FIGURE_3.strip().split("\n\n")
        drawn = [zip(*(row.split() for row in band.splitlines()), strict=True) for band in bands]
        codes = ["".join(rows) for band in drawn for rows in band]
        rng = random.Random(84)
        codes += ["".join(rng.choices("#.", k=84)) for _ in range(10, classes)]
        centres = [[1.0 if pixel == "#" else -1.0 for pixel in code] for code in codes[:classes]]
        self.register_buffer("centres", torch.tensor(centres))

    def forward(self, x: Float[Tensor, "n 84"]) -> Float[Tensor, "n classes"]:
        return -(x[:, None] - self.centres).square().sum(dim=2)


def lenet5(classes: int = 10, channels: int = 1) -> Network:
    """Figure 2: images of 32x32 -> scores, the negated penalties. 60,000 trainable parameters."""
    return Network(
        C1=nn.Conv2d(channels, 6, 5),  # 6@28x28
        squash1=Squash(),
        S2=Subsample(6),  # 6@14x14
        squash2=Squash(),
        C3=PartialConv2d(TABLE_I, 5),  # 16@10x10
        squash3=Squash(),
        S4=Subsample(16),  # 16@5x5
        squash4=Squash(),
        C5=nn.Conv2d(16, 120, 5),  # 120@1x1
        squash5=Squash(),
        flatten=nn.Flatten(),  # 120
        F6=nn.Linear(120, 84),  # 84
        squash6=Squash(),
        output=Prototypes(classes),  # 10
    )
