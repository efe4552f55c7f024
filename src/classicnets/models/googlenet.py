"""GoogLeNet: Szegedy et al., Going deeper with convolutions, CVPR 2015, arXiv:1409.4842. Table 1
(the widths), Figure 2 (the module, naive and with reductions), Figure 3 and section 5.

Unusual today: no batch normalisation, biases in every convolution, real 5x5 windows, local response
normalisation in the stem, and two auxiliary classifiers that run in training only.

Where the paper leaves a choice: where the parameter and operation columns of Table 1 disagree with
its widths (in the first row and 5a), the widths decide. Pools round up, as in the reference Caffe
model; only that gives 112, 56, 28, 14, 7. The stem's order and the constants of the normalisation
(alpha 1e-4 divided by n, k = 1) are that model's too. The naive variant, Figure 2(a) throughout,
keeps the widths of the 1x1, 3x3 and 5x5 columns; since its pool is not projected, depth grows from
module to module, and the auxiliary heads and the classifier grow with it.
"""

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from classicnets.layers.lrn import LocalResponseNorm
from classicnets.layers.wiring import Aside, Concat, Network, chain


class Widths(NamedTuple):
    """The widths of an inception module: a row of Table 1, with its column heads as printed."""

    n1x1: int
    n3x3_reduce: int
    n3x3: int
    n5x5_reduce: int
    n5x5: int
    pool_proj: int


# fmt: off
TABLE_1 = {  #   1x1  3x3r  3x3 5x5r  5x5  proj
    "3a": Widths( 64,  96, 128,  16,  32,  32),
    "3b": Widths(128, 128, 192,  32,  96,  64),
    "4a": Widths(192,  96, 208,  16,  48,  64),
    "4b": Widths(160, 112, 224,  24,  64,  64),
    "4c": Widths(128, 128, 256,  24,  64,  64),
    "4d": Widths(112, 144, 288,  32,  64,  64),
    "4e": Widths(256, 160, 320,  32, 128, 128),
    "5a": Widths(256, 160, 320,  32, 128, 128),
    "5b": Widths(384, 192, 384,  48, 128, 128),
}
# fmt: on


class GoogLeNetScores(NamedTuple):
    """GoogLeNet's output in training: its scores and those of the heads after 4a and 4d."""

    scores: Float[Tensor, "n classes"]
    aux_4a: Float[Tensor, "n classes"]
    aux_4d: Float[Tensor, "n classes"]


class GoogLeNet(Network):
    """A chain with two side branches: aux_4a and aux_4d read inception_4a and inception_4d.

    (n, c, 224, 224) -> GoogLeNetScores in training, scores (n, classes) in evaluation.
    """

    def run(self, x: Float[Tensor, "n c h w"]) -> GoogLeNetScores | Float[Tensor, "n classes"]:
        outputs = super().run(x)
        return GoogLeNetScores(*outputs) if self.training else outputs


def googlenet(classes: int = 1000, channels: int = 3) -> GoogLeNet:
    """Table 1: images of 224x224 -> scores. 6,998,552 parameters, with both heads 13,378,280."""
    return _googlenet(inception, classes, channels)


def googlenet_naive(classes: int = 1000, channels: int = 3) -> GoogLeNet:
    """The same network with the module of Figure 2(a): no 1x1 reductions, no projected pool."""
    return _googlenet(naive, classes, channels)


def inception(width_in: int, row: Widths) -> tuple[Concat, int]:
    """Figure 2(b) and its depth: 1x1 reductions before the 3x3 and the 5x5, and after the pool."""
    module = Concat(
        {
            "1x1": chain(_conv("1x1", width_in, row.n1x1, 1)),
            "3x3": chain(
                _conv("3x3_reduce", width_in, row.n3x3_reduce, 1)
                | _conv("3x3", row.n3x3_reduce, row.n3x3, 3)
            ),
            "5x5": chain(
                _conv("5x5_reduce", width_in, row.n5x5_reduce, 1)
                | _conv("5x5", row.n5x5_reduce, row.n5x5, 5)
            ),
            "pool": chain(
                {"pool": nn.MaxPool2d(3, stride=1, padding=1)}
                | _conv("pool_proj", width_in, row.pool_proj, 1)
            ),
        }
    )
    return module, row.n1x1 + row.n3x3 + row.n5x5 + row.pool_proj


def naive(width_in: int, row: Widths) -> tuple[Concat, int]:
    """Figure 2(a) and its depth: every branch reads all maps, and the pool keeps their number."""
    module = Concat(
        {
            "1x1": chain(_conv("1x1", width_in, row.n1x1, 1)),
            "3x3": chain(_conv("3x3", width_in, row.n3x3, 3)),
            "5x5": chain(_conv("5x5", width_in, row.n5x5, 5)),
            "pool": nn.MaxPool2d(3, stride=1, padding=1),
        }
    )
    return module, row.n1x1 + row.n3x3 + row.n5x5 + width_in


def auxiliary(width_in: int, classes: int) -> Aside:
    """Section 5, the auxiliary classifier: maps of 14x14 -> scores."""
    return Aside(
        average=nn.AvgPool2d(5, stride=3),
        conv=nn.Conv2d(width_in, 128, 1),
        relu=nn.ReLU(),
        flatten=nn.Flatten(),
        fc1=nn.Linear(128 * 4 * 4, 1024),
        relu1=nn.ReLU(),
        drop1=nn.Dropout(0.7),
        fc2=nn.Linear(1024, classes),
    )


def _googlenet(
    module: Callable[[int, Widths], tuple[Concat, int]], classes: int, channels: int
) -> GoogLeNet:
    stages: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(channels, 64, 7, stride=2, padding=3),  # 64@112x112
        "relu_conv1": nn.ReLU(),
        "pool1": nn.MaxPool2d(3, stride=2, ceil_mode=True),  # 64@56x56
        "norm1": LocalResponseNorm(convention="caffe"),
        **_conv("conv2_reduce", 64, 64, 1),  # 64@56x56
        **_conv("conv2", 64, 192, 3),  # 192@56x56
        "norm2": LocalResponseNorm(convention="caffe"),
        "pool2": nn.MaxPool2d(3, stride=2, ceil_mode=True),  # 192@28x28
    }
    depth = 192
    for name, row in TABLE_1.items():
        stages[f"inception_{name}"], depth = module(depth, row)
        if name in ("4a", "4d"):
            stages[f"aux_{name}"] = auxiliary(depth, classes)
        if name in ("3b", "4e"):
            stages[f"pool{name[0]}"] = nn.MaxPool2d(3, stride=2, ceil_mode=True)
    return GoogLeNet(
        stages,
        average=nn.AvgPool2d(7, stride=1),  # 1024@1x1
        flatten=nn.Flatten(),  # 1024
        drop=nn.Dropout(0.4),
        fc=nn.Linear(depth, classes),  # 1000
    )


def _conv(name: str, width_in: int, width: int, k: int) -> dict[str, nn.Module]:
    return {
        name: nn.Conv2d(width_in, width, k, padding=k // 2),
        f"relu_{name}": nn.ReLU(),
    }
