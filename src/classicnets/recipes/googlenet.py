"""GoogLeNet: Szegedy et al., arXiv:1409.4842, section 6.

classicnets train googlenet --data imagenet:PATH
on ImageNet 2012 the paper reached 10.07 % top-5 with one crop and 7.89 % with 144 (Table 3)
"""

from classicnets.data.augment import HorizontalFlip
from classicnets.data.crops import RandomResizedCrop
from classicnets.data.scaling import SubtractMean
from classicnets.training.recipe import (
    SGD,
    Glorot,
    MultiStep,
    Polyak,
    Recipe,
    WithAuxiliaries,
    by_place,
)

EPOCHS = 250  # Caffe's 10 million steps of 32
DROPS = tuple(epoch / EPOCHS for epoch in range(8, EPOCHS, 8))

IMAGENET = Recipe(
    cite="arXiv:1409.4842, sections 5 to 7",
    paper_images=1_200_000,
    epochs=EPOCHS,
    batch=32,
    optimizer=SGD(momentum=0.9, weight_decay=2e-4),
    lr=MultiStep(0.01, milestones=DROPS, factor=0.96),
    init=Glorot(bias=0.2),
    loss=WithAuxiliaries(0.3),
    average=Polyak(since=0.5),
    side=256,
    crop=224,
    crop_sampler=RandomResizedCrop(low=0.08, high=1.0, aspect=4 / 3),
    augment=(HorizontalFlip(),),
    pixels=SubtractMean(),
    protocol="144-crop",
    cited=by_place(
        {
            "section 5": "loss crop pixels",
            "section 6": "optimizer lr average crop_sampler",
            "section 7": "paper_images protocol",
        }
    ),
    assumed={
        "epochs": "not given; Caffe's replication trains for 10 million steps of 32 images, 250 "
        "epochs over 1,281,167",
        "batch": "not given; Caffe's replication takes 32",
        "optimizer": "weight decay is not given, Caffe's replication takes 2e-4; the paper's many "
        "machines updated at their own times, here all do at once",
        "lr": "its start is not given, Caffe's replication takes 0.01; 4 % less every 8 epochs "
        "is the paper's",
        "init": "not given; Caffe's replication draws with a variance of 1 / fan-in and biases of "
        "0.2; we take Glorot's 2 / (fan-in + fan-out), and 0.2 in the classifiers too",
        "average": "where it begins is not given; the second half",
        "side": "matters for the single view only; Caffe's replication takes images of 256",
        "augment": "flips are not mentioned for training; the photometric distortions are, but "
        "their strengths are not given, and they are left out",
        "crop_sampler": "the aspect is drawn evenly on a logarithmic scale; always bicubic, "
        "where the paper drew one of four interpolations",
    },
)
