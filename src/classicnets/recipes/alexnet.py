"""AlexNet: Krizhevsky, Sutskever, Hinton 2012, sections 2, 4 and 5.

classicnets train alexnet --data imagenet:PATH
on ImageNet 2012 the paper reached 40.7 % top-1 and 18.2 % top-5 (Table 2, one network, ten crops)

A trap: with the biases of 1 Caffe's replication saw a loss that does not move at first, and took
0.1, and 0.005 in place of 0.01 for fc6 and fc7.
"""

from classicnets.data.augment import ColourNoise, HorizontalFlip
from classicnets.data.crops import RandomCrop
from classicnets.data.scaling import SubtractMeanImage
from classicnets.training.recipe import CaffeSGD, Gaussian, Recipe, ReduceOnPlateau, by_place

IMAGENET = Recipe(
    cite="Krizhevsky et al. 2012, sections 2, 4 and 5",
    paper_images=1_200_000,
    epochs=90,
    batch=128,
    optimizer=CaffeSGD(momentum=0.9, weight_decay=5e-4),
    lr=ReduceOnPlateau(0.01, factor=0.1, times=3),
    init=Gaussian(0.01, bias_layers=("conv2", "conv4", "conv5", "fc6", "fc7")),
    side=256,
    crop=227,
    crop_sampler=RandomCrop(),
    augment=(HorizontalFlip(), ColourNoise(0.1)),
    pixels=SubtractMeanImage(),
    protocol="ten-crop",
    cited=by_place(
        {
            "section 2": "paper_images side pixels",
            "section 3.5": "loss",
            "section 4.1": "crop_sampler augment protocol",
            "section 5": "epochs batch optimizer lr init",
        }
    ),
    assumed={
        "lr": "the paper divides by 10 when the validation error stalls, three times; stalled is "
        "no new best for 6 % of the epochs",
        "crop": "the paper prints 224; its arithmetic needs 227",
        "augment": "the unit of the colour noise is not given; pixels are taken to lie in [0, 1]",
        "pixels": "the centre of the mean image is subtracted, wherever the crop lies",
    },
)
