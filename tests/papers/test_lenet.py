"""LeNet-5 against Figure 2, Table I, Figure 3 and section II-B of LeCun et al. 1998."""

import math

import pytest
import torch
from torch import nn

from classicnets.models.lenet import Prototypes, Squash, Subsample, lenet5

# section II-B: name, output, trainable parameters, connections
LAYERS = [
    ("C1", (6, 28, 28), 156, 122_304),
    ("S2", (6, 14, 14), 12, 5_880),
    ("C3", (16, 10, 10), 1_516, 151_600),
    ("S4", (16, 5, 5), 32, 2_000),
    ("C5", (120, 1, 1), 48_120, 48_120),
    ("F6", (84,), 10_164, 10_164),
    ("output", (10,), 0, 840),
]

# Table I read by columns: the maps of S2 that each map of C3 reads
# fmt: off
TABLE_I = [
    "012", "123", "234", "345", "045", "015",
    "0123", "1234", "2345", "0345", "0145", "0125", "0134", "1245", "0235",
    "012345",
]
# fmt: on

# Figure 3: one digit per line, one byte per row of pixels, the leftmost pixel in bit 6
BITMAPS = [
    "3E 00 1C 36 63 63 63 63 36 1C 00 00",
    "0C 1C 3C 0C 0C 0C 0C 0C 0C 3F 00 00",
    "3E 00 3E 63 43 06 1C 30 60 7F 00 00",
    "7F 03 06 0C 1E 03 03 03 63 3E 00 00",
    "3E 00 00 33 33 73 63 63 67 3F 03 03",
    "3E 00 7F 60 60 3C 1E 03 63 3E 00 00",
    "1E 30 60 60 7E 73 63 63 73 3E 00 00",
    "7F 03 03 06 0C 0C 18 18 18 18 00 00",
    "3E 63 63 63 3E 63 63 63 63 3E 00 00",
    "3E 67 63 63 67 3F 03 03 06 3C 00 00",
]


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return lenet5()


@pytest.mark.parametrize(("name", "shape", "trainable", "_connections"), LAYERS)
def test_each_layer_has_its_printed_size(
    network, shapes, parameters, name, shape, trainable, _connections
):
    assert shapes(network, (1, 32, 32))[name] == shape
    assert parameters(network.get_submodule(name)) == trainable


def test_there_are_sixty_thousand_trainable_parameters(network, parameters):
    assert parameters(network) == 60_000 == sum(row[2] for row in LAYERS)


@pytest.mark.parametrize(("name", "_shape", "_trainable", "connections"), LAYERS)
def test_each_layer_has_its_printed_connections(network, name, _shape, _trainable, connections):
    assert _links(network, name) == connections


def test_the_connections_add_up():
    assert sum(row[3] for row in LAYERS) == 340_908
    assert sum(row[3] for row in LAYERS[:-1]) == 340_068  # without the output layer's 840


def _links(network: nn.Module, name: str) -> int:
    """Pairs of a unit and an input or bias that it reads, found by changing one value at a time."""
    layer = network.get_submodule(name)
    shape = _input_of(network, name)[1:]
    one_each = torch.eye(shape.numel()).view(-1, *shape)
    with torch.no_grad():
        at_rest = layer(torch.zeros(1, *shape))
        links = int((layer(one_each) != at_rest).sum())
        if getattr(layer, "bias", None) is not None:
            layer.bias.add_(1)
            links += int((layer(torch.zeros(1, *shape)) != at_rest).sum())
            layer.bias.sub_(1)
    return links


def _input_of(network: nn.Module, name: str) -> torch.Size:
    x = torch.zeros(1, 1, 32, 32)
    for stage, layer in network.named_children():
        if stage == name:
            return x.shape
        x = layer(x)
    raise AssertionError(name)


def test_the_zero_gradients_are_those_of_table_1(network):
    x = torch.rand(1, 6, 14, 14, requires_grad=True)
    maps = network.C3(x)[0]
    reads = []
    for c3 in maps:
        (grad,) = torch.autograd.grad(c3.sum(), x, retain_graph=True)
        reads.append("".join(str(s2) for s2 in range(6) if grad[0, s2].any()))
    assert reads == TABLE_I


