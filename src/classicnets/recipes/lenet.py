"""LeNet-5: LeCun et al. 1998, section III.

classicnets train lenet5                      expected: at most 3 % of the 1,797 digits' test part
(on all of MNIST, when it is a data set here; the paper: 0.95 %, Figure 5)
"""

from dataclasses import replace

from classicnets.data.augment import RandomCrop
from classicnets.data.pixels import Between
from classicnets.training.init import LecunUniform
from classicnets.training.loss import MapLoss
from classicnets.training.optim import SGD
from classicnets.training.rates import OneCycle, Table
from classicnets.training.recipe import Recipe

CURVATURE = 0.2  # stands for mu = 0.02 plus the curvature, by which the paper divides each rate

# inputs of a unit: four for subsampling; in C3 three, four or six maps of 5x5, as Table I has it
FAN_IN = (
    ("S2.coefficient", (4,)),
    ("C3.weight", (75,) * 18 + (100,) * 36 + (150,) * 6),
    ("S4.coefficient", (4,)),
)

MNIST = Recipe(
    cite="LeCun et al. 1998, sections III-A to III-C and appendix C",
    epochs=20,
    batch=1,
    optimizer=SGD(),
    rate=Table(
        (
            (2, 5e-4 / CURVATURE),
            (5, 2e-4 / CURVATURE),
            (8, 1e-4 / CURVATURE),
            (12, 5e-5 / CURVATURE),
            (20, 1e-5 / CURVATURE),
        )
    ),
    init=LecunUniform(FAN_IN),
    loss=MapLoss(j=30.0),
    side=32,
    crop=32,
    pixels=Between(-0.1, 1.175),
    assumed={
        "optimizer": "the paper divides each parameter's rate by mu + its curvature, estimated "
        "before each pass; here all are divided by the same 0.2, for now",
        "loss": "equation 9 without a value for j; we take 30",
        "init": "biases are not mentioned with the weights; we take 0",
    },
)

DIGITS = replace(
    MNIST,
    epochs=30,
    batch=16,
    rate=OneCycle(0.01),
    loss=MapLoss(j=20.0),
    augment=(RandomCrop(32, pad=2),),
    assumed={
        **MNIST.assumed,
        "batch": "1,259 pictures, not 60,000: small batches are quicker than single pictures",
        "rate": "found by trial on the validation part, in place of the table of five rates",
        "loss": "equation 9 without a value for j; 20, found by trial on the validation part",
        "augment": "shifts by up to two pixels, of the paper's distortions the simplest",
    },
)
