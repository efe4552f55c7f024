"""VGG: Simonyan, Zisserman, Very deep convolutional networks for large-scale image recognition,
ICLR 2015, arXiv:1409.1556v6. Table 1 (the configurations), section 2.

Only small windows, 3x3 everywhere and 1x1 in column C; the columns differ in depth.

Where the paper leaves a choice: it refers to AlexNet for the constants of the normalisation in
column A-LRN, where they are printed with the formula, so alpha is not divided by n. Column D with
global average pooling is not in the paper; it is the usual thought experiment on its largest layer:
its 7x7 positions are averaged before fc6.
"""

from torch import nn

from classicnets.layers.lrn import LocalResponseNorm
from classicnets.layers.wiring import Network

# a number is a 3x3 convolution of that width, (width, 1) a 1x1; every block ends in a pool
# fmt: off
TABLE_1 = {
    "A":     [[64],        [128],      [256, 256],           [512, 512],           [512, 512]],
    "A-LRN": [[64, "LRN"], [128],      [256, 256],           [512, 512],           [512, 512]],
    "B":     [[64, 64],    [128, 128], [256, 256],           [512, 512],           [512, 512]],
    "C":     [[64, 64],    [128, 128], [256, 256, (256, 1)], [512, 512, (512, 1)], [512, 512, (512, 1)]],  # noqa: E501
    "D":     [[64, 64],    [128, 128], [256, 256, 256],      [512, 512, 512],      [512, 512, 512]],
    "E":     [[64, 64],    [128, 128], [256] * 4,            [512] * 4,            [512] * 4],
}
# fmt: on


def vgg(column: str, classes: int = 1000, channels: int = 3) -> Network:
    """A column of Table 1: images of 224x224 -> scores.

    Parameters: 132,863,336 (A, A-LRN), 133,047,848 (B), 133,638,952 (C), 138,357,544 (D),
    143,667,240 (E). Raises a ValueError for a column that is not in the table.
    """
    return Network({**_convolutions(column, channels), **_classifier(512 * 7 * 7, classes)})


def vgg_d_gap(classes: int = 1000, channels: int = 3) -> Network:
    """Column D with global average pooling before fc6, which then has 49 times fewer weights.

    Images (n, channels, h, w) of at least 32x32 -> scores. 37,694,248 parameters.
    """
    average = {"average": nn.AdaptiveAvgPool2d(1)}  # 512@1x1
    return Network({**_convolutions("D", channels), **average, **_classifier(512, classes)})


def _convolutions(column: str, width_in: int) -> dict[str, nn.Module]:
    if column not in TABLE_1:
        raise ValueError(f"column must be one of {', '.join(TABLE_1)}, not {column!r}")
    stages: dict[str, nn.Module] = {}
    for block, cells in enumerate(TABLE_1[column], start=1):
        for i, cell in enumerate(cells, start=1):
            if cell == "LRN":
                stages[f"norm{block}"] = LocalResponseNorm()
                continue
            width, k = cell if isinstance(cell, tuple) else (cell, 3)
            stages[f"conv{block}_{i}"] = nn.Conv2d(width_in, width, k, padding=k // 2)
            stages[f"relu{block}_{i}"] = nn.ReLU()
            width_in = width
        stages[f"pool{block}"] = nn.MaxPool2d(2)
    return stages


def _classifier(features: int, classes: int) -> dict[str, nn.Module]:
    return {
        "flatten": nn.Flatten(),
        "fc6": nn.Linear(features, 4096),
        "relu6": nn.ReLU(),
        "drop6": nn.Dropout(0.5),
        "fc7": nn.Linear(4096, 4096),
        "relu7": nn.ReLU(),
        "drop7": nn.Dropout(0.5),
        "fc8": nn.Linear(4096, classes),
    }
