"""ZFNet: what is said of its place and widths, and what its layers are worth."""

from torch import nn

from .charts import Bars
from .facts import built, layers, measured
from .study import NOTES, Finding, history, structure
from .verdicts import equal, holding

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
