"""What ZFNet's layers have learnt: its first filters, and objects at places that are known."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from classicnets.api.runs import load
from classicnets.data.images import Images, Splits, evenly_spaced
from classicnets.data.packed import write_packed
from classicnets.data.published import digits
from classicnets.data.sets import open_test
from classicnets.experiments.outcomes import Outcome
from classicnets.training.run.directory import Run
from classicnets.visualize.deconv import deconv
from classicnets.visualize.occlusion import occlusion

from . import lab as labs, narrow
from .keeping import IMAGES
from .lab import Lab, Measure
from .narrow import START, in_colour, small
from .study import Finding, training
from .verdicts import LOWER, require_pairs
from .zfnet import PAPER


@training(
    claim="First filters of 7x7 at stride 2 in place of 11x11 at stride 4 leave fewer dead ones, "
    "and less in high frequencies.",
    by="the paper, Figure 6",
    source=f"{PAPER}, section 4.1",
    criterion="confirmed if with 7x7 fewer filters are dead, which is to vary on test images by "
    "less than a tenth of the one that varies most, and a lower share of the filters' energy lies "
    "above half of the highest frequency",
    minutes=5,
    shrunk="48 first filters, an eighth of the other widths, images of 32x32, 300 steps: what 70 "
    "epochs make of filters is not shown",
    data="cifar10",
)
def zfnet_dead_filters(lab: Lab) -> Finding:
    """Weights start as by Glorot, small in the first layer: what is seen in it is learnt."""
    first = {"11x11": "11x11 filters at stride 4, pad 4", "7x7": "7x7 filters at stride 2, pad 3"}
    variants, values = {}, {}
    for name, filters in first.items():
        text = in_colour(narrow.zfnet(filters)).replace("[16x16", "[32x32")
        text = text.replace("conv1: 12", "conv1: 48")
        variants[name] = small(text, size="32", steps="300", init="Glorot()")
    trained = lab.trained(variants, 2)
    for what, measure in (("dead", _dead), ("high", _high)):
        found = labs.measured(trained, measure)
        values |= {f"{what}, {name}": found[name] for name in variants}
    (a, b, c, d), runs = values, labs.runs_of(trained, values)
    return labs.conclude(values, {(a, b): LOWER, (c, d): LOWER}, "share, %", runs=runs,
                         failed=labs.at_chance(trained) and {*values})  # fmt: skip


def _dead(outcome: Outcome, run: Run) -> float:
    """The share in % of first filters whose maps hardly vary."""
    test = open_test(run.config.data, 32, 3, run.config.classes).images
    assert isinstance(test, Images)
    x = run.config.scaling(test[evenly_spaced(len(test), 256)])
    with torch.no_grad():
        spread = load(run.directory).get_submodule("conv1")(x).std((0, 2, 3))
    return 100 * float((spread < spread.max() / 10).float().mean())


def _high(outcome: Outcome, run: Run) -> float:
    """The share in % of the first filters' energy above a quarter of a cycle per pixel."""
    filters = load(run.directory).get_parameter("conv1.weight").detach()
    energy = torch.fft.fft2(filters, s=(32, 32)).abs().square().sum((0, 1))
    along = torch.fft.fftfreq(32).abs()
    return 100 * float(energy[torch.maximum(along[:, None], along) > 0.25].sum() / energy.sum())


SIDE, OBJECT, SHOWN = 20, 10, 64  # pixels of an image and of a digit; test images


