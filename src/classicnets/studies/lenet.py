"""LeNet-5: what is said of its layers, and what its output, its C3 and distortions are worth."""

import re
from math import prod

import torch
from torch import nn

from classicnets import catalog
from classicnets.api.design import design
from classicnets.measure import measure
from classicnets.models.lenet import PartialConv2d, Prototypes, lenet5

from .charts import Bars
from .facts import built, layers, measured, some_digits
from .lab import Lab, Variant, conclude
from .study import Finding, structure, training
from .verdicts import HIGHER, LOWER, equal, holding, require_pairs, same

FIGURE_2 = "LeCun et al. 1998, Figure 2 and section II-B"
NAMED = ("C1", "S2", "C3", "S4", "C5", "F6", "output")


@structure(
    claim="LeNet-5 has 5 layers.",
    source=FIGURE_2,
    criterion="corrected if the layers that Figure 2 names, counted as built, are not 5",
)
def lenet5_layers() -> Finding:
    """C1 S2 C3 S4 C5 F6 and the output, or without the subsampling."""
    named = [name for name in layers("lenet5") if name in NAMED]
    without = [name for name in named if name not in ("S2", "S4")]
    counts = {"layers": len(named), "without S2 and S4": len(without)}
    answer = f"Seven: {' '.join(named)}; five are left only without the subsampling layers."
    return Finding(equal(5, len(named)), answer, counts, Bars(counts, "layers", 5))


@structure(
    claim="C1 has kernels of 5x5 and gives 28x28x6 at stride 1, S2 gives 14x14x6 by 2x2 at "
    "stride 2; then come C3 and S4.",
    source=FIGURE_2,
    criterion="confirmed if the network as built has these shapes, strides and windows",
)
def lenet5_shapes() -> Finding:
    """32, 28, 14, 10, 5, 1."""
    network, rows = built("lenet5"), layers("lenet5")
    first = network.get_submodule("C1")
    assert isinstance(first, nn.Conv2d)
    sides = {name: rows[name].output[1] for name in ("C1", "S2", "C3", "S4", "C5")}
    holds = [
        (first.kernel_size, first.stride) == ((5, 5), (1, 1)),
        rows["C1"].output == (6, 28, 28),
        (rows["S2"].output, rows["S2"].stride) == ((6, 14, 14), 2),
    ]
    answer = f"The sides are 32, {', '.join(map(str, sides.values()))}."
    return Finding(holding(holds), answer, sides, Bars(sides, "pixels per side"))


@structure(
    claim="S2 and S4 are pooling layers.",
    source=FIGURE_2,
    criterion="corrected if S2 and S4 have parameters to learn, which no pooling has",
)
def lenet5_subsampling() -> Finding:
    """A coefficient and a bias for each map."""
    params = {name: layers("lenet5")[name].params for name in ("S2", "S4")}
    answer = (
        f"Trainable subsampling: sums of 2x2 times a coefficient plus a bias, {params['S2']} and "
        f"{params['S4']} parameters, and a squashing."
    )
    return Finding(equal([0, 0], [*params.values()]), answer, params, Bars(params, "parameters"))


@structure(
    claim="S4 is followed by two fully connected layers, of 120 and 84.",
    source=FIGURE_2,
    criterion="partly if C5 is a convolution and F6 fully connected: on a larger image C5 then "
    "has more than one position",
)
def lenet5_c5() -> Finding:
    """The same layers on an image of 36x36."""
    network = built("lenet5")
    body = nn.Sequential(*list(network.children())[:9])
    sides = {f"image of {n}x{n}": measure(body, (1, n, n)).layers[-1].output[1] for n in (32, 36)}
    full = [isinstance(network.get_submodule(name), nn.Linear) for name in ("C5", "F6")]
    answer = (
        "C5 is a convolution of 5x5, 1x1 only because the input is 32x32: at 36x36 it has "
        f"{sides['image of 36x36']}x{sides['image of 36x36']} positions. F6 is fully connected."
    )
    return Finding(holding(full), answer, sides, Bars(sides, "positions of C5 per side"))


