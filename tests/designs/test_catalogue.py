"""Every network of the catalogue is written as a design and read back: the same network."""

import time

import pytest
import torch

from classicnets import catalog
from classicnets.designs.build import build
from classicnets.designs.describe import describe
from classicnets.designs.reader import read
from classicnets.designs.writer import write
from classicnets.measure import measure

DEEP = {"resnet152", "resnet110", "resnet1202", "plain110", "resnet101"}
NAMES = [pytest.param(name, marks=[pytest.mark.slow] * (name in DEEP)) for name in catalog.names()]
# one of each kind of block; the larger ones differ in numbers
RUN = ("lenet5", "alexnet", "zfnet", "vgg_a_lrn", "vgg_c", "googlenet", "resnet20", "resnet34_a")


def _modules(network: torch.nn.Module) -> list[tuple[str, str]]:
    """Name and repr of every module but the network itself, whose class may have another name."""
    return [(name, repr(module)) for name, module in network.named_modules() if name]


@pytest.mark.parametrize("name", NAMES)
def test_a_network_is_the_same_after_writing_and_reading(name, on_meta):
    entry = catalog.find(name)
    network = on_meta(entry.build)
    text = write(describe(network, entry.input))
    again = on_meta(build, read(text))
    assert list(again.state_dict()) == list(network.state_dict())
    assert _modules(again) == _modules(network)
    assert write(read(text)) == text
    assert write(describe(again, entry.input)) == text


@pytest.mark.parametrize("name", [n for n in catalog.names() if n not in DEEP])
def test_show_says_the_same_of_the_design(name, on_meta):
    entry = catalog.find(name)
    network = on_meta(entry.build)
    again = on_meta(build, read(write(describe(network, entry.input))))
    one, two = (measure(net, entry.input, name="x") for net in (network, again))
    assert two.json() == one.json()


@pytest.mark.parametrize("name", RUN)
@pytest.mark.parametrize("training", [False, True])
def test_outputs_are_equal_bit_for_bit(name, training):
    entry = catalog.find(name)
    network = entry.build(classes=10).train(training)
    again = build(read(write(describe(network, entry.input))))
    again.train(training).load_state_dict(network.state_dict())
    images = torch.rand(2, *entry.input)
    outputs = []
    for net in (network, again):
        torch.manual_seed(1)  # dropout
        out = net(images)
        outputs.append(out if isinstance(out, tuple) else (out,))
    assert len(outputs[0]) == (3 if name == "googlenet" and training else 1)
    assert all(torch.equal(a, b) for a, b in zip(*outputs, strict=True))


@pytest.mark.parametrize("name", [n for n in catalog.names() if n not in DEEP])
def test_a_design_takes_other_classes_and_channels(name, on_meta):
    entry = catalog.find(name)
    design = read(write(describe(on_meta(entry.build), entry.input)))
    changed = on_meta(build, design, classes=7, channels=4)
    assert _modules(changed) == _modules(on_meta(entry.build, classes=7, channels=4))


@pytest.mark.parametrize(
    ("name", "most"), [("resnet152", 45), ("googlenet", 45), ("resnet1202", 45), ("lenet5", 20)]
)
def test_a_network_is_a_page(name, most, on_meta):
    entry = catalog.find(name)
    assert len(write(describe(on_meta(entry.build), entry.input)).splitlines()) <= most


def test_1202_layers_are_read_in_milliseconds(on_meta):
    entry = catalog.find("resnet110")
    text = write(describe(on_meta(entry.build), entry.input))
    text = text.replace("_18:", "_200:")  # 6 * 200 + 2 layers
    times = []
    for _ in range(5):
        start = time.perf_counter()
        design = read(text)
        times.append(time.perf_counter() - start)
    network = on_meta(build, design)
    assert sum(p.numel() for p in network.parameters()) == 19_421_274  # the paper's 19.4 M
    assert min(times) < 0.05
