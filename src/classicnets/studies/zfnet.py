"""ZFNet: what is said of its place and widths, and what its layers are worth."""

from collections.abc import Callable
from statistics import fmean

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from classicnets.api.runs import load
from classicnets.experiments.outcomes import Outcome
from classicnets.training.run.directory import Run
from classicnets.visualize.deconv import deconv
from classicnets.visualize.probes import probes

from . import narrow
from .charts import Bars
from .facts import built, layers, measured, some_digits
from .lab import Lab, Measure, Pair
from .narrow import EIGHTH, small, smalls
from .study import NOTES, TEXT, Finding, history, structure, training
from .verdicts import HIGHER, LOWER, equal, holding

PAPER = "Zeiler and Fergus, arXiv:1311.2901v3"
WINNERS = {  # top-5 test error of ILSVRC-2013, in %
    "Clarifai, other images too": 11.2,
    "Clarifai": 11.7,
    "OverFeat, 7 networks": 13.6,
    "ZFNet's paper, 6 networks": 14.8,
}


def _convolutions(name: str) -> list[nn.Conv2d]:
    found = (built(name).get_submodule(f"conv{k}") for k in range(1, 6))
    return [layer for layer in found if isinstance(layer, nn.Conv2d)]


@history(
    claim="ZFNet is the winner of ILSVRC-2013.",
    by=f"case study, {NOTES}",
    source="arXiv:1409.1556v6, Table 7 and arXiv:1311.2901v3, Table 2",
    criterion="corrected if another entry has a lower top-5 test error in the printed tables",
)
def zfnet_winner() -> Finding:
    """Clarifai, the company of the first author, entered a network of its own."""
    best = min(WINNERS, key=lambda name: WINNERS[name])
    answer = "Clarifai won with 11.7 % (11.2 with other images); the paper's own best is 14.8 %."
    verdict = equal("ZFNet", best.partition("'")[0])
    return Finding(verdict, answer, WINNERS, Bars(WINNERS, "top-5 test error, %"))


@structure(
    claim="ZFNet replaces AlexNet's first filters, 11x11 at stride 4, by 7x7 at stride 2.",
    source=f"{PAPER}, Figure 3 and section 4.1",
    criterion="confirmed if the first layers as built differ in just this",
)
def zfnet_first_layer() -> Finding:
    """Kernels, strides, and the maps that follow."""
    (a, *_), (z, *_) = _convolutions("alexnet"), _convolutions("zfnet")
    holds = [(a.kernel_size, a.stride) == ((11, 11), (4, 4))]
    holds += [(z.kernel_size, z.stride) == ((7, 7), (2, 2)), a.out_channels == z.out_channels]
    sides = {f"{name} conv1": layers(name)["conv1"].output[1] for name in ("alexnet", "zfnet")}
    answer = "So it is: 96 maps of 110x110 in place of 55x55."
    return Finding(holding(holds), answer, sides, Bars(sides, "pixels per side"))


@structure(
    claim="In layers 3, 4 and 5 ZFNet has 512, 1024 and 512 filters in place of 384, 384 and 256.",
    by=f"case study, {NOTES}",
    source=f"{PAPER}, Figure 3 and Table 3",
    criterion="corrected if Figure 3 has other widths",
)
def zfnet_widths() -> Finding:
    """The wide one is a row of Table 3."""
    widths = {name: [c.out_channels for c in _convolutions(name)[2:]] for name in _BOTH}
    params = {name: measured(name).totals.params for name in _BOTH}
    answer = (
        "Figure 3 has 384, 384, 256. The wide network is a variant of Table 3, with "
        f"{params['zfnet_wide']:,} parameters in place of {params['zfnet']:,}."
    )
    verdict = equal([512, 1024, 512], widths["zfnet"])
    figures = {name: ", ".join(map(str, found)) for name, found in widths.items()}
    params = {f"{name}, parameters": count for name, count in params.items()}
    return Finding(verdict, answer, {**figures, **params}, Bars(params, "parameters"))


