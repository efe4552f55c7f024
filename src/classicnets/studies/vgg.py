"""VGG: what is said of its columns, memory and classifier, and what depth and windows give."""

from collections.abc import Iterator
from math import prod

import torch
from torch import Tensor, nn

from classicnets import catalog
from classicnets.measure import measure
from classicnets.models.vgg import TABLE_1

from . import narrow
from .charts import Bars
from .facts import built, layers, measured, weighted
from .lab import Lab, evaluated
from .narrow import FOUR_BLOCKS, in_colour, small
from .study import NOTES, TEXT, Finding, structure, training
from .verdicts import LOWER, equal, holding, near, same

PAPER = "Simonyan and Zisserman, arXiv:1409.1556v6"


@structure(
    claim="VGGNet has 19 layers.",
    source=f"{PAPER}, Table 1",
    criterion="partly if some columns of Table 1 have 19 layers with weights and others do not",
)
def vgg_19_layers() -> Finding:
    """A 11, B 13, C and D 16, E 19."""
    names = {column: f"vgg_{column.lower().replace('-', '_')}" for column in TABLE_1}
    depths = {column: len(weighted(name)) for column, name in names.items()}
    answer = "Column E has 19; D, the one that is usually meant, has 16, and A 11."
    verdict = holding(depth == 19 for depth in depths.values())
    return Finding(verdict, answer, depths, Bars(depths, "layers with weights", 19))


@structure(
    claim="D needs 93 MB for one image.",
    by=f"case study, {NOTES}",
    source="the activations of D that the notes list, 4 bytes each; the network as built",
    criterion="corrected if the rows of the listing sum to another number within 2 %",
)
def vgg_memory() -> Finding:
    """The image and the output of every convolution, pool and fully connected layer."""
    found = measured("vgg_d")
    rows = [row for row in found.layers if row.type in ("Conv2d", "MaxPool2d", "Linear")]
    values = 224 * 224 * 3 + sum(prod(row.output) for row in rows)
    figures = {
        "values in the rows": values,
        "rows, MB": 4 * values / 1e6,
        "kept for the backward pass, MB": found.totals.saved_bytes / 1e6,
        "24 M values, MB": 96.0,
    }
    answer = (
        f"The rows of the listing sum to {values:,} values, {4 * values / 1e6:.1f} MB. The 24 M "
        "values printed below them would be 96 MB."
    )
    bars = {name: value for name, value in figures.items() if name.endswith("MB")}
    return Finding(near(93, 4 * values / 1e6, 2), answer, figures, Bars(bars, "MB", 93))


@structure(
    claim="To train on 10,000 images takes 10,000 times 93 MB, 930 GB.",
    source="measured: the bytes that autograd keeps during an epoch",
    criterion="corrected if an epoch of four times as many images, in the same batches, keeps no "
    "more at any time, while batches of twice the size keep twice as much",
)
def vgg_batches() -> Finding:
    """A narrow column A trains on images in batches, and what is kept is counted."""
    peaks = {
        f"{count} images, batches of {batch}": max(_kept(count, batch))
        for count, batch in ((8, 4), (32, 4), (32, 8))
    }
    few, many, doubled = peaks.values()
    holds = many == few and 1.9 < doubled / few < 2.1
    ours = {
        f"D, batch of {n}": measure(built("vgg_d"), (3, 224, 224), n).training_memory.total / 1e9
        for n in (1, 8, 64)
    }
    answer = (
        "Memory follows the batch, not the data set: 32 images keep as much as 8 in the same "
        f"batches. With its weights and gradients D takes {ours['D, batch of 1']:.1f} GB for one "
        f"image and {ours['D, batch of 64']:.0f} GB for batches of 64, however many there are."
    )
    figures = {**{f"{k}, bytes kept": v for k, v in peaks.items()},
               **{f"{k}, GB": v for k, v in ours.items()}}  # fmt: skip
    return Finding(equal(False, holds), answer, figures, Bars(peaks, "bytes kept at most"))


def _kept(images: int, batch: int) -> Iterator[int]:
    """For each step of an epoch over so many images, the bytes that its backward pass needs."""
    network = nn.Sequential(*_narrow())
    for start in range(0, images, batch):
        kept: dict[int, int] = {}

        def pack(x: Tensor, kept: dict[int, int] = kept) -> Tensor:
            if not isinstance(x, nn.Parameter):
                kept[x.data_ptr()] = x.numel() * x.element_size()
            return x

        x = torch.zeros(min(batch, images - start), 3, 32, 32)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            network(x).sum().backward()
        yield sum(kept.values())


