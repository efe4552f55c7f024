"""GoogLeNet: Szegedy et al., arXiv:1409.4842, section 6.

classicnets train googlenet --data FOLDER
on ImageNet 2012 the paper reached 10.07 % top-5 (Table 3, one network, one crop)
"""

from classicnets.data.augment import Flip, RandomCrop
from classicnets.data.pixels import MinusMean
from classicnets.training.init import Glorot
from classicnets.training.loss import WithAuxiliaries
from classicnets.training.optim import SGD
from classicnets.training.rates import Drops
from classicnets.training.recipe import Recipe

EPOCHS = 250  # Caffe's 10 million steps of 32

IMAGENET = Recipe(
    cite="arXiv:1409.4842, sections 5 and 6",
    epochs=EPOCHS,
    batch=32,
    optimizer=SGD(momentum=0.9, decay=2e-4),
    rate=Drops(0.01, at=tuple(passes / EPOCHS for passes in range(8, EPOCHS, 8)), by=0.96),
    init=Glorot(bias=0.2),
    loss=WithAuxiliaries(0.3),
    side=256,
    crop=224,
    augment=(RandomCrop(224), Flip()),
    pixels=MinusMean(),
    assumed={
        "epochs": "not given; Caffe's replication trains for 10 million steps of 32 pictures",
        "batch": "not given; Caffe's replication takes 32",
        "optimizer": "weight decay is not given, Caffe's replication takes 2e-4; the paper's "
        "average of weights for testing is left out for now",
        "rate": "its start is not given, Caffe's replication takes 0.01; 4 % less every 8 passes "
        "is the paper's",
        "init": "not given; Caffe's replication draws with a variance of 1 / fan-in and biases of "
        "0.2; we take Glorot's 2 / (fan-in + fan-out), and 0.2 in the classifiers too",
        "side": "not given for training; Caffe's replication takes pictures of 256",
        "augment": "crops of 8 to 100 % of the area at 3/4 to 4/3 are left out for now, and so is "
        "the photometric distortion",
    },
)