@training(
    claim="Hiding the object lowers the probability of its class most, and what a deconvnet "
    "projects back lies on it.",
    by="the paper, Figures 2 and 7",
    source=f"{PAPER}, sections 3.1 and 4.2",
    criterion="confirmed if the square that lowers the probability of the true class most has its "
    "centre on the object in at least half of the images, and more often than on the place of "
    "another image's object; and if more of what is projected back from the strongest activation "
    "of conv5 lies on the object than on that place",
    minutes=5,
    shrunk=f"an eighth of the width without layers 6 and 7, on images of 20x20, {START}; digits of "
    "10x10 in noise in place of photographs, 64 test images",
    data="",
)
def zfnet_planted(lab: Lab) -> Finding:
    """Digits at places that are drawn, and therefore known; an untrained network stands beside."""
    require_pairs(lab.seeds or 7, 2, lab.name)
    lab.directory.mkdir(parents=True, exist_ok=True)
    if not (path := lab.directory / IMAGES).exists():
        write_packed(planted()[0], path, SIDE)
    text = narrow.zfnet(full=0).replace("[16x16", f"[{SIDE}x{SIDE}")
    settings = {"trained": {}, "untrained": {"steps": "1", "lr": "Constant(1e-9)"}}
    variants = {name: small(text, size=str(SIDE), **own) for name, own in settings.items()}
    trained, values = replace(lab, data=str(path)).trained(variants, 2, epochs=10), {}
    for what, where in (("square", hides_most), ("projected", projected)):
        for place, shift in (("object", 0), ("elsewhere", 1)):
            found = labs.measured(trained, _share(where, shift))
            values |= {f"{what} on {place}, {name}": found[name] for name in variants}
    a, _, b, _, c, _, d, _ = values
    values["square missed"] = [100 - value for value in values[a]]
    failed = {*values} if "trained" in labs.at_chance(trained) else ()
    return labs.conclude(values, {(a, b): LOWER, (c, d): LOWER}, "share, %", {"square missed": 50},
                         labs.runs_of(trained, values), failed=failed)  # fmt: skip


@cache
def planted() -> tuple[Splits, Tensor]:
    """Digits in noise, those for training twice, and the corners (y, x) of those of the test."""
    rng, source, parts = torch.Generator().manual_seed(0), digits(OBJECT, 1), dict[str, Any]()
    corners = torch.empty(0)
    for name, copies in (("train", 2), ("validation", 1), ("test", 1)):
        images = getattr(source, name)
        pixels, labels = images.pixels.repeat(copies, 1, 1, 1), images.labels.repeat(copies)
        corners = torch.randint(SIDE - OBJECT + 1, (len(labels), 2), generator=rng)
        noise = torch.randint(64, (len(labels), 1, SIDE, SIDE), generator=rng, dtype=torch.uint8)
        placed = torch.stack([_at(corner, pixels[k]) for k, corner in enumerate(corners.tolist())])
        parts[name] = Images(torch.maximum(noise, placed), labels)
    return replace(source, name="planted digits", **parts), corners


def _at(corner: list[int], square: Tensor) -> Tensor:
    """A square of the size of an object, in a black image with its corner (y, x) there."""
    (y, x), rest = corner, SIDE - OBJECT
    return pad(square, (x, rest - x, y, rest - y))


Where = Callable[[nn.Module, Tensor, int], Tensor]  # of a network, an image and its label: (h, w)


def hides_most(network: nn.Module, image: Tensor, label: int) -> Tensor:
    """1 at the centre of the square of 5x5 that lowers the probability most, and 0 elsewhere."""
    found, where = occlusion(network, image, label, size=5, stride=2), torch.zeros(SIDE, SIDE)
    i, j = divmod(int(found.probability.argmin()), len(found.lefts))
    where[found.tops[i] + 2, found.lefts[j] + 2] = 1
    return where


def projected(network: nn.Module, image: Tensor, label: int) -> Tensor:
    """The energy of what is projected back from the strongest activation of conv5."""
    return deconv(network, image, "conv5", count=1).reconstructions[0, 0].square()


def _share(where: Where, shift: int) -> Measure:
    """The mean share in % that lies on the object, or on that of the image `shift` further on."""

    def share(outcome: Outcome, run: Run) -> float:
        network, (data, corners), shares = load(run.directory), planted(), []
        assert isinstance(data.test, Images)
        labels, places = data.test.labels[:SHOWN].tolist(), corners[:SHOWN].roll(-shift, 0).tolist()
        for k, image in enumerate(run.config.scaling(data.test.pixels[:SHOWN])):
            found = where(network, image, labels[k])
            on = found * _at(places[k], torch.ones(OBJECT, OBJECT))
            shares.append(100 * float(on.sum() / found.sum()))
        return fmean(shares)

    return share
