"""What papers say in words and tables, and whether the chart of errors by year holds here."""

from torch import nn

from classicnets import catalog
from classicnets.api.design import design
from classicnets.data.augment import ColourNoise, HorizontalFlip
from classicnets.data.crops import RandomCrop
from classicnets.models.resnet import resnet_cifar
from classicnets.training.recipe import SGD, CaffeSGD, ReduceOnPlateau

from . import narrow
from .charts import Bars
from .facts import built, years
from .lab import Lab
from .study import NOTES, Finding, history, training
from .verdicts import LOWER, equal, holding

ALEXNET, RESNET = "Krizhevsky et al. 2012", "He et al., arXiv:1512.03385"
TABLE_2 = {"plain18": 27.94, "plain34": 28.54, "resnet18": 27.88, "resnet34_a": 25.03}
# top-1 / top-5 error in %, D and E: Table 3 by training scale, Table 4, and Table 5's last row
D_AND_E = {
    "S 256": ((27.0, 8.8), (27.3, 9.0)),
    "S 384": ((26.8, 8.7), (26.9, 8.7)),
    "S 256-512": ((25.6, 8.1), (25.5, 8.0)),
    "S 256-512, 3 scales": ((24.8, 7.5), (24.8, 7.5)),
    "S 256-512, crops and dense": ((24.4, 7.2), (24.4, 7.1)),
}
FIRST = 2010  # of the ILSVRC
# top-5 test error of the best entry, %; the papers that print it are in docs/claims.md
BY_YEAR = {
    "2010 NEC-UIUC, sparse coding": 28.2,
    "2011 XRCE, Fisher vectors": 25.8,
    "2012 AlexNet, 8 layers": 15.3,
    "2013 Clarifai, 8 layers": 11.2,
    "2014 VGG, 19 layers, second": 7.3,
    "2014 GoogLeNet, 22 layers": 6.7,
    "2015 ResNet, 152 layers": 3.57,
}
HUMAN = 5.1  # one trained annotator, Russakovsky et al., arXiv:1409.0575


@history(
    claim="LeNet-5 took first place in the ILSVRC of 1998; all six networks come from the ILSVRC.",
    source="LeCun et al. 1998; Russakovsky et al., arXiv:1409.0575",
    criterion="corrected if the competition began after LeNet-5 was published",
)
def lenet5_ilsvrc() -> Finding:
    """1998 against 2010."""
    found = dict(years())
    before = [name for name, year in found.items() if year < FIRST]
    answer = (
        f"The ILSVRC began in {FIRST}; LeNet-5 is a journal paper of {found['lenet']} on "
        "handwritten characters, evaluated on MNIST. The other five are of the competition's years."
    )
    figures = {**found, "first ILSVRC": FIRST}
    chart = Bars({name: year - 1990 for name, year in figures.items()}, "years since 1990")
    return Finding(equal([], before), answer, figures, chart)


@history(
    claim="The columns of the chart of errors by year are one network each.",
    by="the chart of the case study and of many lectures",
    source="Russakovsky et al., arXiv:1409.0575; arXiv:1409.1556v6, Table 7; arXiv:1409.4842, "
    "Table 2; arXiv:1512.03385, Table 5",
    criterion="corrected if a column is the error of several networks averaged, or of a method "
    "that is not a network",
)
def error_by_year() -> Finding:
    """The best top-5 test error of each year."""
    several = {"2012": 7, "2013": "many", "2014 VGG": 7, "2014 GoogLeNet": 7, "2015": 6}
    answer = (
        "None is a single network: 2010 and 2011 are no networks at all, and from 2012 on several "
        "are averaged, 7 (AlexNet, VGG and GoogLeNet) and 6 (ResNet). AlexNet's 15.3 % and "
        "Clarifai's 11.2 % are with other images too. 2013 is Clarifai, not ZFNet."
    )
    figures = {**BY_YEAR, **{f"{k}, networks": n for k, n in several.items()}, "human": HUMAN}
    single = [name for name, count in several.items() if count == 1]
    verdict = equal(5, len(single))
    return Finding(
        verdict, answer, figures, Bars(BY_YEAR, "top-5 test error, %", HUMAN, "a person")
    )


@history(
    claim="People err on about 5 % of these images, and ResNet is better than people.",
    source="Russakovsky et al., arXiv:1409.0575; arXiv:1512.03385, Table 5",
    criterion="confirmed if the published human error is 5 % within 0.5 points and ResNet's lower",
)
def human_error() -> Finding:
    """One trained annotator."""
    resnet = BY_YEAR["2015 ResNet, 152 layers"]
    figures = {"human": HUMAN, "ResNet, 6 networks": resnet}
    answer = (
        f"{HUMAN} % is the top-5 error of one trained annotator, on a part of the test images; six "
        f"residual networks together come to {resnet} %."
    )
    holds = (abs(HUMAN - 5) <= 0.5, resnet < HUMAN)
    return Finding(holding(holds), answer, figures, Bars(figures, "top-5 error, %"))