@structure(
    claim="A Gaussian connection gives the probabilities of the 10 classes.",
    source="LeCun et al. 1998, section II-B and Figure 3",
    criterion="corrected if the outputs are not probabilities: between 0 and 1, with a sum of 1",
)
def lenet5_gaussian() -> Finding:
    """The squared distances of F6's own target to the ten bitmaps."""
    output = Prototypes(10)
    penalties = -output(output.centres[6][None])[0]
    total = float(penalties.sum())
    learnt = sum(p.numel() for p in output.parameters())
    figures = {
        "smallest penalty, of the 6 itself": int(penalties.min()),
        "next, of the 8": int(penalties.sort().values[1]),
        "sum of the ten": int(total),
        "fixed values": output.centres.numel(),
        "parameters": learnt,
    }
    answer = (
        "Squared Euclidean distances to ten drawn bitmaps, penalties of which the smallest wins: "
        f"nothing is exponentiated, and the {figures['fixed values']} values are not learnt."
    )
    verdict = equal([True, 1.0], [bool((penalties <= 1).all()), total])
    bars = {str(k): float(y) for k, y in enumerate(penalties)}
    return Finding(verdict, answer, figures, Bars(bars, "penalty of each class for a perfect 6"))


@structure(
    claim="C3 is a convolution over S2 like any other.",
    source="LeCun et al. 1998, Table I",
    criterion="corrected if a map of C3 does not read all six maps of S2",
)
def lenet5_table() -> Finding:
    """Table I: which maps of S2 each map of C3 reads."""
    c3 = lenet5().get_submodule("C3")
    assert isinstance(c3, PartialConv2d)
    reads = (c3.dense_weight().abs().sum(dim=(2, 3)) > 0).sum(1)
    links, params = int(reads.sum()), layers("lenet5")["C3"].params
    figures = {"links": links, "links if all": 96, "parameters": params, "if all": 2416}
    assert figures["if all"] == sum(p.numel() for p in nn.Conv2d(6, 16, 5).parameters())
    answer = f"Table I links {links} of 96 pairs of maps: {params:,} parameters in place of 2,416."
    bars = {f"C3 map {k}": int(n) for k, n in enumerate(reads)}
    return Finding(equal(96, links), answer, figures, Bars(bars, "maps of S2 that it reads", 6))


@structure(
    claim="LeNet-5 has 60,000 trainable parameters and 340,908 connections.",
    by="the paper",
    source="LeCun et al. 1998, section II-B",
    criterion="confirmed if the network as built has both numbers",
)
def lenet5_size() -> Finding:
    """A connection is a multiplication or the addition of a bias, for every unit."""
    rows = layers("lenet5")
    inputs = {"C1": 26, "S2": 5, "S4": 5, "C5": 401, "F6": 121, "output": 84}  # with the bias
    counts = {name: prod(rows[name].output) * each for name, each in inputs.items()}
    counts["C3"] = prod(rows["C3"].output[1:]) * rows["C3"].params
    total, params = sum(counts.values()), measured("lenet5").totals.params
    answer = f"{params:,} parameters and {total:,} connections."
    verdict = equal((60_000, 340_908), (params, total))
    figures = {"parameters": params, "connections": total}
    return Finding(verdict, answer, figures, Bars(counts, "connections"))


STEPS = 600  # of gradient descent on equation 8
SHORT = "a few hundred steps on 1,259 digits of 8x8 pixels: the start of learning, not its end"


@training(
    claim="The network works on handwritten digits: 0.95 % error, and 0.8 % with distorted images.",
    by="the paper",
    source="LeCun et al. 1998, Figure 9",
    criterion="confirmed if the mean error on MNIST is at most 1.2 % with its interval, and lower "
    "with distortions",
    minutes=40,
    shrunk="20 epochs of the recipe fast in place of the paper's second-order method; no search of "
    "the learning rate",
    data="mnist",
)
def lenet5_mnist(lab: Lab) -> Finding:
    """As published, and with affine distortions of each image."""
    variants = {"lenet5": Variant("lenet5"),
                "distorted": Variant("lenet5", {"augment": "distort"})}  # fmt: skip
    expected, limits = {("lenet5", "distorted"): LOWER}, {"lenet5": 1.2}
    return lab.compare(variants, expected, epochs=20, search_lr=False, limits=limits)


