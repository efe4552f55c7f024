"""The modern recipe, for any network; it is not a paper's.

classicnets train NAME --data DATA --recipe fast
"""

from classicnets.data.augment import HorizontalFlip
from classicnets.data.crops import RandomCrop
from classicnets.data.scaling import Standardise
from classicnets.training.recipe import (
    SGD,
    AsBuilt,
    CrossEntropy,
    Ema,
    HeNormal,
    OneCycle,
    ProgressiveResizing,
    Recipe,
)
from classicnets.training.recipe.init import Init

SMALL = 64  # pixels; up to here images are shifted by a margin, not cropped from larger ones


def fast(crop: int, flip: bool = True, init: Init = HeNormal()) -> Recipe:  # noqa: B008
    """One-cycle learning rate, label smoothing, averaged weights, no weight decay of biases and
    normalisation, and progressive resizing of large images.

    For crops of `crop` pixels. `flip` is for images that may be mirrored, unlike digits. `init` is
    `AsBuilt()` for networks of your own, which may come with weights they have learnt.
    """
    small = crop <= SMALL
    return Recipe(
        cite="no paper; common modern practice",
        epochs=20,
        batch=64,
        optimizer=SGD(momentum=0.9, weight_decay=5e-4, nesterov=True, decay_bias_and_norm=False),
        lr=OneCycle(0.02),
        init=init,
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
OWN = fast(224, init=AsBuilt())
