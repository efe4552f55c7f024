"""AlexNet: Krizhevsky, Sutskever, Hinton 2012, sections 2, 4 and 5.

classicnets train alexnet --data imagenet:PATH
on ImageNet 2012 the paper reached 40.7 % top-1 and 18.2 % top-5 (Table 2, one network, ten crops)

A trap: with the biases of 1 Caffe's replication saw a loss that does not move at first, and took
0.1, and 0.005 in place of 0.01 for fc6 and fc7.
"""

from classicnets.data.augment import ColourNoise, Flip
from classicnets.data.pixels import MinusMeanPicture
from classicnets.data.windows import RandomCrop
from classicnets.training.init import Gaussian
from classicnets.training.optim import SGDRateInside
from classicnets.training.rates import Plateau
from classicnets.training.recipe import Recipe, by_place

IMAGENET = Recipe(
    cite="Krizhevsky et al. 2012, sections 2, 4 and 5",
    pictures=1_200_000,
    epochs=90,
    batch=128,
    optimizer=SGDRateInside(momentum=0.9, decay=5e-4),
    rate=Plateau(0.01, by=0.1, times=3),
    init=Gaussian(0.01, ones=("conv2", "conv4", "conv5", "fc6", "fc7")),
    side=256,
    crop=227,
    window=RandomCrop(),
    augment=(Flip(), ColourNoise(0.1)),
    pixels=MinusMeanPicture(),
    protocol="ten-crop",
    cited=by_place(
        {
            "section 2": "pictures side pixels",
            "section 3.5": "loss",
            "section 4.1": "window augment protocol",
            "section 5": "epochs batch optimizer rate init",
        }
    ),
    assumed={
        "rate": "the paper divides by 10 when the validation error stalls, three times; stalled is "
        "no best in 6 % of all passes",
        "crop": "the paper prints 224; its arithmetic needs 227",
        "augment": "the unit of the colour noise is not given; pixels are taken to lie in [0, 1]",
        "pixels": "of the mean picture the centre is subtracted, wherever the crop lies",
    },
)
