"""AlexNet: what is said of its towers, layers and recipe, and what its ideas are worth."""

import torch
from torch import nn

from classicnets.api.runs import load
from classicnets.designs.build import shapes, written
from classicnets.designs.reader import read
from classicnets.experiments.outcomes import Outcome
from classicnets.layers.lrn import LocalResponseNorm
from classicnets.training.run.directory import Run

from . import narrow
from .charts import Bars
from .facts import built, layers, measured, some_digits
from .lab import Lab, centre_error, epochs_to, evaluated
from .narrow import EIGHTH, in_colour, small, smalls
from .study import NOTES, TEXT, Finding, structure, training
from .verdicts import LOWER, equal, holding, same

PAPER = "Krizhevsky et al. 2012"
LISTING = """[227x227x3] INPUT
[55x55x96] CONV1: 96 11x11 filters at stride 4, pad 0
[27x27x96] MAX POOL1: 3x3 filters at stride 2
[27x27x96] NORM1: Normalization layer
[27x27x256] CONV2: 256 5x5 filters at stride 1, pad 2
[13x13x256] MAX POOL2: 3x3 filters at stride 2
[13x13x256] NORM2: Normalization layer
[13x13x384] CONV3: 384 3x3 filters at stride 1, pad 1
[13x13x384] CONV4: 384 3x3 filters at stride 1, pad 1
[13x13x256] CONV5: 256 3x3 filters at stride 1, pad 1
[6x6x256] MAX POOL3: 3x3 filters at stride 2
[4096] FC6: 4096 neurons
[4096] FC7: 4096 neurons
[1000] FC8: 1000 neurons
"""


@structure(
    claim="CPUs had little memory, so the training was split into two batches on two CPUs.",
    source=f"{PAPER}, Figure 2 and sections 3.2 and 5",
    criterion="corrected if the printed kernels of conv2 read half of the 96 maps before them: two "
    "batches would leave them whole",
)
def alexnet_gpus() -> Finding:
    """Kernels of 5x5x48, not 5x5x96."""
    depth = built("alexnet").get_submodule("conv2").get_parameter("weight").shape[1]
    figures = {"maps of conv1": 96, "maps that a kernel of conv2 reads": depth}
    answer = (
        "Two GPUs (GTX 580, 3 GB each) with half of the kernels each: the network is split, not "
        f"the batch, and a kernel of conv2 is 5x5x{depth}."
    )
    return Finding(equal(96, depth), answer, figures, Bars(figures, "maps", 96))


@structure(
    claim="The drawing with two columns and the one with a single column have the same structure.",
    source=f"{PAPER}, Figure 2; both networks as built",
    criterion="corrected if the two have different numbers of parameters",
)
def alexnet_merged() -> Finding:
    """conv2, conv4 and conv5 read all maps in one column."""
    params = {name: measured(name).totals.params for name in ("alexnet", "alexnet_merged")}
    macs = {f"{name}, multiply-adds": measured(name).totals.macs for name in params}
    two, one = params.values()
    answer = f"{two:,} parameters in two columns, {one:,} in one: conv2, conv4 and conv5 double."
    return Finding(equal(two, one), answer, {**params, **macs}, Bars(params, "parameters"))


@structure(
    claim="A pooling layer follows the first convolution, and a normalisation layer the pooling.",
    source=f"{PAPER}, section 3.5",
    criterion="corrected if the published network normalises before it pools",
)
def alexnet_order() -> Finding:
    """The maps that norm1 reads are 55x55, not 27x27."""
    order = [name for name in layers("alexnet") if name in ("norm1", "pool1")]
    side = layers("alexnet")["norm1"].output[1]
    answer = (
        f"First {order[0]}, then {order[1]}: the maps are normalised at {side}x{side}. Pooling "
        "first is CaffeNet's order, which the CS231n notes list."
    )
    figures = {"side of the maps that norm1 reads": side, "pool1 before norm1 would give": 27}
    return Finding(equal("pool1", order[0]), answer, figures, Bars(figures, "pixels"))


@structure(
    claim="The normalisation layer corrects the drift that back-propagation causes.",
    source=f"{PAPER}, section 3.3",
    criterion="corrected if the layer has no parameters and no statistics to correct by, and the "
    "response of a map falls where its neighbours respond",
)
def alexnet_norm() -> Finding:
    """One map of 100, alone and between neighbours of 100."""
    norm, alone = LocalResponseNorm(), torch.zeros(1, 5, 1, 1)
    alone[0, 2] = 100
    responses = {
        "alone": norm(alone)[0, 2].item(),
        "with 4 strong neighbours": norm(torch.full_like(alone, 100))[0, 2].item(),
    }
    held = sum(t.numel() for t in norm.state_dict().values())
    inhibited = responses["with 4 strong neighbours"] < responses["alone"]
    answer = (
        f"Lateral inhibition across maps: it holds {held} values, and a response of 100 becomes "
        f"{responses['alone']:.1f} alone, {responses['with 4 strong neighbours']:.1f} beside four "
        "others of 100. The paper speaks of brightness normalisation."
    )
    figures = {"parameters and statistics": held, **responses}
    verdict = equal(False, held == 0 and inhibited)
    return Finding(verdict, answer, figures, Bars(responses, "response of a map to 100"))


