"""The opt-in modern recipe, for any network; it is no paper's.

classicnets train NAME --data DATA --recipe fast
"""

from classicnets.data.augment import Flip
from classicnets.data.pixels import Standardised
from classicnets.data.windows import RandomCrop
from classicnets.training.average import Ema
from classicnets.training.growth import Progressive
from classicnets.training.init import HeNormal
from classicnets.training.loss import CrossEntropy
from classicnets.training.optim import SGD
from classicnets.training.rates import OneCycle
from classicnets.training.recipe import Recipe

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
        optimizer=SGD(momentum=0.9, decay=5e-4, nesterov=True, decay_all=False),
        rate=OneCycle(0.02),
        init=HeNormal(),
        loss=CrossEntropy(smoothing=0.1),
        average=Ema(0.99),
        side=crop if small else crop * 8 // 7,
        crop=crop,
        window=RandomCrop(pad=crop // 8 if small else 0),
        growth=None if small else Progressive(),
        augment=(Flip(),) * flip,
        pixels=Standardised(),
        assumed={"rate": "found by trial on small networks; not tuned for yours"},
    )


FAST = fast(224)
