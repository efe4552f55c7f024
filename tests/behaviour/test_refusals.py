"""An image that does not fit is refused in one sentence that says what would."""

import re
import threading
from collections import OrderedDict

import pytest
import torch
from torch import nn

from classicnets import catalog
from classicnets.measure.sizes import explain, scores_shape
from classicnets.models.alexnet import alexnet
from classicnets.models.lenet import lenet5
from classicnets.models.resnet import resnet_cifar

DEEP = ("resnet101", "resnet152", "resnet110", "resnet1202", "plain110")
NAMES = [pytest.param(n, marks=[pytest.mark.slow] * (n in DEEP)) for n in catalog.names()]

ALEXNET_AT_224 = (
    "fc6 needs 9216 values per image (256x6x6) and got 6400 (256x5x5), from images of 3x224x224; "
    "at conv1 (224 - 11) / 4 + 1 = 54.25 is not a whole number; padding 2 at conv1 would fit; "
    "the nearest legal size is 3x227x227 (any side from 227 to 258 fits)"
)


def test_alexnet_at_224_gets_the_arithmetic_and_two_ways_out():
    with pytest.raises(ValueError, match=f"^{re.escape(ALEXNET_AT_224)}$"):
        alexnet()(torch.zeros(1, 3, 224, 224))


def test_both_ways_out_work():
    network = alexnet().eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 227, 227)).shape == (1, 1000)
        assert network(torch.zeros(1, 3, 258, 258)).shape == (1, 1000)
        network.conv1.padding = (2, 2)
        assert network(torch.zeros(1, 3, 224, 224)).shape == (1, 1000)


# the legal sides of AlexNet: 6 places of pool5 need 13 or 14 of conv5 and pool2, hence 27 to 30
# of conv2 and pool1, hence 55 to 62 of conv1, hence (55 - 1) * 4 + 11 to (62 - 1) * 4 + 11 + 3
@pytest.mark.parametrize(("side", "legal"), [(226, 227), (259, 258), (300, 258), (8, 227)])
def test_the_nearest_legal_size_is_offered(on_meta, side, legal):
    reason = explain(on_meta(alexnet), (1, 3, side, side))
    assert f"the nearest legal size is 3x{legal}x{legal} (any side from 227 to 258" in reason


@pytest.mark.parametrize(
    ("name", "size", "parts"),
    [
        (
            "lenet5",
            (1, 28, 28),
            ["5x5 window of C5", "4x4 pixels", "1x28x28", "1x32x32", "32 to 35"],
        ),
        (
            "vgg_d",
            (3, 256, 256),
            ["fc6 needs 25088", "512x7x7", "got 32768 (512x8x8)", "3x255x255"],
        ),
        (
            "vgg_d_gap",
            (3, 16, 16),
            ["2x2 window of pool5", "1x1 pixels", "any side from 32 fits"],
        ),
        ("zfnet", (3, 100, 100), ["fc6 needs 9216", "256x6x6"]),
        ("googlenet", (3, 128, 128), ["aux_4a.fc1 needs 2048", "128x4x4", "got 512 (128x2x2)"]),
        ("alexnet", (3, 227, 300), ["fc6 needs 9216", "got 12288 (256x6x8)", "3x227x227"]),
    ],
)
def test_the_layer_and_the_sizes_are_named(on_meta, name, size, parts):
    reason = explain(on_meta(catalog.find(name).build), (1, *size))
    assert [part for part in parts if part not in reason] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_papers_own_images_are_taken(on_meta, name):
    entry = catalog.find(name)
    assert explain(on_meta(entry.build), (1, *entry.input)) == ""


@pytest.mark.parametrize("name", NAMES)
def test_the_wrong_channels_are_refused_at_the_first_layer(on_meta, name):
    entry = catalog.find(name)
    c, h, w = entry.input
    first = "C1" if name == "lenet5" else "conv1_1" if name.startswith("vgg") else "conv1"
    assert explain(on_meta(entry.build), (1, 5, h, w)) == (
        f"{first} reads {c} channel{'s' * (c > 1)} and got 5, from images of 5x{h}x{w}; "
        f"give it {c}-channel images, or build the network with channels=5"
    )