@structure(
    claim="The first convolution has 11x11x3x96 parameters.",
    source=f"{PAPER}, section 3.5",
    criterion="corrected if the layer has another number of parameters than 34,848",
)
def alexnet_conv1() -> Finding:
    """The biases are parameters too."""
    found = layers("alexnet")["conv1"].params
    figures = {"weights": 11 * 11 * 3 * 96, "biases": 96, "parameters": found}
    answer = f"{found:,}: 34,848 weights and 96 biases."
    return Finding(equal(11 * 11 * 3 * 96, found), answer, figures, Bars(figures, "parameters"))


@structure(
    claim="Dropout of 0.5 is used in the last fully connected layer only.",
    source=f"{PAPER}, section 4.2",
    criterion="corrected if dropout follows other layers than the last fully connected one",
)
def alexnet_dropout() -> Finding:
    """The layers behind which dropout stands."""
    network = built("alexnet")
    names = [name for name, _ in network.named_children()]
    dropped = ["fc" + name.removeprefix("drop") for name in names if name.startswith("drop")]
    rates = {name: 0.5 * (name in dropped) for name in ("fc6", "fc7", "fc8")}
    assert all(m.p == 0.5 for m in network.modules() if isinstance(m, nn.Dropout))
    answer = "In the first two fully connected layers, fc6 and fc7; none follows the last, fc8."
    return Finding(equal(["fc8"], dropped), answer, rates, Bars(rates, "dropout"))


@structure(
    claim="Images of 224x224 cannot give maps of 55x55 by filters of 11x11 at stride 4; 227 can.",
    source=f"{PAPER}, section 3.5",
    criterion="confirmed if (side + 2 pad - 11) / 4 + 1 is not whole for 224, and 55 for 227",
)
def alexnet_224() -> Finding:
    """The rule for the size of a convolution's output."""
    sides = {
        f"{side}, pad {pad}": (side + 2 * pad - 11) / 4 + 1
        for side, pad in ((224, 0), (224, 2), (227, 0))
    }
    holds = (sides["224, pad 0"] % 1 != 0, sides["227, pad 0"] == 55)
    answer = "224 gives 54.25, with a padding of 2 55.25; 227 gives exactly 55."
    return Finding(holding(holds), answer, sides, Bars(sides, "maps of conv1, pixels", 55))


@structure(
    claim="The fourteen lines of the listing, from 227x227x3 to 1000, list the network's shapes.",
    by=f"case study, {NOTES}",
    source=f"{PAPER}, section 3.5",
    criterion="confirmed if every layer of the listing, as built, has the shape that it prints",
)
def alexnet_shapes() -> Finding:
    """The listing is read as a design, which refuses a shape that a layer does not have."""
    printed = [line.partition(" ")[0] for line in LISTING.splitlines()]
    found = read(LISTING)
    computed = [written(one) for one in (found.input, *shapes(found, claimed=False).values())]
    agree = sum(a == b for a, b in zip(printed, computed, strict=True))
    figures = {"lines": len(printed), "lines that agree": agree}
    answer = "All fourteen agree; read literally, the listing is the network of one column."
    return Finding(equal(len(printed), agree), answer, figures, Bars(figures, "lines"))


@training(
    claim="With ReLU training is several times faster than with tanh.",
    by="the paper, Figure 1: six times on CIFAR-10",
    source=f"{PAPER}, section 3.1",
    criterion="confirmed if ReLU takes fewer epochs to a training error of 25 %, each with its own "
    "constant learning rate",
    minutes=3,
    shrunk=f"{EIGHTH}; digits in place of CIFAR-10, and how many times faster is not decided",
)
def alexnet_relu(lab: Lab) -> Finding:
    """LeNet-5's scaled tanh starts as by Glorot: by its own values eight layers learn nothing."""
    common = {"lr": "Constant(0.02)"}
    variants = {"tanh": small(narrow.alexnet("squash", drop=0.0), **common, init="Glorot()"),
                "relu": small(narrow.alexnet(drop=0.0), **common)}  # fmt: skip
    return lab.compare(variants, {("tanh", "relu"): LOWER}, epochs=12, measure=epochs_to(25),
                       unit="epochs to 25 % training error")  # fmt: skip


