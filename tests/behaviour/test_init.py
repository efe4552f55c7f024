"""Initial values: what they are drawn from, and what another run hands on."""

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Generator, nn

from classicnets.layers.wiring import chain
from classicnets.models.alexnet import alexnet
from classicnets.models.lenet import lenet5
from classicnets.models.vgg import vgg
from classicnets.training.recipe.init import (
    AsBuilt,
    FromRun,
    Gaussian,
    Glorot,
    HeNormal,
    Init,
    LecunUniform,
)
from classicnets.training.recipe.serialization import from_json, to_json


def drawn(init, network: nn.Module) -> nn.Module:
    init(network, Generator().manual_seed(1))
    return network


def small(classes: int = 3) -> nn.Sequential:
    return chain(
        conv1=nn.Conv2d(2, 40, 5), norm1=nn.BatchNorm2d(40), full=nn.Linear(40 * 400, classes)
    )


@pytest.mark.parametrize(
    ("init", "std"),
    [
        (Gaussian(0.05), 0.05),
        (HeNormal(), math.sqrt(2 / 50)),
        (Glorot(), math.sqrt(2 / (50 + 40 * 25))),
        (LecunUniform(), 2.4 / 50 / math.sqrt(3)),
    ],
)
def test_a_convolution_has_the_spread_of_its_formula(init, std):
    conv = drawn(init, small()).conv1
    # 2,000 values: the spread is known to 1.6 %
    assert conv.weight.std().item() == pytest.approx(std, rel=0.06)
    assert conv.weight.mean().item() == pytest.approx(0, abs=4 * std / math.sqrt(2000))
    assert (conv.bias == 0).all()


def test_uniform_values_stay_within_their_bounds():
    lenet = drawn(LecunUniform((("S2.coefficient", (4,)),)), lenet5())
    # 2.4 / F with F = 25, 400, 120 and 4
    bounds = {"C1.weight": 0.096, "C5.weight": 0.006, "F6.weight": 0.02, "S2.coefficient": 0.6}
    for name, bound in bounds.items():
        largest = lenet.get_parameter(name).abs().max().item()
        assert 0.6 * bound < largest <= bound


def test_a_fan_in_for_each_entry_divides_each_by_its_own():
    counts = (75,) * 18 + (100,) * 36 + (150,) * 6
    kernels = drawn(LecunUniform((("C3.weight", counts),)), lenet5()).get_parameter("C3.weight")
    for part, bound in ((kernels[:18], 0.032), (kernels[18:54], 0.024), (kernels[54:], 0.016)):
        assert 0.9 * bound < part.abs().max().item() <= bound


def test_alexnets_ones_are_the_biases_the_paper_names():
    ones = ("conv2", "conv4", "conv5", "fc6", "fc7")
    with torch.device("meta"):
        network = alexnet(classes=4)
    layers = dict(network.named_children())
    assert set(ones) < set(layers)
    tiny = chain({name: nn.Conv2d(1, 2, 1) for name in layers if name.startswith(("conv", "fc"))})
    drawn(Gaussian(0.01, bias_layers=ones), tiny)
    assert {name for name, layer in tiny.named_children() if (layer.bias == 1).all()} == set(ones)
    assert (tiny.conv1.bias == 0).all()


@pytest.fixture
def run(tmp_path) -> Path:
    """A directory as a run leaves it: what `small()` has learnt."""
    learnt = drawn(HeNormal(), small())
    learnt.norm1.running_mean.fill_(7)
    save_file(learnt.state_dict(), tmp_path / "weights.safetensors")
    return tmp_path


def test_without_layers_everything_is_taken(run):
    learnt, network = drawn(HeNormal(), small()), drawn(FromRun(str(run)), small())
    assert torch.equal(network.conv1.weight, learnt.conv1.weight)
    assert torch.equal(network.full.weight, learnt.full.weight)
    assert (network.norm1.running_mean == 7).all()


def test_layers_that_are_named_are_taken_and_the_others_drawn(run):
    network = drawn(FromRun(str(run), ("conv1",), Gaussian(0.01)), small(classes=5))
    assert torch.equal(network.conv1.weight, drawn(HeNormal(), small()).conv1.weight)
    assert torch.equal(network.full.weight, drawn(Gaussian(0.01), small(classes=5)).full.weight)
    assert (network.norm1.running_mean == 0).all()


@pytest.mark.parametrize("column", ["B", "C", "D", "E"])
def test_the_layers_that_vgg_takes_from_a_fit_into_the_deeper_columns(column):
    names = ("conv1_1", "conv2_1", "conv3_1", "conv3_2", "fc6", "fc7", "fc8")
    with torch.device("meta"):
        a, deeper = (dict(vgg(c).named_parameters()) for c in ("A", column))
    convolutions = [n.removesuffix(".weight") for n in a if n[:4] == "conv" and "weight" in n]
    assert tuple(convolutions[:4]) == names[:4]
    for name in names:
        for part in ("weight", "bias"):
            assert a[f"{name}.{part}"].shape == deeper[f"{name}.{part}"].shape


@pytest.mark.parametrize(
    ("layers", "network", "words"),
    [
        (
            None,
            small(classes=5),
            r"cannot give full.weight, which is \(3, 16000\) there and \(5, 16000\) here",
        ),
        (
            ("full",),
            small(classes=5),
            r"cannot give full.weight, which is \(3, 16000\) there and \(5, 16000\) here",
        ),
        (("conv2",), small(), "takes conv2 from a run, but the network has no such layer"),
        (("conv2",), chain(conv2=nn.Conv2d(1, 1, 1)), r"is missing there and \(1, 1, 1, 1\) here"),
        (None, chain(conv1=nn.Conv2d(2, 40, 5)), "there and missing here"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_touched(run, layers, network, words):
    before = {name: t.clone() for name, t in network.state_dict().items()}
    with pytest.raises(ValueError, match=words):
        drawn(FromRun(str(run), layers, Gaussian(0.01)), network)
    assert all(torch.equal(t, before[name]) for name, t in network.state_dict().items())


def test_a_run_that_is_not_there_or_damaged_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no weights at .*weights.safetensors"):
        drawn(FromRun(str(tmp_path / "none")), small())
    (tmp_path / "weights.safetensors").write_bytes(b"not weights")
    with pytest.raises(ValueError, match="is damaged"):
        drawn(FromRun(str(tmp_path)), small())


@pytest.mark.parametrize(
    "init",
    [FromRun("runs/a"), FromRun("runs/a", ("conv1_1", "fc6"), Gaussian(0.01)), AsBuilt()],
)
def test_it_is_stored_in_the_words_of_json_and_comes_back(init):
    assert from_json(to_json(init), Init) == init