def _narrow() -> Iterator[nn.Module]:
    width = 3
    for maps in (8, 16, 32):
        yield from (nn.Conv2d(width, maps, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        width = maps
    yield from (nn.Flatten(), nn.Linear(width * 16, 10))


@structure(
    claim="The fully connected layers need most: hundreds of millions of parameters per image.",
    source=f"{PAPER}, Table 2; the network as built",
    criterion="partly if they have most of the parameters, and these do not grow with the images",
)
def vgg_classifier() -> Finding:
    """fc6 alone has three quarters."""
    rows = layers("vgg_d")
    params = {name: rows[name].params for name in ("fc6", "fc7", "fc8")}
    params["convolutions"] = measured("vgg_d").totals.params - sum(params.values())
    total = sum(params.values())
    several = measure(built("vgg_d"), (3, 224, 224), 64).totals.params
    fc6 = 100 * params["fc6"] / total
    answer = (
        f"fc6 alone has {fc6:.1f} % of the {total:,} parameters; they are the same for one image "
        "and for 64."
    )
    holds = (total - params["convolutions"] > total / 2, several == 64 * total)
    figures = {**params, "parameters, batch of 64": several, "fc6, %": fc6}
    return Finding(holding(holds), answer, figures, Bars(params, "parameters"))


@structure(
    claim="Averaging each of the 512 maps of 7x7 before the fully connected layer saves 49 times "
    "its parameters.",
    source="the network with global average pooling, as built",
    criterion="confirmed if fc6 has 49 times fewer weights behind the average",
)
def vgg_average() -> Finding:
    """102,760,448 weights become 2,097,152."""
    weights = {name: layers(name)["fc6"].params - 4096 for name in ("vgg_d", "vgg_d_gap")}
    totals = {f"{name}, all parameters": measured(name).totals.params for name in weights}
    ratio = weights["vgg_d"] / weights["vgg_d_gap"]
    before, after = totals.values()
    answer = (
        f"fc6 has exactly {ratio:g} times fewer weights; the whole network {before / after:.1f} "
        f"times fewer parameters, {after:,}. Whether that does no harm is another study."
    )
    figures = {**{f"{name}, weights of fc6": n for name, n in weights.items()}, **totals}
    return Finding(equal(49, ratio), answer, figures, Bars(figures, "parameters"))


@structure(
    claim="VGGNet has 140 million parameters, and AlexNet 60 million.",
    source="both networks as built",
    criterion="confirmed if both are right within 2 %",
)
def vgg_140_million() -> Finding:
    """138.4 and 61.0 million."""
    params = {name: catalog.find(name).params for name in ("vgg_d", "alexnet")}
    verdicts = {near(140e6, params["vgg_d"], 2), near(60e6, params["alexnet"], 2)}
    answer = f"{params['vgg_d']:,} (D) and {params['alexnet']:,}, rounded."
    verdict = verdicts.pop() if len(verdicts) == 1 else holding((True, False))
    return Finding(verdict, answer, params, Bars(params, "parameters"))


@structure(
    claim="A stack of three 3x3 convolutions has fewer weights than one of 7x7, which has 81 % "
    "more, and sees as much.",
    by="the paper",
    source=f"{PAPER}, section 2.3",
    criterion="confirmed if both see 7x7 pixels and the weights are in the ratio 49 to 27",
)
def vgg_stack() -> Finding:
    """27 C^2 against 49 C^2."""
    stack = measure(nn.Sequential(*[nn.Conv2d(64, 64, 3, bias=False) for _ in range(3)]),
                    (64, 32, 32))  # fmt: skip
    single = measure(nn.Sequential(nn.Conv2d(64, 64, 7, bias=False)), (64, 32, 32))
    weights = {"three 3x3": stack.totals.params, "one 7x7": single.totals.params}
    fields = [found.layers[-1].receptive_field for found in (stack, single)]
    holds = (fields == [7, 7], weights["one 7x7"] * 27 == weights["three 3x3"] * 49)
    more = 100 * (weights["one 7x7"] / weights["three 3x3"] - 1)
    answer = f"Both see 7x7 pixels; 7x7 has {more:.0f} % more weights."
    figures = {**weights, "more, %": more}
    return Finding(holding(holds), answer, figures, Bars(weights, "weights, 64 maps"))


@training(
    claim="Deeper is better, up to a point: A is worst, and E no better than D.",
    by="the paper, Table 3",
    source=f"{PAPER}, section 4.1",
    criterion="confirmed if B and D have a lower test error than A, and E differs from D by "
    "at most 1 point with the whole interval",
    minutes=8,
    shrunk=FOUR_BLOCKS,
)
def vgg_depth(lab: Lab) -> Finding:
    """8, 10, 13 and 15 layers are left of 11, 13, 16 and 19."""
    variants = {column: small(narrow.vgg(column)) for column in "ABDE"}
    expected = {("A", "B"): LOWER, ("A", "D"): LOWER, ("D", "E"): same(1.0)}
    return lab.compare(variants, expected, epochs=10)


@training(
    claim="Stacks of 3x3 do better than one 5x5 or one 7x7 that sees as much.",
    by="the paper: 7 points against 5x5",
    source=f"{PAPER}, section 4.1",
    criterion="confirmed if the test error is lower with two 3x3 than with 5x5, and with three 3x3 "
    "than with 7x7",
    minutes=5,
    shrunk="three blocks of 8 to 32 maps on 16x16 pixels, a few hundred steps",
)
def vgg_windows(lab: Lab) -> Finding:
    """In each of three blocks."""
    shapes = {"two 3x3": (2, 3), "5x5": (1, 5), "three 3x3": (3, 3), "7x7": (1, 7)}
    variants = {name: small(narrow.stacks(*shape)) for name, shape in shapes.items()}
    expected = {("5x5", "two 3x3"): LOWER, ("7x7", "three 3x3"): LOWER}
    return lab.compare(variants, expected, epochs=8)


@training(
    claim="3x3 convolutions (D) do better than 1x1 in their place (C).",
    by="the paper, Table 3",
    source=f"{PAPER}, section 4.1",
    criterion="confirmed if the test error of D is lower than that of C",
    minutes=4,
    shrunk=FOUR_BLOCKS,
)
def vgg_c_or_d(lab: Lab) -> Finding:
    """Two blocks differ."""
    variants = {column: small(narrow.vgg(column)) for column in "CD"}
    return lab.compare(variants, {("C", "D"): LOWER}, epochs=10)


@training(
    claim="Global average pooling in place of the fully connected layers does hardly any harm.",
    by=TEXT,
    source="the claim of the text; GoogLeNet's paper gains 0.6 points by it",
    criterion="confirmed if the test errors differ by at most 1 point with the whole interval",
    minutes=3,
    shrunk=FOUR_BLOCKS,
)
def vgg_head(lab: Lab) -> Finding:
    """Column A without fc6 and fc7, its last maps averaged."""
    variants = {"fc6, fc7": small(narrow.vgg("A")),
                "average": small(narrow.vgg("A", "average: global average"))}  # fmt: skip
    return lab.compare(variants, {("fc6, fc7", "average"): same(1.0)}, epochs=10)


@training(
    claim="Local response normalisation does not help VGG.",
    by="the paper, Table 3: A-LRN",
    source=f"{PAPER}, section 4.1",
    criterion="confirmed if the test errors differ by at most 1 point with the whole interval",
    minutes=3,
    shrunk=FOUR_BLOCKS,
)
def vgg_lrn(lab: Lab) -> Finding:
    """A with and without."""
    variants = {column: small(narrow.vgg(column)) for column in ("A", "A-LRN")}
    return lab.compare(variants, {("A", "A-LRN"): same(1.0)}, epochs=10)


@training(
    claim="Scale jitter lowers the error.",
    by="the paper, Table 3",
    source=f"{PAPER}, sections 3.1 and 4.1",
    criterion="confirmed if the test error is lower with sides of 18 to 36 pixels than with 18, as "
    "256 to 512 and 256 for crops of 224, by dense evaluation as in the paper",
    minutes=25,
    shrunk=FOUR_BLOCKS,
    data="cifar10",
)
def vgg_jitter(lab: Lab) -> Finding:
    """Crops of 16 from a fixed side or a random one; tested at 18, and in the middle, 27."""
    text = in_colour(narrow.vgg("A"))
    samplers = {"fixed": "RandomCrop()", "jitter": "ScaleJitter(18, 36)"}
    variants = {name: small(text, side="18", crop_sampler=one) for name, one in samplers.items()}
    expected = {("fixed", "jitter"): LOWER}
    return lab.compare(variants, expected, measure=evaluated("dense"), epochs=8)
