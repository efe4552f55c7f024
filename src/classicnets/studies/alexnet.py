"""AlexNet: what is said of its towers, layers and recipe, and what its ideas are worth."""

import torch
from torch import nn

from classicnets import catalog
from classicnets.data.augment import ColourNoise, HorizontalFlip
from classicnets.data.crops import RandomCrop
from classicnets.designs.build import shapes, written
from classicnets.designs.reader import read
from classicnets.layers.lrn import LocalResponseNorm
from classicnets.training.recipe import CaffeSGD, ReduceOnPlateau

from .charts import Bars
from .facts import built, layers, measured
from .study import NOTES, Finding, history, structure
from .verdicts import equal, holding

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


@history(
    claim="Data augmentation crops and rotates the images and adds noise.",
    source=f"{PAPER}, section 4.1",
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


@history(
    claim="ReLU, batches of 128, momentum 0.9, a learning rate of 1e-2 divided by 10 when the "
    "validation error stalls, and a weight decay of 5e-4.",
    source=f"{PAPER}, sections 3.1 and 5",
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