_BOTH = ("zfnet", "zfnet_wide")


@structure(
    claim="But for the first layer and the widths of 3 to 5, ZFNet has AlexNet's structure.",
    source=f"{PAPER}, Figure 3 and section 4.1",
    criterion="corrected if another convolution differs in kernel, stride or groups",
)
def zfnet_other_changes() -> Finding:
    """conv2 has stride 2, and no convolution has two groups."""
    pairs = list(zip(_convolutions("alexnet"), _convolutions("zfnet"), strict=True))[1:]
    strides = [k for k, (a, z) in enumerate(pairs, 2) if a.stride != z.stride]
    groups = [k for k, (a, z) in enumerate(pairs, 2) if a.groups != z.groups]
    norm = [n for n in layers("zfnet") if n in ("norm1", "pool1")]
    figures = {
        "other stride in conv": ", ".join(map(str, strides)),
        "other groups in conv": ", ".join(map(str, groups)),
        "order in ZFNet": " ".join(norm),
    }
    answer = (
        "conv2 has stride 2 as well, conv2, conv4 and conv5 are no longer split in two, and the "
        "maps are normalised after pooling, not before."
    )
    changes = {f"conv{k}": int(k in strides) + int(k in groups) for k in range(2, 6)}
    verdict = equal([], strides + groups)
    return Finding(verdict, answer, figures, Bars(changes, "other changes to the layer"))


@training(
    claim="A smaller first filter at a smaller stride skips less and does better.",
    by=TEXT,
    source=f"{PAPER}, section 4.1",
    criterion="confirmed if the test error is lower with 5x5 at stride 1 than with 7x7 at stride 2",
    minutes=3,
    shrunk=f"{EIGHTH}; 11x11 at stride 4 has no room in 16 pixels",
)
def zfnet_filter(lab: Lab) -> Finding:
    """The ratio of the two papers' first layers, for small images."""
    first = {"7x7 at stride 2": "7x7 filters at stride 2, pad 3",
             "5x5 at stride 1": "5x5 filters, pad 2"}  # fmt: skip
    variants = smalls({name: narrow.zfnet(text) for name, text in first.items()})
    return lab.compare(variants, {tuple(first): LOWER}, epochs=8)  # type: ignore[dict-item]


@training(
    claim="Wider layers 3, 4 and 5 do better.",
    by="the paper, Table 3: 37.5 in place of 38.4 %",
    source=f"{PAPER}, Table 3",
    criterion="confirmed if the test error is lower with 64, 128, 64 maps than with 48, 48, 32",
    minutes=3,
    shrunk=EIGHTH,
)
def zfnet_wider(lab: Lab) -> Finding:
    """512, 1024, 512 and 384, 384, 256, divided by eight."""
    variants = smalls({"as published": narrow.zfnet(), "wider": narrow.zfnet(middle=(64, 128, 64))})
    return lab.compare(variants, {("as published", "wider"): LOWER}, epochs=8)


@training(
    claim="Removing layers 3 and 4 or layers 6 and 7 harms a little, all four a lot.",
    by="the paper, Table 3",
    source=f"{PAPER}, section 4.3",
    criterion="confirmed if the test error is higher without all four, than whole and than without "
    "either pair",
    minutes=5,
    shrunk=EIGHTH,
)
def zfnet_ablations(lab: Lab) -> Finding:
    """conv3 and conv4, fc6 and fc7, and both."""
    variants = smalls({
        "whole": narrow.zfnet(),
        "without 3, 4": narrow.zfnet(middle=(32,)),
        "without 6, 7": narrow.zfnet(full=0),
        "without 3, 4, 6, 7": narrow.zfnet(middle=(32,), full=0),
    })  # fmt: skip
    expected = {(name, "without 3, 4, 6, 7"): HIGHER for name in list(variants)[:3]}
    return lab.compare(variants, expected, epochs=8)


