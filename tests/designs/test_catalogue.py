"""Every network of the catalogue is written as a design and read back: the same network."""

import functools
import time

import pytest
import torch

from classicnets import catalog
from classicnets.designs.build import build
from classicnets.designs.describe import describe
from classicnets.designs.reader import read
from classicnets.designs.writer import write
from classicnets.measure import measure

# one of each kind of block; the larger ones differ in numbers
RUN = ("lenet5", "alexnet", "zfnet", "vgg_d_gap", "googlenet", "resnet20", "resnet34_a")
SHOWN = [pytest.param(n, marks=[pytest.mark.slow] * (n not in RUN)) for n in catalog.names()]


@pytest.fixture(scope="module")
def written(on_meta):
    """A network of the catalogue, its design as text, and the network of that text, made once."""

    @functools.cache
    def make(name: str):
        entry = catalog.find(name)
        network = on_meta(entry.build)
        text = write(describe(network, entry.input))
        return network, text, on_meta(build, read(text))

    return make


def _modules(network: torch.nn.Module) -> list[tuple[str, str]]:
    """Name and repr of every layer, and the class of what holds others, but of the network."""
    return [
        (name, type(module).__name__ if any(module.children()) else repr(module))
        for name, module in network.named_modules()
        if name
    ]


@pytest.mark.parametrize("name", catalog.names())
def test_a_network_is_the_same_after_writing_and_reading(name, written):
    network, text, again = written(name)
    assert list(again.state_dict()) == list(network.state_dict())
    assert _modules(again) == _modules(network)
    assert write(read(text)) == text


# ResNet-1202 is ResNet-110 with more of the same blocks
@pytest.mark.parametrize("name", [n for n in catalog.names() if n != "resnet1202"])
def test_a_network_that_was_read_is_written_as_it_was(name, written):
    _, text, again = written(name)
    assert write(describe(again, catalog.find(name).input)) == text


@pytest.mark.parametrize("name", SHOWN)
def test_show_says_the_same_of_the_design(name, written, measured):
    again = measure(written(name)[2], catalog.find(name).input, name=name)
    assert again.json() == measured(name).json()


@pytest.mark.parametrize("name", RUN)
def test_outputs_are_equal_bit_for_bit(name, written):
    entry = catalog.find(name)
    network, again = entry.build(classes=10), build(read(written(name)[1]), classes=10)
    again.load_state_dict(network.state_dict(), assign=True)
    size = (3, 64, 64) if name in ("vgg_d_gap", "resnet34_a") else entry.input
    images = torch.rand(2, *size)
    for training in (False, True):
        outputs = []
        for net in (network, again):
            torch.manual_seed(1)  # dropout
            out = net.train(training)(images)
            outputs.append(out if isinstance(out, tuple) else (out,))
        assert len(outputs[0]) == (3 if name == "googlenet" and training else 1)
        assert all(torch.equal(a, b) for a, b in zip(*outputs, strict=True))


@pytest.mark.parametrize("name", catalog.names())
def test_a_design_takes_other_classes_and_channels(name, written, on_meta):
    changed = on_meta(build, read(written(name)[1]), classes=7, channels=4)
    assert _modules(changed) == _modules(on_meta(catalog.find(name).build, classes=7, channels=4))


@pytest.mark.parametrize(
    ("name", "most"), [("resnet152", 45), ("googlenet", 45), ("resnet1202", 45), ("lenet5", 20)]
)
def test_a_network_is_a_page(name, most, written):
    assert len(written(name)[1].splitlines()) <= most


def test_1202_layers_are_read_in_milliseconds(written):
    _, text, network = written("resnet1202")
    times = []
    for _ in range(5):
        start = time.perf_counter()
        read(text)
        times.append(time.perf_counter() - start)
    assert sum(p.numel() for p in network.parameters()) == 19_421_274  # the paper's 19.4 M
    assert min(times) < 0.05