@training(
    claim="Distances to drawn digits with equation 9 work as well as a softmax layer.",
    by="lectures, which replace the one by the other",
    source="LeCun et al. 1998, section II-C",
    criterion="confirmed if the test errors differ by at most 1 point with the whole interval",
    minutes=4,
    shrunk=SHORT,
)
def lenet5_output(lab: Lab) -> Finding:
    """The last layer and its loss are exchanged."""
    softmax = design("lenet5").replace("output: 10 prototypes", "output: 10 neurons")
    common = {"lr": "0.004", "init": "HeNormal()"}
    variants = {
        "RBF": Variant(design("lenet5"), {**common, "loss": "MapLoss(20.0)"}),
        "softmax": Variant(softmax, {**common, "loss": "CrossEntropy()"}),
    }
    return lab.compare(variants, {("RBF", "softmax"): same(1.0)}, epochs=20)


@training(
    claim="Equation 9, in which the classes compete, does better than equation 8, the mean penalty "
    "of the right class; softmax does as well.",
    by="the paper, for the first",
    source="LeCun et al. 1998, section II-C",
    criterion="confirmed if the test error is lower with equation 9 than with 8, and that of "
    "softmax differs from equation 9's by at most 1 point with the whole interval",
    minutes=4,
    shrunk=SHORT,
)
def lenet5_competition(lab: Lab) -> Finding:
    """Fixed centres, so that equation 8 cannot collapse; each loss with its own learning rate."""
    text, init = design("lenet5"), {"init": "HeNormal()"}
    softmax = text.replace("output: 10 prototypes", "output: 10 neurons")
    variants = {
        "equation 8": Variant(text, {**init, "lr": "0.004", "loss": "PenaltyLoss()"}),
        "equation 9": Variant(text, {**init, "lr": "0.004", "loss": "MapLoss(20.0)"}),
        "softmax": Variant(softmax, {**init, "lr": "0.032", "loss": "CrossEntropy()"}),
    }
    expected = {("equation 8", "equation 9"): LOWER, ("equation 9", "softmax"): same(1.0)}
    return lab.compare(variants, expected, epochs=12)


@training(
    claim="Equation 8 alone would collapse if the centres of the output were trained too.",
    by="the paper",
    source="LeCun et al. 1998, section II-C",
    criterion="confirmed if the training error after 600 steps is higher with trained centres",
    minutes=1,
    shrunk="600 steps of gradient descent with momentum, 500 digits; where it ends is not shown",
    data="",
)
def lenet5_collapse(lab: Lab) -> Finding:
    """Both start from the same weights, and the centres from the drawn digits."""
    seeds = lab.seeds or 6
    require_pairs(seeds, 1, lab.name)
    values = {
        name: [_error_of_equation_8(seed, trained) for seed in range(1, seeds + 1)]
        for name, trained in (("fixed", False), ("trained", True))
    }
    return conclude(values, {("fixed", "trained"): HIGHER}, "training error, points")


def _error_of_equation_8(seed: int, trained: bool) -> float:
    """The training error in % after minimising the mean penalty of the true class."""
    (pixels, y), rng = some_digits(32, 500), torch.Generator().manual_seed(seed)
    x = pixels.float() / 255 * 1.275 - 0.1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = lenet5()
    catalog.find("lenet5").recipe.init(network, rng)
    output = network.get_submodule("output")
    centres = nn.Parameter(output.get_buffer("centres").clone(), requires_grad=trained)
    body = nn.Sequential(*list(network.children())[:-1])
    optimizer = torch.optim.SGD([*body.parameters(), centres], lr=0.002, momentum=0.9)
    for _ in range(STEPS):
        at = torch.randint(len(y), (50,), generator=rng)
        loss = (body(x[at]) - centres[y[at]]).square().sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        nearest = torch.cdist(body(x), centres).argmin(1)
    return 100 * float((nearest != y).float().mean())


@training(
    claim="C3 may read all maps of S2: the table only saves connections.",
    by="implementations that leave Table I out",
    source="LeCun et al. 1998, section II-B",
    criterion="confirmed if the test errors differ by at most 1 point with the whole interval",
    minutes=4,
    shrunk=SHORT,
)
def lenet5_partial(lab: Lab) -> Finding:
    """1,516 against 2,416 parameters in C3."""
    partial = design("lenet5")
    full = re.sub(r"filters by table\n(?: +[X.].*\n)+", "filters\n", partial)
    settings = {"lr": "0.004", "loss": "MapLoss(20.0)"}
    variants = {name: Variant(text, settings) for name, text in
                (("Table I", partial), ("all maps", full))}  # fmt: skip
    return lab.compare(variants, {("Table I", "all maps"): same(1.0)}, epochs=20)
