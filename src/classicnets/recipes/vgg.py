"""VGG: Simonyan and Zisserman, arXiv:1409.1556v6, section 3.1.

classicnets train vgg_d --data FOLDER
on ImageNet 2012 the paper reached 27.0 % top-1 and 8.8 % top-5 with D at S = Q = 256 (Table 3)
"""

from classicnets.data.augment import Flip, RandomCrop
from classicnets.data.pixels import MinusMean
from classicnets.training.init import Glorot
from classicnets.training.optim import SGD
from classicnets.training.rates import Drops
from classicnets.training.recipe import Recipe

IMAGENET = Recipe(
    cite="arXiv:1409.1556v6, section 3.1",
    epochs=74,
    batch=256,
    optimizer=SGD(momentum=0.9, decay=5e-4),
    rate=Drops(0.01, at=(0.33, 0.66, 0.9), by=0.1),
    init=Glorot(),
    side=256,
    crop=224,
    augment=(RandomCrop(224), Flip()),
    pixels=MinusMean(),
    assumed={
        "rate": "the paper divides by 10 when the validation accuracy stalls, three times in "
        "370,000 steps (74 passes); we fix the three places",
        "init": "the paper starts deeper networks from A; its later note says that Glorot's "
        "initial values do without, and we take those",
        "augment": "AlexNet's colour noise, which the paper also uses, is left out for now",
        "side": "S = 256, the first of the paper's three; S = 384 and scale jitter come later",
    },
)
