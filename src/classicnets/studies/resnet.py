"""ResNet: what is said of its shortcuts, recipe and depth, and what they are worth."""

import math
import re
from dataclasses import replace
from statistics import fmean

from torch import Generator, nn

from classicnets import catalog
from classicnets.api.design import design
from classicnets.api.runs import load
from classicnets.designs.build import build
from classicnets.designs.reader import read
from classicnets.experiments.outcomes import Outcome
from classicnets.layers.wiring import Residual
from classicnets.models.resnet import plain_cifar, resnet_cifar
from classicnets.training.recipe import SGD, HeNormal
from classicnets.training.run.directory import Run
from classicnets.visualize.health import health

from .charts import Bars
from .facts import built, measured, some_digits, weighted
from .lab import Lab, Variant, conclude, train_error
from .narrow import START, small
from .study import NOTES, Finding, history, structure, training
from .verdicts import HIGHER, LOWER, at_most, equal, holding, require_pairs, same, together

PAPER = "He et al., arXiv:1512.03385"


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


QUARTER = f"a quarter of the width on images of 16x16, {START}"
GPU = "too long for two cores: `classicnets study {} --device cuda`"


def _variant(network: nn.Module) -> Variant:
    """A narrow copy at a rate around which networks with batch normalisation learn best here."""
    return small(design(network, "1/4", (1, 16, 16), 10), lr="0.2")


@training(
    claim="Plain networks get worse with depth in training too, residual ones do not.",
    by="the paper, Figure 6",
    source=f"{PAPER}, section 4.2",
    criterion="confirmed if the training error of plain 32 is higher than of plain 8, and that of "
    "residual 32 lower than of plain 32",
    minutes=5,
    shrunk=f"{QUARTER}; 8 and 32 layers; the full length is resnet-degradation",
)
def resnet_depth(lab: Lab) -> Finding:
    """6n + 2 layers with n = 1 and 5, with and without shortcuts."""
    kinds = {"plain": plain_cifar, "residual": resnet_cifar}
    compared = (("plain", 8), ("plain", 32), ("residual", 32))
    variants = {f"{kind} {n}": _variant(kinds[kind](n)) for kind, n in compared}
    expected = {("plain 8", "plain 32"): HIGHER, ("plain 32", "residual 32"): LOWER}
    return lab.compare(variants, expected, epochs=8, measure=train_error,
                       unit="training error, points")  # fmt: skip


PLAIN, RESIDUAL = (20, 32, 44, 56), (20, 32, 44, 56, 110)  # layers
LENGTH: dict[str, str] = {}  # that of the paper's recipe


@training(
    claim="Plain networks of 20 to 56 layers get worse with depth, residual ones of 20 to 110 "
    "better.",
    by="the paper, Figure 6 and Table 6",
    source=f"{PAPER}, section 4.2",
    criterion="confirmed if the training error of plain 56 is higher than of plain 20, and the "
    "test error of residual networks lower at 56 layers than at 20 and at 110 than at 56",
    minutes=60_000,
    shrunk=f"nothing: 64,000 steps each by the paper's recipe; {GPU.format('resnet-degradation')}, "
    "about 60 runs of an hour or less",
    data="cifar10",
)
def resnet_degradation(lab: Lab) -> Finding:
    """The whole of section 4.2 but for 1202 layers."""
    *_, deep, deepest = residual = [f"resnet{n}" for n in RESIDUAL]
    plain = [f"plain{n}" for n in PLAIN]
    variants = {name: Variant(name, LENGTH) for name in (*plain, *residual)}
    expected = {(plain[0], plain[-1]): HIGHER, (residual[0], deep): LOWER, (deep, deepest): LOWER}
    return lab.compare(variants, expected, recipe=None, measure=_error_of_kind, search_lr=False,
                       unit="error, points (plain: training, residual: test)")  # fmt: skip


def _error_of_kind(outcome: Outcome, run: Run) -> float:
    """The training error of a plain network, the test error of a residual one."""
    plain = run.config.network.startswith("plain")
    return train_error(outcome, run) if plain else outcome.error


@training(
    claim="Options A, B and C of the shortcut differ little.",
    by="the paper, Table 3: 25.0, 24.5 and 24.2 %",
    source=f"{PAPER}, section 4.1",
    criterion="confirmed if the test errors of B and C differ from A's by at most 1 point with the "
    "whole interval",
    minutes=5,
    shrunk=QUARTER,
)
def resnet_options(lab: Lab) -> Finding:
    """14 layers with padding, with projections where the width changes, and everywhere."""
    variants = {option: _variant(resnet_cifar(14, option)) for option in "ABC"}
    return lab.compare(variants, {("A", "B"): same(1.0), ("A", "C"): same(1.0)}, epochs=8)