@training(
    claim="A linear classifier on deeper layers does better.",
    by="the paper, Table 7",
    source=f"{PAPER}, section 4.3",
    criterion="confirmed if the error of a probe on conv5 is lower than on conv1, in the same runs",
    minutes=2,
    shrunk=f"{EIGHTH}; probes read 600 training images",
)
def zfnet_probes(lab: Lab) -> Finding:
    """Softmax regression on what the layers give."""
    return _within(lab, ("conv1", "conv5"), _probe, "error of a probe, points")


@training(
    claim="Hiding the object lowers the probability of its class; hiding the background does not.",
    by="the paper, Figure 7",
    source=f"{PAPER}, section 4.2",
    criterion="confirmed if the mean probability of the true class is lower with a square on the "
    "most inked window than with one on the least inked, in the same runs",
    minutes=2,
    shrunk=f"{EIGHTH}; 128 digits in place of photographs, a square of 5x5",
)
def zfnet_occlusion(lab: Lab) -> Finding:
    """One grey square for each digit."""
    return _within(lab, ("background", "digit"), _hidden, "probability of the true class, points")


@training(
    claim="What a deconvnet projects back from a deep layer lies on the object.",
    by="the paper, Figure 2",
    source=f"{PAPER}, section 3.1",
    criterion="confirmed if the strongest activation of conv5, projected back, has a lower share "
    "of its energy in the least inked window of 5x5 than in the most inked, in the same runs",
    minutes=2,
    shrunk=f"{EIGHTH}; 64 digits in the middle of the image, where more of any reconstruction lies",
)
def zfnet_deconvnet(lab: Lab) -> Finding:
    """The squares of the reconstruction's values."""
    return _within(lab, ("digit", "background"), _projected, "share of the energy, points")


def _within(lab: Lab, pair: Pair, measure: Callable[[str], Measure], unit: str) -> Finding:
    """Whether the second measure of the same runs is lower."""
    measures = {name: measure(name) for name in pair}
    return lab.within(small(narrow.zfnet()), measures, {pair: LOWER}, epochs=6, unit=unit)


def _probe(layer: str) -> Measure:
    """The test error in % of a linear classifier on the features of a layer."""

    def error(outcome: Outcome, run: Run) -> float:
        scaling = run.config.scaling
        (x, y), (x_test, y_test) = (some_digits(16, 600, part) for part in ("train", "test"))
        train, test = (scaling(x), y), (scaling(x_test), y_test)
        return 100 - probes(load(run.directory), train, test, (layer,))[layer]

    return error


def _hidden(place: str) -> Measure:
    """The mean probability in % of the true class, with a grey square on the digit or beside."""

    def probability(outcome: Outcome, run: Run) -> float:
        pixels, labels = some_digits(16, 128, "test")
        x = run.config.scaling(pixels)
        for image, window in zip(x, _windows(pixels, place), strict=True):
            image[window] = 0
        with torch.no_grad():
            found = load(run.directory)(x).softmax(1)
        return 100 * float(found.gather(1, labels[:, None]).mean())

    return probability


def _projected(place: str) -> Measure:
    """The mean share in % of a reconstruction's energy that lies on the digit, or beside it."""

    def share(outcome: Outcome, run: Run) -> float:
        pixels, _ = some_digits(16, 64, "test")
        network, shares = load(run.directory), []
        for image, window in zip(run.config.scaling(pixels), _windows(pixels, place), strict=True):
            energy = deconv(network, image, "conv5", count=1).reconstructions[0].square()
            shares.append(100 * float(energy[window].sum() / energy.sum()))
        return fmean(shares)

    return share


def _windows(pixels: Tensor, place: str) -> list[tuple[slice, slice, slice]]:
    """For each image (1, 16, 16) its 5x5 pixels with the most ink, or the least."""
    ink = avg_pool2d(pixels.float(), 5, 1).flatten(1)
    at = ink.argmax(1) if place == "digit" else ink.argmin(1)
    corners = (divmod(window, 12) for window in at.tolist())
    return [(slice(None), slice(y, y + 5), slice(x, x + 5)) for y, x in corners]
