"""ResNet: He et al., arXiv:1512.03385, section 3.4 (ImageNet) and 4.2 (CIFAR-10).

classicnets train resnet34_a --data imagenet:PATH   the paper: 25.03 % top-1 (Table 2)
classicnets train resnet20 --data cifar10         the paper: 8.75 % (Table 6); with 32, 44, 56 and
110 layers 7.51, 7.17, 6.97 and 6.43 % (the best of five, 6.61 on average)
"""

from dataclasses import replace

from classicnets.data.augment import ColourNoise, Flip
from classicnets.data.pixels import MinusMeanPicture
from classicnets.data.windows import RandomCrop, ScaleJitter
from classicnets.training.init import HeNormal
from classicnets.training.optim import SGD
from classicnets.training.rates import Drops, Plateau, WarmUntil
from classicnets.training.recipe import Recipe, by_place

FAN_IN = "the paper cites [13] without saying fan-in or fan-out; we take fan-in"
MEAN = "of the mean picture the centre is subtracted, wherever the crop lies"

IMAGENET = Recipe(
    cite="arXiv:1512.03385, section 3.4",
    pictures=1_280_000,
    steps=600_000,
    batch=256,
    optimizer=SGD(momentum=0.9, decay=1e-4),
    rate=Plateau(0.1, by=0.1, times=3),
    init=HeNormal(),
    side=256,
    crop=224,
    window=ScaleJitter(256, 480),
    augment=(Flip(), ColourNoise(0.1)),
    pixels=MinusMeanPicture(),
    protocol="ten-crop",
    cited=by_place(
        {
            "section 3.3": "loss",
            "section 3.4": "steps batch optimizer rate init crop window augment pixels protocol",
            "section 4.1": "pictures",
        }
    ),
    assumed={
        "rate": "the paper divides by 10 when the error stalls; stalled is no best in 6 % of all "
        "passes, and three times is our limit",
        "init": FAN_IN,
        "side": "for ten crops and the single view; not given, 256 is the smallest in training",
        "augment": "the unit of AlexNet's colour noise is not given; pixels are taken to lie in "
        "[0, 1]",
        "pixels": MEAN,
    },
)

DROPS = Drops(0.1, at=(32_000 / 64_000, 48_000 / 64_000), by=0.1)

CIFAR = Recipe(
    cite="arXiv:1512.03385, section 4.2",
    pictures=50_000,
    steps=64_000,
    batch=128,
    optimizer=SGD(momentum=0.9, decay=1e-4),
    rate=DROPS,
    init=HeNormal(),
    side=32,
    crop=32,
    window=RandomCrop(pad=4),
    augment=(Flip(),),
    pixels=MinusMeanPicture(),
    cited=by_place(
        {
            "section 4.2": "pictures steps batch optimizer rate init loss side crop window augment "
            "pixels protocol",
        }
    ),
    assumed={
        "init": FAN_IN,
        "window": "the border of a shifted picture is black, not the mean",
        "pixels": MEAN,
    },
)

CIFAR_110 = replace(
    CIFAR,
    rate=WarmUntil(0.01, error=80.0, then=DROPS),
    assumed={
        **CIFAR.assumed,
        "rate": "below 80 % means the error over the pass so far, looked at every 50 steps",
    },
)