@pytest.fixture(params=[lenet5, resnet_cifar])
def network_and_size(request):
    if request.param is lenet5:
        return lenet5(), (1, 32, 32)
    return resnet_cifar(20), (3, 32, 32)


def test_a_single_image_without_a_batch_is_refused_with_the_remedy(network_and_size):
    network, size = network_and_size
    with pytest.raises(ValueError, match=r"four dimensions \(n, c, h, w\), not 3.*x\[None\]"):
        network(torch.zeros(size))
    assert network(torch.zeros(size)[None]).shape == (1, 10)


def test_five_axes_are_refused(network_and_size):
    network, size = network_and_size
    with pytest.raises(ValueError, match=r"four dimensions \(n, c, h, w\), not 5"):
        network(torch.zeros(1, 1, *size))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool])
def test_whole_numbers_are_refused_with_the_remedy(network_and_size, dtype):
    network, size = network_and_size
    with pytest.raises(ValueError, match=rf"floating-point images, not {dtype}.*x\.float\(\)"):
        network(torch.zeros(1, *size, dtype=dtype))


def test_another_precision_is_refused_with_the_remedy(network_and_size):
    network, size = network_and_size
    with pytest.raises(ValueError, match=r"weights of torch.float32 .*x\.to\(torch.float32\)"):
        network(torch.zeros(1, *size, dtype=torch.float64))


def test_wrong_channels_are_refused_in_person(network_and_size):
    network, (c, h, w) = network_and_size
    with pytest.raises(
        ValueError, match=f"reads {c} channels? and got 2, from images of 2x{h}x{w}"
    ):
        network(torch.zeros(1, 2, h, w))


def test_a_refused_network_is_as_it_was(network_and_size):
    network, size = network_and_size
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(ValueError, match="reads"):
        network(torch.zeros(1, 7, 32, 32))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
    network(torch.zeros(2, *size))


def test_an_error_that_has_nothing_to_do_with_the_image_is_left_alone():
    class Broken(nn.Module):
        def forward(self, x):
            if not x.is_meta:
                raise RuntimeError("the machine is out of memory")
            return x

    network = resnet_cifar(20)
    network.relu1 = Broken()
    with pytest.raises(RuntimeError, match="out of memory"):
        network(torch.zeros(1, 3, 32, 32))