@history(
    claim="ResNet comes from the Asia-Pacific institute of Microsoft.",
    source="He et al., arXiv:1512.03385, title page",
    criterion="corrected if the paper names another institution",
)
def resnet_institute() -> Finding:
    """The affiliation on the title page."""
    printed = "Microsoft Research (Asia)"
    answer = "Microsoft Research Asia."
    verdict = equal("Microsoft Asia-Pacific", printed)
    return Finding(verdict, answer, {"institution": printed})


@history(
    claim="AlexNet is the winner of 2012, VGG second and GoogLeNet first in 2014, ResNet first in "
    "2015.",
    by=f"case study, {NOTES}",
    source="arXiv:1409.4842, Table 2; arXiv:1512.03385, Table 5",
    criterion="confirmed if the printed errors order the entries of these years so",
)
def winners() -> Finding:
    """The next best entry of each year."""
    rows = {
        "2012": (15.3, 26.2),
        "2014": (6.67, 7.32),
        "2014, VGG and MSRA": (7.32, 7.35),
        "2015, Table 5": (3.57, 4.82),
    }
    holds = [best < next_ for best, next_ in rows.values()]
    figures = {f"{year}: {place}": error for year, both in rows.items()
               for place, error in zip(("ours", "next"), both, strict=True)}  # fmt: skip
    answer = "As told; in 2013 ZFNet's authors did not win (study zfnet-winner)."
    return Finding(holding(holds), answer, figures, Bars(figures, "top-5 test error, %"))


@history(
    claim="Data augmentation crops and rotates the images and adds noise.",
    source=f"{ALEXNET}, section 4.1",
    criterion="partly if the paper crops but does not rotate or add noise to pixels",
)
def alexnet_augmentation() -> Finding:
    """The recipe has what section 4.1 lists."""
    recipe = catalog.find("alexnet").recipe
    found = (recipe.crop_sampler, *recipe.augment)
    kinds = [type(part) for part in found]
    uses = {
        "random crops": RandomCrop in kinds,
        "mirror images": HorizontalFlip in kinds,
        "colour shift along principal components": ColourNoise in kinds,
        "rotation": False,
        "noise per pixel": False,
    }
    assert set(kinds) == {RandomCrop, HorizontalFlip, ColourNoise}  # these and no others
    answer = "Crops, mirror images, and one shift of all colours along their principal components."
    verdict = holding(uses[name] for name in ("random crops", "rotation", "noise per pixel"))
    figures = {name: "yes" if used else "no" for name, used in uses.items()}
    chart = Bars({name: int(used) for name, used in uses.items()}, "used in the paper")
    return Finding(verdict, answer, figures, chart)


@history(
    claim="ReLU, batches of 128, momentum 0.9, a learning rate of 1e-2 divided by 10 when the "
    "validation error stalls, and a weight decay of 5e-4.",
    source=f"{ALEXNET}, sections 3.1 and 5",
    criterion="confirmed if the paper gives all of these values",
)
def alexnet_recipe() -> Finding:
    """The values of section 5."""
    recipe = catalog.find("alexnet").recipe
    assert isinstance(recipe.optimizer, CaffeSGD)
    assert isinstance(recipe.lr, ReduceOnPlateau)
    figures = {
        "batch": recipe.batch,
        "momentum": recipe.optimizer.momentum,
        "weight decay": recipe.optimizer.weight_decay,
        "learning rate": recipe.lr.start,
        "factor": recipe.lr.factor,
    }
    claimed = [128, 0.9, 5e-4, 1e-2, 0.1]
    relu = any(isinstance(layer, nn.ReLU) for layer in built("alexnet").modules())
    holds = [relu, *(a == b for a, b in zip(claimed, figures.values(), strict=True))]
    return Finding(holding(holds), "All as printed.", figures, Bars(figures, "value"))


@history(
    claim="Deeper plain networks have a higher test error; deeper residual ones a lower one.",
    source=f"{RESNET}, Table 2, Figure 4 and section 4.1",
    criterion="confirmed if Table 2 has both errors so; what it means is another study, "
    "resnet-depth, of the training errors",
)
def resnet_test_error() -> Finding:
    """18 and 34 layers on ImageNet."""
    holds = (TABLE_2["plain34"] > TABLE_2["plain18"], TABLE_2["resnet34_a"] < TABLE_2["resnet18"])
    answer = (
        "True of the errors, 27.94 to 28.54 % and 27.88 to 25.03 %. But the paper's point is that "
        "the training error of the deeper plain network is higher too: it is not overfitting."
    )
    return Finding(holding(holds), answer, TABLE_2, Bars(TABLE_2, "top-1 error, validation, %"))


