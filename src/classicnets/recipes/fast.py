"""The opt-in modern recipe, for any network; it is no paper's.

classicnets train NAME --data DATA --recipe fast
"""

from classicnets.data.augment import HorizontalFlip
from classicnets.data.crops import RandomCrop
from classicnets.data.scaling import Standardise
from classicnets.training.recipe.averaging import Ema
from classicnets.training.recipe.init import HeNormal
from classicnets.training.recipe.loss import CrossEntropy
from classicnets.training.recipe.optimizers import SGD
from classicnets.training.recipe.progressive import ProgressiveResizing
from classicnets.training.recipe.recipe import Recipe
from classicnets.training.recipe.schedules import OneCycle

SMALL = 64  # pixels; below, pictures are shifted by a margin, not cut from larger ones


def fast(crop: int, flip: bool = True) -> Recipe:
    """One cycle of the rate, label smoothing, averaged weights, no decay of biases and norms, and
    large pictures that are small at first.

    For squares of `crop` pixels. `flip` is for pictures that may be mirrored; digits and letters
    may not.
    """
    small = crop <= SMALL
    return Recipe(
        cite="none: common practice of later years",
        epochs=20,
        batch=64,
        optimizer=SGD(momentum=0.9, weight_decay=5e-4, nesterov=True, decay_bias_and_norm=False),
        lr=OneCycle(0.02),
        init=HeNormal(),
        loss=CrossEntropy(smoothing=0.1),
        average=Ema(0.99),
        side=crop if small else crop * 8 // 7,
        crop=crop,
        crop_sampler=RandomCrop(pad=crop // 8 if small else 0),
        progressive_resizing=None if small else ProgressiveResizing(),
        augment=(HorizontalFlip(),) * flip,
        pixels=Standardise(),
        assumed={"lr": "found by trial on small networks; not tuned for yours"},
    )


FAST = fast(224)
