"""VGG: Simonyan and Zisserman, arXiv:1409.1556v6, section 3.1.

classicnets train vgg_d --data imagenet:PATH
on ImageNet 2012 the paper reached 27.0 % top-1 and 8.8 % top-5 with D at S = Q = 256 (Table 3);
with S in [256, 512] and three test scales 24.8 % and 7.5 % (Table 4)
"""

from dataclasses import replace

from classicnets.data.augment import ColourNoise, HorizontalFlip
from classicnets.data.crops import RandomCrop, ScaleJitter
from classicnets.data.scaling import SubtractMean
from classicnets.training.recipe import SGD, FromRun, Glorot, Recipe, ReduceOnPlateau, by_place

# the first four convolutions and the fully connected layers of A, by their names: by position B's
# second convolution, of 64 maps, could not take A's, of 128
STAGED = (
    'init=FromRun("RUN OF A", ("conv1_1", "conv2_1", "conv3_1", "conv3_2", "fc6", "fc7", "fc8"), '
    "Gaussian(0.01))"
)

IMAGENET = Recipe(
    cite="arXiv:1409.1556v6, section 3.1",
    paper_images=1_300_000,
    epochs=74,
    batch=256,
    optimizer=SGD(momentum=0.9, weight_decay=5e-4),
    lr=ReduceOnPlateau(0.01, factor=0.1, times=3),
    init=Glorot(),
    side=256,
    crop=224,
    crop_sampler=RandomCrop(whole=True),
    augment=(HorizontalFlip(), ColourNoise(0.1)),
    pixels=SubtractMean(),
    protocol="dense",
    cited=by_place(
        {
            "section 2.1": "crop pixels",
            "section 3.1": "epochs batch optimizer lr init loss side crop_sampler augment",
            "section 3.2": "protocol",
            "section 4": "paper_images",
        }
    ),
    assumed={
        "lr": "the paper divides by 10 when the validation accuracy stalls, three times in "
        "370,000 steps; stalled means no new best for 6 % of the epochs",
        "init": f"the paper starts deeper networks from a trained A, which is {STAGED}; its later "
        "note says that Glorot's initial values do without, and we take those",
        "augment": "the unit of AlexNet's colour noise is not given; pixels are taken to lie in "
        "[0, 1]",
    },
)

# the run is yours to name: --set init.run=PATH
S384 = replace(
    IMAGENET,
    side=384,
    init=FromRun("RUN WITH S = 256"),
    lr=replace(IMAGENET.lr, start=1e-3),
    assumed={name: reason for name, reason in IMAGENET.assumed.items() if name != "init"},
)

# S in [256, 512], tested at Q = 256, 384 and 512 (Table 4)
JITTER = replace(
    S384,
    init=FromRun("RUN WITH S = 384"),
    crop_sampler=ScaleJitter(256, 512),
    protocol="multi-scale",
    assumed={
        **S384.assumed,
        "lr": f"{IMAGENET.assumed['lr']}; where it starts is given for S = 384, and taken here",
    },
)
