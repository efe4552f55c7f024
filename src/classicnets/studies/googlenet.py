"""GoogLeNet: what is said of its modules and size, and what its ideas are worth."""

from math import log

from torch import nn

from classicnets.measure import measure
from classicnets.models.googlenet import TABLE_1, Widths, inception, naive

from . import narrow
from .charts import Bars
from .facts import built, measured, weighted
from .lab import Lab, centre_error, evaluated
from .narrow import START, TWO_MODULES, in_colour, small, smalls
from .study import NOTES, TEXT, Finding, history, structure, training
from .verdicts import LOWER, equal, holding, near, no_higher

PAPER = "Szegedy et al., arXiv:1409.4842"
# the example of the CS231n notes: 28x28x256, reductions to 64
EXAMPLE = Widths(128, 64, 192, 64, 96, 64)
ERRORS = {  # top-5 test error of ILSVRC-2014, in %
    "GoogLeNet, 7 networks": 6.67,
    "VGG, submitted": 7.32,
    "VGG, 2 networks": 6.8,
    "GoogLeNet, 1 network (validation)": 7.89,
    "VGG, 1 network": 7.0,
}


@structure(
    claim="GoogLeNet has 5 million parameters.",
    source=f"{PAPER}, Table 1; the network as built",
    criterion="corrected if the widths of Table 1 make another number within 2 %",
)
def googlenet_5_million() -> Finding:
    """5 million is a twelfth of AlexNet's 60."""
    total, alexnet = (measured(name).totals.params for name in ("googlenet", "alexnet"))
    figures = {
        "parameters": total,
        "without the classifier": total - 1_025_000,
        "a twelfth of AlexNet's": round(alexnet / 12),
    }
    answer = (
        f"{total:,} by the widths of Table 1, {alexnet / total:.1f} times fewer than AlexNet. "
        "5 million is a twelfth of AlexNet's, as the introduction has it."
    )
    return Finding(near(5e6, total, 2), answer, figures, Bars(figures, "parameters", 5e6))


@structure(
    claim="The 1x1 convolutions of the modules make 4 times fewer parameters.",
    source=f"{PAPER}, Figure 2 and Table 1",
    criterion="confirmed if the weights of all nine modules, with the same inputs, are fewer by a "
    "factor within 2 % of 4",
)
def googlenet_4_times() -> Finding:
    """Figure 2(a) against Figure 2(b), module by module."""
    before, after, depth = 0, 0, 192
    for row in TABLE_1.values():
        (plain, _), (reduced, width) = naive(depth, row), inception(depth, row)
        before, after = before + _weights(plain), after + _weights(reduced)
        depth = width
    example = _weights(naive(256, EXAMPLE)[0]) / _weights(inception(256, EXAMPLE)[0])
    figures = {"naive, weights": before, "with 1x1, weights": after, "ratio": before / after,
               "ratio in the notes' example": example}  # fmt: skip
    answer = (
        f"{before / after:.2f} times over the nine modules, {example:.2f} in the notes' example."
    )
    weights = {"naive": before, "with 1x1": after}
    return Finding(near(4, before / after, 2), answer, figures, Bars(weights, "weights"))


def _weights(module: nn.Module) -> int:
    return sum(m.weight.numel() for m in module.modules() if isinstance(m, nn.Conv2d))


@structure(
    claim="A module needs 854 M operations without 1x1 convolutions and 358 M with them.",
    by=NOTES,
    source="the example of 28x28x256 in the notes",
    criterion="confirmed if both numbers of multiply-adds are right within 2 %, partly if one is",
)
def googlenet_operations() -> Finding:
    """358 M counts the row of the 3x3 twice."""
    modules = {"naive": naive(256, EXAMPLE)[0], "with 1x1": inception(256, EXAMPLE)[0]}
    macs = {name: measure(one, (256, 28, 28)).totals.macs for name, one in modules.items()}
    right = [near(claimed, found, 2) for claimed, found in zip((854e6, 358e6), macs.values(),
                                                              strict=True)]  # fmt: skip
    row = 28 * 28 * 9 * 64 * 192
    answer = (
        f"{macs['naive']:,} and {macs['with 1x1']:,}; with the row of the 3x3, {row:,}, counted "
        f"twice it would be {(macs['with 1x1'] + row) / 1e6:.0f} M."
    )
    verdict = holding(one == "confirmed" for one in right)
    return Finding(verdict, answer, macs, Bars(macs, "multiply-adds"))