class Stranger(nn.Module):
    """Someone else's network, with a functional style of its own."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 5)
        self.fc = nn.Linear(100, 3)

    def forward(self, x):
        return self.fc(torch.relu(self.conv(x)).flatten(1))


@pytest.mark.parametrize(
    ("shape", "parts"),
    [
        ((1, 1, 10, 10), ["fc needs 100 values", "4x5x5", "got 144 (4x6x6)", "1x9x9"]),
        ((1, 1, 3, 3), ["5x5 window of conv does not fit into 3x3 pixels", "1x9x9"]),
        ((1, 2, 9, 9), ["conv reads 1 channel and got 2", "channels=2"]),
        ((1, 9, 9), ["four dimensions", "x[None]"]),
    ],
)
def test_a_third_party_network_is_explained_too(shape, parts):
    reason = explain(Stranger(), shape)
    assert [part for part in parts if part not in reason] == []


def test_a_third_party_network_takes_what_it_was_made_for():
    assert explain(Stranger(), (1, 1, 9, 9)) == ""
    assert "floating-point" in explain(Stranger(), (1, 1, 9, 9), torch.uint8)


def test_a_network_that_no_square_fits_is_reported():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(3, 1))
    assert "no square image fits" in explain(network, (1, 1, 9, 9))


@pytest.mark.parametrize(
    ("name", "sides"),
    [("googlenet", (32, 200, 201)), ("alexnet", (64, 100)), ("zfnet", (100,))],
)
def test_no_remainder_is_blamed_where_much_more_is_missing(on_meta, name, sides):
    network = on_meta(catalog.find(name).build)
    for side in sides:
        reason = explain(network, (1, 3, side, side))
        assert "the nearest legal size is" in reason
        assert "whole number" not in reason


def test_a_remainder_behind_other_layers_is_blamed():
    layers = (nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 16 * 16, 2))
    assert "at 1 (31 - 2) / 2 + 1 = 15.5 is not" in explain(nn.Sequential(*layers), (1, 3, 33, 33))


def test_a_network_without_maps_names_its_input():
    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(784, 10)

        def forward(self, x):
            return self.fc(x.flatten(1))

    for network in (Flat(), nn.Sequential(OrderedDict(flatten=nn.Flatten(), fc=nn.Linear(784, 1)))):
        assert explain(network, (1, 1, 32, 32)) == (
            "fc needs 784 values per image (1x28x28) and got 1024 (1x32x32), from images of "
            "1x32x32; the nearest legal size is 1x28x28"
        )


class Own(nn.Module):
    """A network whose forward is the function given."""

    def __init__(self, function, **more):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.function = function
        for name, value in more.items():
            setattr(self, name, value)

    def forward(self, x):
        return self.function(self, x)


def _asserts(net, x):
    assert x.shape[-1] == 32, "32 pixels"
    return x


NEED_VALUES = {
    "a branch": lambda net, x: x if x.sum() > 0 else -x,
    "an item": lambda net, x: x * x.max().item(),
    "a list": lambda net, x: x * x.flatten().tolist()[0],
    "a choice": lambda net, x: x[x > 0],
    "an array": lambda net, x: x * float(x.numpy().max()),
    "a text": lambda net, x: x if f"{x.mean():.1f}" else -x,
    "a device": lambda net, x: x - torch.rand(3, 1, 1, device="cpu"),
}


@pytest.mark.parametrize("function", NEED_VALUES.values(), ids=NEED_VALUES)
def test_nothing_untrue_is_reported_of_a_network_that_needs_values(function):
    assert explain(Own(function), (2, 3, 8, 8)) == ""
    assert scores_shape(Own(function), (2, 3, 8, 8)) is None


def test_a_network_that_holds_a_lock_is_passed_through():
    network = Own(lambda net, x: net.conv(x), lock=threading.Lock())
    assert scores_shape(network, (2, 3, 8, 8)) == (2, 4, 6, 6)
    assert "does not fit into 2x2 pixels" in explain(network, (2, 3, 2, 2))


@pytest.mark.parametrize("form", ["zeros", "attribute"])
def test_a_plain_tensor_does_not_stand_in_the_way(form):
    functions = {
        "zeros": lambda net, x: net.conv(x + torch.zeros(3, 1, 1)),
        "attribute": lambda net, x: net.conv(x - net.mean),
    }
    network = Own(functions[form], mean=torch.rand(3, 1, 1))
    assert scores_shape(network, (2, 3, 8, 8)) == (2, 4, 6, 6)
    assert "does not fit into 2x2 pixels" in explain(network, (2, 3, 2, 2))
    assert network.mean.device == torch.device("cpu")


def test_the_scores_have_a_shape_before_they_are_computed(on_meta):
    googlenet = catalog.find("googlenet").build
    assert scores_shape(on_meta(googlenet, classes=7), (5, 3, 224, 224)) == (5, 7)
    with pytest.raises(ValueError, match=r"^aux_4a\.fc1 needs 2048"):
        scores_shape(on_meta(googlenet), (5, 3, 128, 128))


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (_asserts, "the network's forward fails on images of 3x8x8: AssertionError: 32 pixels"),
        (lambda net, x: [x][x.ndim], "fails on images of 3x8x8: IndexError: list index"),
        (
            lambda net, x: torch.cat([x, net.conv(x)]),
            "fails on images of 3x8x8: RuntimeError: Size",
        ),
        (lambda net, x: net.conv(net.conv(x)), "conv reads 3 channels and got 4, from"),
        (lambda net, x: {"scores": x}, "the network returns a dict, not a tensor of scores"),
        (lambda net, x: (x, x), "the network returns a tuple, not a tensor of scores"),
    ],
)
def test_a_forward_that_fails_is_quoted(function, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)) as refusal:
        scores_shape(Own(function), (2, 3, 8, 8))
    assert "channels=" not in str(refusal.value)
    assert "no square" not in str(refusal.value)


def test_windows_without_a_padding_of_their_own_are_understood():
    reason = explain(nn.Sequential(nn.LPPool2d(2, 5)), (1, 3, 3, 3))
    assert reason.startswith("the 5x5 window of 0 does not fit into 3x3 pixels")
    assert "any side from 5 fits" in reason