@history(
    claim="Plain networks get worse with depth because the gradient does not reach the first layer "
    "and distorts the images.",
    source=f"{RESNET}, section 4.1",
    criterion="corrected if the paper rules vanishing gradients out as the likely cause; the study "
    "resnet-gradients measures them",
)
def resnet_cause() -> Finding:
    """What the paper says of the cause; its networks have batch normalisation."""
    reported = {"healthy gradients in plain networks": "yes", "cause": "left open"}
    answer = (
        "The paper's plain networks have batch normalisation and healthy gradients; it calls the "
        "difficulty one of optimisation and leaves the cause open. Images are not changed at all."
    )
    chart = Bars(TABLE_2, "top-1 error, validation, %")
    verdict = equal("no", reported["healthy gradients in plain networks"])
    return Finding(verdict, answer, reported, chart)


@history(
    claim="Batch normalisation after every convolution, SGD with momentum 0.9, a learning rate of "
    "0.1 divided by 10 on plateaus, batches of 256, no dropout.",
    source=f"{RESNET}, section 3.4",
    criterion="confirmed if the paper gives all of these",
)
def resnet_recipe() -> Finding:
    """The values of section 3.4, and the layers as built."""
    recipe, network = catalog.find("resnet50").recipe, built("resnet50")
    assert isinstance(recipe.optimizer, SGD)
    assert isinstance(recipe.lr, ReduceOnPlateau)
    kinds = [type(layer) for layer in network.modules()]
    figures = {
        "convolutions": kinds.count(nn.Conv2d),
        "batch normalisations": kinds.count(nn.BatchNorm2d),
        "dropout layers": kinds.count(nn.Dropout),
        "momentum": recipe.optimizer.momentum,
        "learning rate": recipe.lr.start,
        "factor": recipe.lr.factor,
        "batch": recipe.batch,
    }
    values = [*figures.values()]
    holds = [a == b for a, b in zip((53, 53, 0, 0.9, 0.1, 0.1, 256), values, strict=True)]
    bars = {name: figures[name] for name in ("convolutions", "batch normalisations")}
    return Finding(holding(holds), "All as printed.", figures, Bars(bars, "layers of ResNet-50"))


@history(
    claim="Of the columns A to E, D does best.",
    source="arXiv:1409.1556v6, Tables 3 to 5",
    criterion="confirmed if D's error is the lower one in all rows of D and E, corrected if in "
    "none, partly if in some",
)
def vgg_best_column() -> Finding:
    """D and E in the same rows of the tables."""
    lower = [d < e for d, e in D_AND_E.values()]
    figures = {f"{row}: {name}": f"{one} / {five}" for row, both in D_AND_E.items()
               for name, (one, five) in zip("DE", both, strict=True)}  # fmt: skip
    answer = (
        f"D is ahead in {sum(lower)} of {len(lower)} rows, those with one training scale. With "
        "scale jitter, which is best for both, E is equal or ahead: 25.5 / 8.0 against 25.6 / 8.1 "
        "%, and 24.4 / 7.1 against 24.4 / 7.2 %."
    )
    bars = {f"{row}: {name}": five for row, both in D_AND_E.items()
            for name, (_, five) in zip("DE", both, strict=True)}  # fmt: skip
    return Finding(holding(lower), answer, figures, Bars(bars, "top-5 error, %"))


@training(
    claim="The later the network, the lower its error.",
    by="the chart of errors by year",
    source="the chart; here with equal epochs, images and search of the learning rate",
    criterion="confirmed if each of ZFNet, VGG A, GoogLeNet and ResNet has a lower test error than "
    "AlexNet",
    minutes=10,
    shrunk=f"narrow copies of unequal cost, images of 16x16, {narrow.START}",
)
def progress(lab: Lab) -> Finding:
    """An eighth of the width of the first three, two modules, and a quarter of 14 layers."""
    resnet = design(resnet_cifar(14), "1/4", (1, 16, 16), 10)
    later = {"zfnet": narrow.zfnet(), "vgg_a": narrow.vgg("A"), "googlenet": narrow.inception(),
             "resnet": resnet}  # fmt: skip
    variants = narrow.smalls({"alexnet": narrow.alexnet(), **later})
    return lab.compare(variants, {("alexnet", name): LOWER for name in later}, epochs=8)