@structure(
    claim="Without the three added 1x1 convolutions the output is too thick.",
    source=f"{PAPER}, section 4 and Figure 2",
    criterion="confirmed if the naive module, at the same widths, gives more maps than it reads "
    "and more than the one with projections",
)
def googlenet_depth() -> Finding:
    """672 against 480 maps after one module, and what nine of them make."""
    depths = {"naive": naive(256, EXAMPLE)[1], "with projection": inception(256, EXAMPLE)[1]}
    last = {name: measured(name).folded() for name in ("googlenet_naive", "googlenet")}
    final = {
        f"{name}, after 5b": next(r for r in one.layers if r.name == "inception_5b").output[0]
        for name, one in last.items()
    }
    thick = depths["naive"] > depths["with projection"], depths["naive"] > 256
    figures = {"read by the module": 256, **depths, **final}
    answer = (
        f"{depths['naive']} maps in place of {depths['with projection']}, since the pool keeps all "
        f"that it reads; after nine modules {final['googlenet_naive, after 5b']:,} in place of "
        f"{final['googlenet, after 5b']:,}."
    )
    return Finding(holding(thick), answer, figures, Bars(figures, "maps"))


@structure(
    claim="GoogLeNet has 22 layers.",
    source=f"{PAPER}, section 5",
    criterion="confirmed if the longest path has 22 layers with weights, auxiliary heads apart",
)
def googlenet_22_layers() -> Finding:
    """A module is two layers deep, whatever its width."""
    names = [name for name in weighted("googlenet") if not name.startswith("aux")]
    modules = [name for name in names if name.startswith("inception")]
    depth = {
        "stem": sum(name.startswith("conv") for name in names),
        "nine modules of two": 2 * len({name.split(".")[0] for name in modules}),
        "classifier": sum(name == "fc" for name in names),
    }
    total = sum(depth.values())
    answer = f"{total} on the longest path; there are {len(names)} convolutions and layers in all."
    figures = {**depth, "longest path": total}
    return Finding(equal(22, total), answer, figures, Bars(depth, "layers with weights"))


@structure(
    claim="The column “#3x3 reduce” of Table 1 gives the number of 1x1 filters before the 3x3.",
    source=f"{PAPER}, section 5",
    criterion="confirmed if the modules, as built with these 1x1, have the total of the table's "
    "widths: 6,998,552 parameters",
)
def googlenet_reduce() -> Finding:
    """Each row of the table, and the layer that it makes."""
    network = built("googlenet")
    found = {
        name: network.get_submodule(f"inception_{name}.3x3.3x3_reduce").get_parameter("weight")
        for name in TABLE_1
    }
    agree = [w.shape[0] == TABLE_1[name].n3x3_reduce and w.shape[2:] == (1, 1)
             for name, w in found.items()]  # fmt: skip
    total = measured("googlenet").totals.params
    bars = {name: w.shape[0] for name, w in found.items()}
    answer = f"So it is, and with them the network has {total:,} parameters."
    verdict = holding((all(agree), total == 6_998_552))
    return Finding(verdict, answer, bars, Bars(bars, "1x1 filters before the 3x3"))


@history(
    claim="GoogLeNet is more accurate than VGG.",
    source="arXiv:1409.4842, Tables 2 and 3; arXiv:1409.1556v6, Table 7",
    criterion="confirmed if its error is the lower one for the entries and for single networks, "
    "partly if for one of them",
)
def googlenet_accuracy() -> Finding:
    """Seven networks of each, and one of each."""
    lower = {
        "entries": ERRORS["GoogLeNet, 7 networks"] < ERRORS["VGG, submitted"],
        "single": ERRORS["GoogLeNet, 1 network (validation)"] < ERRORS["VGG, 1 network"],
    }
    answer = (
        "Of the entries yes, 6.67 against 7.32 %. Of single networks VGG is ahead, 7.0 against "
        "7.9 %, and two of VGG later came to 6.8 %."
    )
    return Finding(holding(lower.values()), answer, ERRORS, Bars(ERRORS, "top-5 error, %"))