@training(
    claim="One column does as well as two.",
    by=TEXT,
    source=f"{PAPER}, section 3.2",
    criterion="confirmed if the test errors differ by at most 1 point with the whole interval",
    minutes=3,
    shrunk=EIGHTH,
)
def alexnet_towers(lab: Lab) -> Finding:
    """Two groups in conv2, conv4 and conv5, or one."""
    variants = smalls({"two columns": narrow.alexnet(), "one column": narrow.alexnet(groups=1)})
    return lab.compare(variants, {("two columns", "one column"): same(1.0)}, epochs=8)


@training(
    claim="Local response normalisation lowers the error.",
    by="the paper: from 13 to 11 % on CIFAR-10",
    source=f"{PAPER}, section 3.3",
    criterion="confirmed if the test error is lower with each of the three conventions of alpha",
    minutes=5,
    shrunk=f"{EIGHTH}; digits in place of CIFAR-10",
)
def alexnet_lrn(lab: Lab) -> Finding:
    """As printed, divided by n as in the authors' code, and with k = 1 as in Caffe."""
    norms = {"none": "", "printed": "response norm", "divided": "response norm, alpha 2e-5",
             "Caffe": "response norm caffe"}  # fmt: skip
    variants = {name: small(narrow.alexnet(norm=norm)) for name, norm in norms.items()}
    expected = {("none", name): LOWER for name in norms if name != "none"}
    return lab.compare(variants, expected, epochs=8)


@training(
    claim="Overlapping pooling, 3x3 at stride 2, has a lower error than 2x2.",
    by="the paper: 0.4 points top-1",
    source=f"{PAPER}, section 3.4",
    criterion="confirmed if the test error is lower with windows of 3x3",
    minutes=3,
    shrunk=f"{EIGHTH}; 2x2 leaves 4x4 maps and 3x3 leaves 3x3, so that fc6 differs",
)
def alexnet_overlap(lab: Lab) -> Finding:
    """Windows of pool1 and pool2."""
    variants = smalls({"2x2": narrow.alexnet(pool="2x2"), "3x3": narrow.alexnet()})
    return lab.compare(variants, {("2x2", "3x3"): LOWER}, epochs=8)


@training(
    claim="Dropout reduces overfitting.",
    by="the paper",
    source=f"{PAPER}, section 4.2",
    criterion="confirmed if test error minus training error, both of the best weights with dropout "
    "off, is lower with dropout in training",
    minutes=4,
    shrunk=f"{EIGHTH}; digits, of which few test images are wrong even without dropout",
)
def alexnet_dropout_gap(lab: Lab) -> Finding:
    """0.5 in fc6 and fc7, or none."""
    variants = smalls({"without": narrow.alexnet(drop=0.0), "with": narrow.alexnet()})
    return lab.compare(variants, {("without", "with"): LOWER}, epochs=16, measure=_overfitting,
                       unit="test minus training error, points")  # fmt: skip


def _overfitting(outcome: Outcome, run: Run) -> float:
    """The test error minus the error on the training images, in points, with dropout off."""
    pixels, labels = some_digits(16, run.config.images[0])
    with torch.no_grad():
        wrong = load(run.directory)(run.config.scaling(pixels)).argmax(1) != labels
    return outcome.error - 100 * float(wrong.float().mean())


@training(
    claim="Augmentation lowers the test error: random crops, mirror images, and colours shifted "
    "along their principal components.",
    by="the paper",
    source=f"{PAPER}, section 4.1",
    criterion="confirmed if the test error is lower with each of the three",
    minutes=40,
    shrunk=f"{EIGHTH}; on few epochs augmentation has little to prevent",
    data="cifar10",
)
def alexnet_augmented(lab: Lab) -> Finding:
    """One at a time."""
    kinds = {"none": {"augment": "none"},
             "crops": {"augment": "crop"},
             "mirrored": {"augment": "flip", "crop_sampler": "CentreCrop()"},
             "colours": {"augment": "colour", "crop_sampler": "CentreCrop()"}}  # fmt: skip
    text = in_colour(narrow.alexnet())
    variants = {name: small(text, **settings) for name, settings in kinds.items()}
    expected = {("none", name): LOWER for name in list(kinds)[1:]}
    return lab.compare(variants, expected, epochs=8)


@training(
    claim="Averaging ten crops lowers the test error.",
    by="the paper: from 39.0 to 37.5 %",
    source=f"{PAPER}, section 4.1",
    criterion="confirmed if the test error of the same runs is lower with ten crops",
    minutes=12,
    shrunk=EIGHTH,
    data="cifar10",
)
def alexnet_ten_crop(lab: Lab) -> Finding:
    """Crops of 16 from 20 pixels."""
    variant = small(in_colour(narrow.alexnet()), side="20", crop_sampler="RandomCrop()")
    measures = {"centre": centre_error, "ten crops": evaluated("ten-crop")}
    return lab.within(variant, measures, {("centre", "ten crops"): LOWER}, epochs=4)