def test_table_1_has_sixty_crosses_ten_per_row(network):
    assert [sum(str(s2) in column for column in TABLE_I) for s2 in range(6)] == [10] * 6
    assert network.C3.weight.shape == (60, 5, 5)


def test_a_dense_c3_would_have_2416_parameters(parameters):
    assert parameters(nn.Conv2d(6, 16, 5)) == 2_416


def test_the_targets_are_the_bitmaps_of_figure_3(network):
    bits = [[int(byte, 16) >> (6 - i) & 1 for byte in row.split() for i in range(7)]
            for row in BITMAPS]  # fmt: skip
    assert torch.equal(network.output.centres, torch.tensor(bits) * 2.0 - 1)


def test_the_nine_is_the_six_turned_round(network):
    six, nine = (network.output.centres[d].view(12, 7)[:10] for d in (6, 9))
    assert torch.equal(nine, six.flip(0, 1))


def test_the_distances_between_the_bitmaps(network):
    distance = torch.cdist(network.output.centres, network.output.centres).square().round()
    pairs = {(i, j): int(distance[i, j]) for i in range(10) for j in range(i + 1, 10)}
    nearest = sorted(pairs, key=pairs.__getitem__)
    assert nearest[0] == (6, 8)
    assert pairs[6, 8] == 48
    assert set(nearest[1:3]) == {(0, 4), (8, 9)}
    assert pairs[0, 4] == pairs[8, 9] == 72 < pairs[nearest[3]]
    assert max(pairs.values()) == 200


def test_the_squash_has_its_printed_values():
    squash = Squash()
    a = torch.tensor([0.0, 1.0, -1.0], dtype=torch.float64, requires_grad=True)
    values = squash(a)
    assert values[1].item() == pytest.approx(0.999997, abs=5e-7)
    assert values[2] == -values[1]
    (grad,) = torch.autograd.grad(values.sum(), a)
    assert grad[0].item() == pytest.approx(1.1439, abs=5e-5)


def test_the_second_derivative_of_the_squash_is_largest_near_one():
    # appendix A: so that targets of 1 do not saturate the units
    a = torch.linspace(0, 3, 3001, dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(Squash()(a).sum(), a, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), a)
    assert a[second.abs().argmax()].item() == pytest.approx(1, abs=0.02)


def test_a_subsampling_unit_adds_four_pixels_then_scales_and_shifts():
    layer = Subsample(1)
    with torch.no_grad():
        layer.coefficient.fill_(0.5)
        layer.bias.fill_(-3)
    x = torch.arange(16.0).view(1, 1, 4, 4)
    expected = [[0.5 * (0 + 1 + 4 + 5) - 3, 0.5 * (2 + 3 + 6 + 7) - 3],
                [0.5 * (8 + 9 + 12 + 13) - 3, 0.5 * (10 + 11 + 14 + 15) - 3]]  # fmt: skip
    assert layer(x)[0, 0].tolist() == expected


def test_a_score_is_the_negated_squared_distance_to_the_bitmap(network):
    x = torch.randn(2, 84)
    for row, scores in zip(x.tolist(), network.output(x).tolist(), strict=True):
        for code, score in zip(network.output.centres.tolist(), scores, strict=True):
            penalty = math.fsum((a - b) ** 2 for a, b in zip(row, code, strict=True))
            assert score == pytest.approx(-penalty, rel=1e-5)


def test_a_bitmap_has_no_penalty_for_its_class_and_48_between_six_and_eight(network):
    scores = network.output(network.output.centres)
    assert scores.argmax(dim=1).tolist() == list(range(10))
    assert scores.diagonal().abs().max() == 0
    assert scores[6, 8].item() == -48


def test_the_targets_are_not_trained(network):
    assert not list(network.output.parameters())
    assert "output.centres" in network.state_dict()


def test_more_than_ten_classes_have_distinct_codes():
    codes = Prototypes(26).centres
    assert codes.shape == (26, 84)
    assert len({tuple(code) for code in codes.tolist()}) == 26
    assert set(codes.unique().tolist()) == {-1.0, 1.0}