@training(
    claim="With fewer parameters inception is at least as accurate as plain convolutions.",
    by=TEXT,
    source=f"{PAPER}, section 4",
    criterion="confirmed if its test error is lower than, or within 1 point of, that of a plain "
    "network with as many multiply-adds within 5 %; its parameters are stated",
    minutes=3,
    shrunk=TWO_MODULES,
)
def googlenet_inception(lab: Lab) -> Finding:
    """The plain one has 3x3 convolutions in the modules' place."""
    plain = """every conv: relu
[16x16x1] input
conv1: 16 3x3 filters, pad 1
pool1: 2x2 max pool at stride 2
conv3a: 18 3x3 filters, pad 1
pool3: 2x2 max pool at stride 2
conv4a: 36 3x3 filters, pad 1
"""
    variants = {"plain": small(plain + narrow.AVERAGE),
                "inception": small(narrow.inception())}  # fmt: skip
    return lab.compare(variants, {("plain", "inception"): no_higher(1.0)}, epochs=10)


@training(
    claim="Auxiliary classifiers help the training.",
    by="the paper; the later gain is about half a point",
    source=f"{PAPER}, section 5",
    criterion="confirmed if the test error is lower with the head, at weight 0.3, than without",
    minutes=3,
    shrunk=f"{TWO_MODULES}; three layers deep, where no gradient is lost",
)
def googlenet_auxiliary(lab: Lab) -> Finding:
    """One head behind the first module, with weight 0.3 and 0."""
    text = narrow.inception(aux=narrow.HEAD)
    variants = {f"weight {w:g}": small(text, loss=f"WithAuxiliaries({w})") for w in (0.0, 0.3)}
    return lab.compare(variants, {("weight 0", "weight 0.3"): LOWER}, epochs=10)


@training(
    claim="An auxiliary classifier makes the loss fall faster at first.",
    by="lectures; the paper, for the gradient that reaches the lower layers",
    source=f"{PAPER}, section 5",
    criterion="confirmed if the validation loss of the main classifier in the best of 4 epochs is "
    "lower with the head, at weight 0.3, than without, each with its own constant learning rate",
    minutes=3,
    shrunk=f"six narrow modules, 14 layers, on images of 16x16, {START}",
)
def googlenet_early_loss(lab: Lab) -> Finding:
    """The head is behind the first of six modules."""
    more = "".join(f"inception_4{letter}: inception 16 16 32 4 8 8\n" for letter in "bcde")
    text = narrow.inception(more + narrow.AVERAGE, narrow.HEAD)
    variants = {f"weight {w:g}": small(text, loss=f"WithAuxiliaries({w})", lr="Constant(0.02)")
                for w in (0.0, 0.3)}  # fmt: skip
    return lab.compare(variants, {("weight 0", "weight 0.3"): LOWER}, epochs=4,
                       measure=lambda outcome, run: min(outcome.loss, log(10)),  # that of guessing
                       unit="validation loss")  # fmt: skip


@training(
    claim="Average pooling in place of fully connected layers gains accuracy.",
    by="the paper: 0.6 points top-1",
    source=f"{PAPER}, section 5",
    criterion="confirmed if the test error is lower with the average",
    minutes=3,
    shrunk=TWO_MODULES,
)
def googlenet_average(lab: Lab) -> Finding:
    """One fully connected layer of 128 on all positions, or the average of the maps."""
    full = "fc1: 128 neurons\nrelu1: relu\ndrop: dropout 0.4\nfc: 10 neurons\n"
    variants = smalls({"fc": narrow.inception(full), "average": narrow.inception()})
    return lab.compare(variants, {("fc", "average"): LOWER}, epochs=10)


@training(
    claim="More crops lower the error, with diminishing return: 1, 10, 144.",
    by="the paper, Table 3",
    source=f"{PAPER}, section 7",
    criterion="confirmed if the test error of the same runs is lower with 10 crops than with 1, "
    "and with 144 than with 1",
    minutes=20,
    shrunk=TWO_MODULES,
    data="cifar10",
)
def googlenet_crops(lab: Lab) -> Finding:
    """Crops of 16 from 20 pixels, and for 144 from larger ones."""
    variant = small(in_colour(narrow.inception()), side="20", crop_sampler="RandomCrop()")
    measures = {"1 crop": centre_error, "10 crops": evaluated("ten-crop"),
                "144 crops": evaluated("144-crop")}  # fmt: skip
    expected = {("1 crop", "10 crops"): LOWER, ("1 crop", "144 crops"): LOWER}
    return lab.within(variant, measures, expected, epochs=4)