@training(
    claim="With batch normalisation the gradient reaches the first layer of a plain network; "
    "without it decays.",
    by="the paper, section 4.1, against the case study",
    source=f"{PAPER}, section 4.1",
    criterion="confirmed if the ratio of the gradient at conv1 to that at the last convolution, as "
    "a power of ten, is higher with normalisation, and at least 0.1 with it",
    minutes=1,
    shrunk="20 layers of a quarter of the width at their initial values, 64 digits: not after "
    "training",
    data="",
)
def resnet_gradients(lab: Lab) -> Finding:
    """The standard deviations of the gradients of the loss at the outputs of the layers."""
    seeds = lab.seeds or 6
    require_pairs(seeds, 1, lab.name)
    text = design(plain_cifar(20), "1/4", (1, 16, 16), 10)
    without = re.sub(r" -> batch norm|^every conv, no bias: batch norm\n|, no bias", "", text,
                     flags=re.MULTILINE)  # fmt: skip
    ratios = {name: [_reach(text, seed) for seed in range(1, seeds + 1)]
              for name, text in (("without", without), ("with", text))}  # fmt: skip
    decay = {"with": [-value for value in ratios["with"]]}
    found = conclude(ratios, {("without", "with"): HIGHER}, "gradient at conv1, powers of ten")
    within = at_most(1.0, decay["with"])
    answer = f"{found.answer}; at least a tenth with it: {within}"
    return replace(found, verdict=together([found.verdict, within]), answer=answer)


def _reach(text: str, seed: int) -> float:
    """log10 of the gradient at the first layer, as a multiple of that at the last convolution."""
    network = build(read(text))
    HeNormal()(network, Generator().manual_seed(seed))
    pixels, labels = some_digits(16, 64)
    rows = health(network, pixels.float() / 128 - 1, labels)
    first, *_, last, _fc = [row.gradient for row in rows]
    return math.log10(first / last)


@training(
    claim="The layers of residual networks respond less than those of plain ones, and less the "
    "deeper the network.",
    by="the paper, Figure 7",
    source=f"{PAPER}, section 4.2",
    criterion="confirmed if the mean response is lower for residual 14 than for plain 14, and for "
    "residual 32 than for residual 14",
    minutes=6,
    shrunk=QUARTER,
)
def resnet_responses(lab: Lab) -> Finding:
    """Standard deviations behind the batch normalisation, of trained networks."""
    builders = {"plain 14": plain_cifar(14), "residual 14": resnet_cifar(14),
                "residual 32": resnet_cifar(32)}  # fmt: skip
    variants = {name: _variant(network) for name, network in builders.items()}
    expected = {("plain 14", "residual 14"): LOWER, ("residual 14", "residual 32"): LOWER}
    return lab.compare(variants, expected, epochs=6, measure=_response, search_lr=False,
                       unit="mean response")  # fmt: skip


def _response(outcome: Outcome, run: Run) -> float:
    pixels, labels = some_digits(16, 128, "test")
    rows = health(load(run.directory), run.config.scaling(pixels), labels)
    return fmean(row.response for row in rows[:-1])


@training(
    claim="110 layers need a smaller learning rate at first.",
    by="the paper",
    source=f"{PAPER}, section 4.2",
    criterion="confirmed if the training error after 2,000 steps is lower with the warm-up",
    minutes=3_000,
    shrunk=f"2,000 of 64,000 steps; {GPU.format('resnet-warm-up')}",
    data="cifar10",
)
def resnet_warm_up(lab: Lab) -> Finding:
    """0.01 until the training error is below 80 %, or 0.1 from the start."""
    rates = {"0.1": "Constant(0.1)", "warm-up": "WarmupUntil(0.01, 80.0, Constant(0.1))"}
    variants = {name: Variant("resnet110", {"steps": "2000", "lr": rate})
                for name, rate in rates.items()}  # fmt: skip
    return lab.compare(variants, {("0.1", "warm-up"): LOWER}, recipe=None, measure=train_error,
                       search_lr=False, may_fail=["0.1"], unit="training error, points"
                       )  # fmt: skip


@training(
    claim="The stride of a bottleneck block belongs in the 3x3, not in the 1x1 before it.",
    by="later implementations",
    source=f"{PAPER}, the authors' released networks",
    criterion="confirmed if the test error is lower with the stride in the 3x3",
    minutes=3_000,
    shrunk=f"64x64 pixels, 10 epochs; {GPU.format('resnet-stride')}",
    data="cifar10",
)
def resnet_stride(lab: Lab) -> Finding:
    """ResNet-50 as released, and with 6 % more multiply-adds."""
    variants = {name: Variant(name, {"size": "64"}) for name in ("resnet50", "resnet50_v15")}
    return lab.compare(variants, {("resnet50", "resnet50_v15"): LOWER}, epochs=10)
