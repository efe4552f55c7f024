"""ResNet: He et al., arXiv:1512.03385, section 3.4 (ImageNet) and 4.2 (CIFAR-10).

classicnets train resnet34 --data FOLDER      the paper: 25.03 % top-1 with option A (Table 2)
classicnets train resnet20 --data FOLDER      the paper: 8.75 % of CIFAR-10's test images (Table 6);
with 32, 44, 56 and 110 layers 7.51, 7.17, 6.97 and 6.43 % (the best of five, 6.61 on average)
"""

from dataclasses import replace

from classicnets.data.augment import Flip, RandomCrop
from classicnets.data.pixels import MinusMean
from classicnets.training.init import HeNormal
from classicnets.training.optim import SGD
from classicnets.training.rates import Drops
from classicnets.training.recipe import Recipe

FAN_IN = "the paper cites [13] without saying fan-in or fan-out; we take fan-in"
MEAN = "the paper subtracts a mean for each pixel; we subtract one for each channel"

IMAGENET = Recipe(
    cite="arXiv:1512.03385, section 3.4",
    epochs=120,
    batch=256,
    optimizer=SGD(momentum=0.9, decay=1e-4),
    rate=Drops(0.1, at=(0.25, 0.5, 0.75), by=0.1),
    init=HeNormal(),
    side=256,
    crop=224,
    augment=(RandomCrop(224), Flip()),
    pixels=MinusMean(),
    assumed={
        "rate": "the paper divides by 10 when the error stalls, in up to 600,000 steps (120 "
        "passes); we fix three places",
        "init": FAN_IN,
        "side": "the paper draws the shorter side from [256, 480] for each picture; 256 for now",
        "augment": "AlexNet's colour noise, which the paper also uses, is left out for now",
        "pixels": MEAN,
    },
)

CIFAR = Recipe(
    cite="arXiv:1512.03385, section 4.2",
    epochs=164,
    batch=128,
    optimizer=SGD(momentum=0.9, decay=1e-4),
    rate=Drops(0.1, at=(32_000 / 64_000, 48_000 / 64_000), by=0.1),
    init=HeNormal(),
    side=32,
    crop=32,
    augment=(RandomCrop(32, pad=4), Flip()),
    pixels=MinusMean(),
    assumed={
        "epochs": "64,000 steps of 128 are 163.8 passes over 50,000 pictures; we take whole passes",
        "init": FAN_IN,
        "pixels": f"{MEAN}; the border of a shifted picture is black, not the mean",
    },
)

CIFAR_110 = replace(
    CIFAR,
    assumed={
        **CIFAR.assumed,
        "rate": "the paper starts at 0.01 until the training error is below 80 %, about 400 steps; "
        "we start at 0.1 for now",
    },
)
