"""GoogLeNet: Szegedy et al., arXiv:1409.4842, section 6.

classicnets train googlenet --data imagenet:PATH
on ImageNet 2012 the paper reached 10.07 % top-5 with one crop and 7.89 % with 144 (Table 3)
"""

from classicnets.data.augment import Flip
from classicnets.data.pixels import MinusMean
from classicnets.data.windows import AreaAspect
from classicnets.training.average import Polyak
from classicnets.training.init import Glorot
from classicnets.training.loss import WithAuxiliaries
from classicnets.training.optim import SGD
from classicnets.training.rates import Drops
from classicnets.training.recipe import Recipe, by_place

EPOCHS = 250  # Caffe's 10 million steps of 32

IMAGENET = Recipe(
    cite="arXiv:1409.4842, sections 5 to 7",
    pictures=1_200_000,
    epochs=EPOCHS,
    batch=32,
    optimizer=SGD(momentum=0.9, decay=2e-4),
    rate=Drops(0.01, at=tuple(passes / EPOCHS for passes in range(8, EPOCHS, 8)), by=0.96),
    init=Glorot(bias=0.2),
    loss=WithAuxiliaries(0.3),
    average=Polyak(since=0.5),
    side=256,
    crop=224,
    window=AreaAspect(low=0.08, high=1.0, aspect=4 / 3),
    augment=(Flip(),),
    pixels=MinusMean(),
    protocol="144-crop",
    cited=by_place(
        {
            "section 5": "loss crop pixels",
            "section 6": "optimizer rate average window",
            "section 7": "pictures protocol",
        }
    ),
    assumed={
        "epochs": "not given; Caffe's replication trains for 10 million steps of 32 pictures, 250 "
        "passes over 1,281,167",
        "batch": "not given; Caffe's replication takes 32",
        "optimizer": "weight decay is not given, Caffe's replication takes 2e-4; the paper's many "
        "machines updated at their own times, here all do at once",
        "rate": "its start is not given, Caffe's replication takes 0.01; 4 % less every 8 passes "
        "is the paper's",
        "init": "not given; Caffe's replication draws with a variance of 1 / fan-in and biases of "
        "0.2; we take Glorot's 2 / (fan-in + fan-out), and 0.2 in the classifiers too",
        "average": "where it begins is not given; the second half",
        "side": "matters for the single view only; Caffe's replication takes pictures of 256",
        "augment": "flips are not mentioned for training; the photometric distortions are, but "
        "their strengths are not given, and they are left out",
        "window": "the aspect is drawn evenly on a logarithmic scale; always bicubic, where the "
        "paper drew one of four interpolations",
    },
)
