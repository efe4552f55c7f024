"""AlexNet: Krizhevsky, Sutskever, Hinton 2012, sections 4 and 5.

classicnets train alexnet --data FOLDER
on ImageNet 2012 the paper reached 40.7 % top-1 and 18.2 % top-5 (Table 2, one network, ten crops)
"""

from classicnets.data.augment import Flip, RandomCrop
from classicnets.data.pixels import MinusMean
from classicnets.training.init import Gaussian
from classicnets.training.optim import SGD
from classicnets.training.rates import Drops
from classicnets.training.recipe import Recipe

IMAGENET = Recipe(
    cite="Krizhevsky et al. 2012, sections 4 and 5",
    epochs=90,
    batch=128,
    optimizer=SGD(momentum=0.9, decay=5e-4),
    rate=Drops(0.01, at=(0.33, 0.66, 0.9), by=0.1),
    init=Gaussian(0.01, ones=("conv2", "conv4", "conv5", "fc6", "fc7")),
    side=256,
    crop=227,
    augment=(RandomCrop(227), Flip()),
    pixels=MinusMean(),
    assumed={
        "rate": "the paper divides by 10 when the validation error stalls, three times in about "
        "90 passes; we fix the three places",
        "optimizer": "torch's rule has the rate outside the velocity, the paper's inside; they "
        "part only at the drops",
        "crop": "the paper prints 224; its arithmetic needs 227",
        "augment": "the paper's colour noise along principal components is left out for now",
        "pixels": "the paper subtracts a mean for each pixel; we subtract one for each channel",
    },
)
