"""ResNet: what is said of its shortcuts, recipe and depth, and what they are worth."""

from torch import Generator, nn

from classicnets import catalog
from classicnets.layers.wiring import Residual
from classicnets.training.recipe import SGD, HeNormal, ReduceOnPlateau

from .charts import Bars
from .facts import built, measured, weighted
from .study import NOTES, Finding, history, structure
from .verdicts import equal, holding

PAPER = "He et al., arXiv:1512.03385"
TABLE_2 = {"plain18": 27.94, "plain34": 28.54, "resnet18": 27.88, "resnet34_a": 25.03}


@history(
    claim="ResNet is trained with a weight decay of 1e-5.",
    by=f"case study, {NOTES}",
    source=f"{PAPER}, section 3.4",
    criterion="corrected if section 3.4 gives another value",
)
def resnet_decay() -> Finding:
    """1e-4."""
    optimizer = catalog.find("resnet50").recipe.optimizer
    assert isinstance(optimizer, SGD)
    figures = {"paper": optimizer.weight_decay, "claimed": 1e-5}
    answer = f"{optimizer.weight_decay:g}; 1e-5 is a slip of the CS231n slides."
    verdict = equal(1e-5, optimizer.weight_decay)
    return Finding(verdict, answer, figures, Bars(figures, "weight decay"))


@structure(
    claim="The weights start from “Xavier/2”.",
    by=f"case study, {NOTES}",
    source=f"{PAPER}, section 3.4, and arXiv:1502.01852, equation 10",
    criterion="corrected if the variance is not half of Xavier's 1 / fan-in",
)
def resnet_init() -> Finding:
    """The variance of 589,824 weights of a 3x3 of 256 maps, times their fan-in."""
    layer, init = nn.Conv2d(256, 256, 3, bias=False), catalog.find("resnet50").recipe.init
    assert isinstance(init, HeNormal)
    init(nn.Sequential(layer), Generator().manual_seed(0))
    found = layer.weight.var().item() * 256 * 9
    figures = {"ours, as the paper's [13] has it": found, "Xavier": 1.0, "Xavier halved": 0.5}
    answer = (
        "A variance of 2 / fan-in (He et al.), twice Xavier's and not half of it: ReLU sets half "
        "of the signal to 0. “/2” is what the fan-in is divided by."
    )
    verdict = equal(0.5, round(found, 1))
    return Finding(verdict, answer, figures, Bars(figures, "variance times fan-in", 0.5))


@structure(
    claim="Each layer receives the output of the layer before and that of the one above it too.",
    source=f"{PAPER}, Figures 2 and 3",
    criterion="corrected if there are fewer shortcuts than layers, since each spans a block",
)
def resnet_shortcuts() -> Finding:
    """Blocks of two layers in ResNet-34, of three in ResNet-152."""
    figures: dict[str, int] = {}
    for name in ("resnet34", "resnet152"):
        blocks = [m for m in built(name).modules() if isinstance(m, Residual)]
        spans = {sum(isinstance(m, nn.Conv2d) for m in block.body.modules()) for block in blocks}
        figures |= {f"{name}, layers": len(weighted(name)), f"{name}, shortcuts": len(blocks),
                    f"{name}, layers spanned": spans.pop()}  # fmt: skip
    every = figures["resnet34, shortcuts"] >= figures["resnet34, layers"] - 2
    answer = (
        "A shortcut spans a block of two layers, three in bottleneck networks, and is added before "
        f"the block's last ReLU: {figures['resnet34, shortcuts']} shortcuts in 34 layers, "
        f"{figures['resnet152, shortcuts']} in 152."
    )
    return Finding(equal(True, every), answer, figures, Bars(figures, "count"))


@structure(
    claim="The residual network of 152 layers; AlexNet has 8, VGGNet 19 and LeNet-5 5.",
    source="the networks as built",
    criterion="confirmed if all four have these numbers of layers, LeNet-5 with its subsampling "
    "and output, partly if some",
)
def resnet_152_layers() -> Finding:
    """Layers with weights; for LeNet-5 those of its Figure 2."""
    names = ("alexnet", "vgg_e", "resnet152")
    depths = {"lenet5": 7} | {name: len(weighted(name)) for name in names}
    holds = [a == b for a, b in zip((5, 8, 19, 152), depths.values(), strict=True)]
    answer = "8, 19 (column E) and 152 are right; LeNet-5 has 7."
    return Finding(holding(holds), answer, depths, Bars(depths, "layers"))


@history(
    claim="Batch normalisation after every convolution, SGD with momentum 0.9, a learning rate of "
    "0.1 divided by 10 on plateaus, batches of 256, no dropout.",
    source=f"{PAPER}, section 3.4",
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
    claim="Deeper plain networks have a higher test error; deeper residual ones a lower one.",
    source=f"{PAPER}, Table 2, Figure 4 and section 4.1",
    criterion="confirmed for the test errors if Table 2 has them so; partly since the paper's "
    "point is the training error, if it reports that too",
)
def resnet_test_error() -> Finding:
    """18 and 34 layers on ImageNet; the figure shows the training error as well."""
    holds = (TABLE_2["plain34"] > TABLE_2["plain18"], TABLE_2["resnet34_a"] < TABLE_2["resnet18"])
    training_too = True  # "the 34-layer plain net has higher training error", section 4.1
    answer = (
        "True of the errors, 27.94 to 28.54 % and 27.88 to 25.03 %. But the paper's point is that "
        "the training error of the deeper plain network is higher too: it is not overfitting."
    )
    verdict = holding((all(holds), not training_too))
    return Finding(verdict, answer, TABLE_2, Bars(TABLE_2, "top-1 error, validation, %"))


@history(
    claim="Plain networks get worse with depth because the gradient does not reach the first layer "
    "and distorts the images.",
    source=f"{PAPER}, section 4.1",
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


@structure(
    claim="Residual networks need no more parameters than plain ones of the same depth.",
    by="the paper",
    source=f"{PAPER}, section 3.3 and Table 6",
    criterion="confirmed if the networks for CIFAR-10 have as many parameters as the plain ones",
)
def resnet_free() -> Finding:
    """Option A adds no parameters."""
    depths = (20, 32, 44, 56)
    pairs = {n: (_params(f"plain{n}"), _params(f"resnet{n}")) for n in depths}
    answer = "Equal at every depth: the shortcuts of option A have none."
    figures = {f"{kind}{n}": count for n, both in pairs.items()
               for kind, count in zip(("plain", "resnet"), both, strict=True)}  # fmt: skip
    verdict = holding(a == b for a, b in pairs.values())
    return Finding(verdict, answer, figures, Bars(figures, "parameters"))


def _params(name: str) -> int:
    return measured(name).totals.params
