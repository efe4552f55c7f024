"""The recipe of networks that start from learnt weights; it is not a paper's.

classicnets train NAME --weights torchvision --data DATA
"""

from classicnets.data.augment import HorizontalFlip
from classicnets.data.crops import RandomCrop, RandomResizedCrop
from classicnets.data.scaling import Standardise
from classicnets.training.recipe import (
    SGD,
    AsBuilt,
    CrossEntropy,
    Ema,
    HeadFirst,
    OneCycle,
    Recipe,
)
from classicnets.training.recipe.init import Init
from classicnets.training.recipe.recipe import Pixels

from .fast import SMALL


def fine_tune(
    side: int,
    crop: int,
    flip: bool = True,
    pixels: Pixels = Standardise(),  # noqa: B008
    init: Init = AsBuilt(),  # noqa: B008
    normalised: bool = True,
) -> Recipe:
    """The head first, then all layers, the early ones at a smaller rate; a short one-cycle
    schedule, label smoothing and averaged weights.

    `side`, `crop` and `pixels` are those of the weights. `flip` is for images that may be mirrored.
    Networks that are not `normalised`, without batch normalisation, have smaller rates.
    """
    small = crop <= SMALL
    return Recipe(
        cite="no paper; common practice with learnt weights",
        epochs=20,
        batch=32,
        optimizer=SGD(momentum=0.9, weight_decay=1e-4, nesterov=True, decay_bias_and_norm=False),
        lr=OneCycle(0.01),
        layer_rates=HeadFirst() if normalised else HeadFirst(first=0.01, last=0.1),
        init=init,
        loss=CrossEntropy(smoothing=0.1),
        average=Ema(0.99),
        side=side,
        crop=crop,
        crop_sampler=RandomCrop(pad=crop // 8) if small else RandomResizedCrop(low=0.35),
        augment=(HorizontalFlip(),) * flip,
        pixels=pixels,
        assumed={
            "epochs": "short, since most has been learnt",
            "batch": "small, so that few images give many steps",
            "optimizer": "the weight decay of ResNet's paper, without biases and normalisation",
            "lr": "a tenth of a common rate in training from scratch",
            "layer_rates": "the last layer first, since the large gradients of a new one would "
            "spoil the others; early stages change least, since edges and colours serve any images"
            + "; a tenth of the head's at most without batch normalisation, as in Caffe's example"
            * (not normalised),
            "loss": "smoothed labels, against certainty about few images",
            "average": "steadier than the last step of few images",
            "side": "that of the weights",
            "crop": "that of the weights",
            "crop_sampler": "shifted by an eighth of their size"
            if small
            else "35 % of the area at least, so that most crops show the object",
            "augment": "mirrored, unless the images are of digits",
            "pixels": "those of the weights",
        },
    )
