"""AlexNet: Krizhevsky, Sutskever, Hinton, ImageNet classification with deep convolutional neural
networks, NIPS 2012. Figure 2 (the network), section 3.

Unusual today: two towers, one per GPU, that meet only in conv3 and the fully connected layers;
local response normalisation across maps; overlapping pooling windows.

Where the paper leaves a choice: it prints images of 224x224, but (224 - 11) / 4 + 1 is not a whole
number; 227 without padding gives the printed 55. It does not state whether normalisation stays
within a tower; here it runs over all maps, as in Caffe. The printed alpha of 1e-4 is used with the
printed formula, which does not divide it by n. Padding is not printed; 2, 1, 1, 1 keep the printed
sizes.
"""

from torch import nn

from classicnets.layers.lrn import LocalResponseNorm
from classicnets.layers.wiring import Network


def alexnet(classes: int = 1000, channels: int = 3) -> Network:
    """Figure 2: images of 227x227 -> scores. The two towers are groups. 60,965,224 parameters."""
    return _alexnet(2, classes, channels)


def alexnet_merged(classes: int = 1000, channels: int = 3) -> Network:
    """One column instead of two towers: conv2, conv4, conv5 read all maps. 62,378,344 parameters.

    Not the published network, though often called AlexNet.
    """
    return _alexnet(1, classes, channels)


def _alexnet(towers: int, classes: int, channels: int) -> Network:
    return Network(
        conv1=nn.Conv2d(channels, 96, 11, stride=4),  # 96@55x55
        relu1=nn.ReLU(),
        norm1=LocalResponseNorm(),
        pool1=nn.MaxPool2d(3, stride=2),  # 96@27x27
        conv2=nn.Conv2d(96, 256, 5, padding=2, groups=towers),  # 256@27x27
        relu2=nn.ReLU(),
        norm2=LocalResponseNorm(),
        pool2=nn.MaxPool2d(3, stride=2),  # 256@13x13
        conv3=nn.Conv2d(256, 384, 3, padding=1),  # 384@13x13
        relu3=nn.ReLU(),
        conv4=nn.Conv2d(384, 384, 3, padding=1, groups=towers),  # 384@13x13
        relu4=nn.ReLU(),
        conv5=nn.Conv2d(384, 256, 3, padding=1, groups=towers),  # 256@13x13
        relu5=nn.ReLU(),
        pool5=nn.MaxPool2d(3, stride=2),  # 256@6x6
        flatten=nn.Flatten(),  # 9216
        fc6=nn.Linear(256 * 6 * 6, 4096),  # 4096
        relu6=nn.ReLU(),
        drop6=nn.Dropout(0.5),
        fc7=nn.Linear(4096, 4096),  # 4096
        relu7=nn.ReLU(),
        drop7=nn.Dropout(0.5),
        fc8=nn.Linear(4096, classes),  # 1000
    )
