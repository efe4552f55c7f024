"""ZFNet: Zeiler and Fergus, arXiv:1311.2901v3, section 3.

classicnets train zfnet --data FOLDER
on ImageNet 2012 the paper reached 38.4 % top-1 and 16.5 % top-5 (Table 2, one network)
"""

from classicnets.data.augment import Flip, RandomCrop
from classicnets.data.pixels import MinusMean
from classicnets.training.init import Gaussian
from classicnets.training.optim import SGD
from classicnets.training.rates import Drops
from classicnets.training.recipe import Recipe

IMAGENET = Recipe(
    cite="arXiv:1311.2901v3, section 3",
    epochs=70,
    batch=128,
    optimizer=SGD(momentum=0.9),
    rate=Drops(0.01, at=(0.33, 0.66, 0.9), by=0.1),
    init=Gaussian(0.01),
    side=256,
    crop=224,
    augment=(RandomCrop(224), Flip()),
    pixels=MinusMean(),
    assumed={
        "rate": "the paper lowers it by hand when the validation error stalls; we fix three places",
        "optimizer": "no weight decay is stated, so there is none; the renormalisation of filters "
        "to an RMS of 0.1 is left out for now",
        "init": 'weights "to 1e-2" is read as a standard deviation',
        "augment": "the paper takes ten fixed crops of 224; we take any",
        "pixels": "the paper subtracts a mean for each pixel; we subtract one for each channel",
    },
)
