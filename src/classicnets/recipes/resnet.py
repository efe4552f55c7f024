"""ResNet: He et al., arXiv:1512.03385, section 3.4 (ImageNet) and 4.2 (CIFAR-10).

classicnets train resnet34_a --data imagenet:PATH   the paper: 25.03 % top-1 (Table 2)
classicnets train resnet20 --data cifar10         the paper: 8.75 % (Table 6); with 32, 44, 56 and
110 layers 7.51, 7.17, 6.97 and 6.43 % (the best of five, 6.61 on average)
"""

from dataclasses import replace

from classicnets.data.augment import ColourNoise, HorizontalFlip
from classicnets.data.crops import RandomCrop, ScaleJitter
from classicnets.data.scaling import SubtractMeanImage
from classicnets.training.recipe import (
    SGD,
    HeNormal,
    MultiStep,
    Recipe,
    ReduceOnPlateau,
    WarmupUntil,
    by_place,
)

FAN_IN = "the paper cites [13] without saying fan-in or fan-out; we take fan-in"
MEAN = "the centre of the mean image is subtracted, wherever the crop lies"

IMAGENET = Recipe(
    cite="arXiv:1512.03385, section 3.4",
    paper_images=1_280_000,
    steps=600_000,
    batch=256,
    optimizer=SGD(momentum=0.9, weight_decay=1e-4),
    lr=ReduceOnPlateau(0.1, factor=0.1, times=3),
    init=HeNormal(),
    side=256,
    crop=224,
    crop_sampler=ScaleJitter(256, 480),
    augment=(HorizontalFlip(), ColourNoise(0.1)),
    pixels=SubtractMeanImage(),
    protocol="ten-crop",
    cited=by_place(
        {
            "section 3.3": "loss",
            "section 3.4": "steps batch optimizer lr init crop crop_sampler augment pixels "
            "protocol",
            "section 4.1": "paper_images",
        }
    ),
    assumed={
        "lr": "the paper divides by 10 when the error stalls; stalled means no new best for 6 % "
        "of the epochs, and three times is our limit",
        "init": FAN_IN,
        "side": "for ten crops and the single view; not given, 256 is the smallest in training",
        "augment": "the unit of AlexNet's colour noise is not given; pixels are taken to lie in "
        "[0, 1]",
        "pixels": MEAN,
    },
)

DROPS = MultiStep(0.1, milestones=(32_000 / 64_000, 48_000 / 64_000), factor=0.1)

CIFAR = Recipe(
    cite="arXiv:1512.03385, section 4.2",
    paper_images=50_000,
    steps=64_000,
    batch=128,
    optimizer=SGD(momentum=0.9, weight_decay=1e-4),
    lr=DROPS,
    init=HeNormal(),
    side=32,
    crop=32,
    crop_sampler=RandomCrop(pad=4),
    augment=(HorizontalFlip(),),
    pixels=SubtractMeanImage(),
    cited=by_place(
        {
            "section 4.2": "paper_images steps batch optimizer lr init loss side crop crop_sampler "
            "augment pixels protocol",
        }
    ),
    assumed={
        "init": FAN_IN,
        "crop_sampler": "the border of a shifted image is black, not the mean",
        "pixels": MEAN,
    },
)

CIFAR_110 = replace(
    CIFAR,
    lr=WarmupUntil(0.01, error=80.0, then=DROPS),
    assumed={
        **CIFAR.assumed,
        "lr": "below 80 % means the error over the epoch so far, checked every 50 steps",
    },
)
