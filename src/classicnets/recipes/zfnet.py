"""ZFNet: Zeiler and Fergus, arXiv:1311.2901v3, section 3.1.

classicnets train zfnet --data imagenet:PATH
on ImageNet 2012 the paper reached 38.4 % top-1 and 16.5 % top-5 (Table 2, one network)
"""

from classicnets.data.augment import HorizontalFlip
from classicnets.data.crops import CornerCrop
from classicnets.data.scaling import SubtractMeanImage
from classicnets.training.recipe import SGD, FilterRms, Gaussian, Recipe, ReduceOnPlateau, by_place

IMAGENET = Recipe(
    cite="arXiv:1311.2901v3, section 3.1",
    paper_images=1_300_000,
    epochs=70,
    batch=128,
    optimizer=SGD(momentum=0.9),
    lr=ReduceOnPlateau(0.01, factor=0.1, times=3),
    init=Gaussian(0.01),
    constraint=FilterRms(0.1),
    side=256,
    crop=224,
    crop_sampler=CornerCrop(),
    augment=(HorizontalFlip(),),
    pixels=SubtractMeanImage(),
    protocol="ten-crop",
    cited=by_place(
        {
            "section 3.1": "paper_images epochs batch optimizer lr init loss constraint side crop "
            "crop_sampler augment pixels",
        }
    ),
    assumed={
        "optimizer": "no weight decay is stated, so there is none",
        "lr": "the paper lowers it by hand when the validation error stalls; we divide by 10 up "
        "to three times, after no new best for 6 % of the epochs",
        "init": 'weights "to 1e-2" is read as a standard deviation',
        "pixels": "the centre of the mean image is subtracted, wherever the crop lies",
        "protocol": "not stated for the errors of Table 2; ten crops, as those it is compared with",
    },
)
