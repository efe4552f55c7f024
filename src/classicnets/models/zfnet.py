"""ZFNet: Zeiler, Fergus, Visualizing and understanding convolutional networks, ECCV 2014,
arXiv:1311.2901v3. Figure 3 (the network), Table 3 (the wide variant).

AlexNet with a finer first layer (7x7 at stride 2 instead of 11x11 at stride 4), one tower, and
contrast normalisation after the pooling.

Where the paper leaves a choice: padding is not printed; 1 in conv1 and pools that round up give
the printed 110, 55, 26, 13, 6. The text replaces the sparse connections of AlexNet's layers 3, 4
and 5 by dense ones; conv2, which AlexNet splits too, is dense here as well. The constants of the
contrast normalisation are not printed; here they are AlexNet's. Version 1 of the preprint describes
another network, with AlexNet's first layer.
"""

from torch import nn

from classicnets.layers.lrn import LocalResponseNorm
from classicnets.layers.wiring import Network


def zfnet(classes: int = 1000, channels: int = 3) -> Network:
    """Figure 3: images of 224x224 -> scores. 62,357,608 parameters."""
    return _zfnet((384, 384, 256), classes, channels)


def zfnet_wide(classes: int = 1000, channels: int = 3) -> Network:
    """Table 3: layers 3, 4, 5 widened to 512, 1024, 512 maps. 107,627,624 parameters."""
    return _zfnet((512, 1024, 512), classes, channels)


def _zfnet(widths: tuple[int, int, int], classes: int, channels: int) -> Network:
    w3, w4, w5 = widths
    return Network(  # the shapes are those of Figure 3
        conv1=nn.Conv2d(channels, 96, 7, stride=2, padding=1),  # 96@110x110
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(3, stride=2, ceil_mode=True),  # 96@55x55
        norm1=LocalResponseNorm(),
        conv2=nn.Conv2d(96, 256, 5, stride=2),  # 256@26x26
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(3, stride=2, ceil_mode=True),  # 256@13x13
        norm2=LocalResponseNorm(),
        conv3=nn.Conv2d(256, w3, 3, padding=1),  # 384@13x13
        relu3=nn.ReLU(),
        conv4=nn.Conv2d(w3, w4, 3, padding=1),  # 384@13x13
        relu4=nn.ReLU(),
        conv5=nn.Conv2d(w4, w5, 3, padding=1),  # 256@13x13
        relu5=nn.ReLU(),
        pool5=nn.MaxPool2d(3, stride=2),  # 256@6x6
        flatten=nn.Flatten(),  # 9216
        fc6=nn.Linear(w5 * 6 * 6, 4096),  # 4096
        relu6=nn.ReLU(),
        drop6=nn.Dropout(0.5),
        fc7=nn.Linear(4096, 4096),  # 4096
        relu7=nn.ReLU(),
        drop7=nn.Dropout(0.5),
        fc8=nn.Linear(4096, classes),  # 1000
    )
