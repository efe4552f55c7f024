"""AlexNet against Figure 2 and section 3 of Krizhevsky et al. 2012."""

import pytest
import torch
from torch import nn

from classicnets.models.alexnet import alexnet, alexnet_merged

# output, parameters of the two towers, of the merged column, multiply-adds of the two towers
LAYERS = {
    "conv1": ((96, 55, 55), 34_944, 34_944, 105_415_200),
    "conv2": ((256, 27, 27), 307_456, 614_656, 223_948_800),
    "conv3": ((384, 13, 13), 885_120, 885_120, 149_520_384),
    "conv4": ((384, 13, 13), 663_936, 1_327_488, 112_140_288),
    "conv5": ((256, 13, 13), 442_624, 884_992, 74_760_192),
    "fc6": ((4096,), 37_752_832, 37_752_832, 37_748_736),
    "fc7": ((4096,), 16_781_312, 16_781_312, 16_777_216),
    "fc8": ((1000,), 4_097_000, 4_097_000, 4_096_000),
}
POOLS = {"pool1": (96, 27, 27), "pool2": (256, 13, 13), "pool5": (256, 6, 6)}

# section 3.5: neurons per layer; the first count is 55x48x96, but the layer is 55x55x96
PRINTED_NEURONS = [253_440, 186_624, 64_896, 64_896, 43_264, 4096, 4096, 1000]


@pytest.mark.parametrize("name", LAYERS)
def test_each_layer_has_its_size_and_parameters(on_meta, shapes, parameters, name):
    shape, grouped, merged, _ = LAYERS[name]
    towers, column = on_meta(alexnet), on_meta(alexnet_merged)
    assert shapes(towers, (3, 227, 227))[name] == shape
    assert shapes(column, (3, 227, 227))[name] == shape
    assert parameters(towers.get_submodule(name)) == grouped
    assert parameters(column.get_submodule(name)) == merged


def test_the_pools_have_the_printed_maps(on_meta, shapes):
    seen = shapes(on_meta(alexnet), (3, 227, 227))
    assert {name: seen[name] for name in POOLS} == POOLS
    assert seen["flatten"] == (9216,)


def test_the_totals(on_meta, parameters):
    assert parameters(on_meta(alexnet)) == 60_965_224 == sum(row[1] for row in LAYERS.values())
    assert parameters(on_meta(alexnet_merged)) == 62_378_344
    assert sum(row[2] for row in LAYERS.values()) == 62_378_344


def test_the_fully_connected_layers_have_96_2_percent_of_the_parameters(on_meta, parameters):
    network = on_meta(alexnet)
    linear = sum(parameters(network.get_submodule(name)) for name in ("fc6", "fc7", "fc8"))
    assert round(100 * linear / parameters(network), 1) == 96.2


@pytest.mark.parametrize("name", LAYERS)
def test_each_layer_has_its_multiply_adds(measured, name):
    rows = {row.name: row.macs for row in measured("alexnet").layers}
    assert rows[name] == LAYERS[name][3]


def test_the_multiply_adds_add_up(measured):
    assert measured("alexnet").totals.macs == 724_406_816
    assert measured("alexnet_merged").totals.macs == 1_135_256_096


def test_the_neurons_are_those_printed_except_in_the_first_layer(on_meta, shapes):
    seen = shapes(on_meta(alexnet), (3, 227, 227))
    neurons = [torch.Size(seen[name]).numel() for name in LAYERS]
    assert neurons[1:] == PRINTED_NEURONS[1:]
    assert neurons[0] == 290_400
    assert PRINTED_NEURONS[0] == 55 * 48 * 96
    assert 3 * 224 * 224 == 150_528  # the printed input
    # "650,000 neurons" in the abstract
    assert sum(neurons) == 659_272
    assert sum(PRINTED_NEURONS) == 622_312


def test_the_kernels_of_split_layers_read_half_of_the_maps(on_meta):
    network = on_meta(alexnet)
    depths = {name: network.get_submodule(name).weight.shape[1] for name in list(LAYERS)[:5]}
    assert depths == {"conv1": 3, "conv2": 48, "conv3": 256, "conv4": 192, "conv5": 192}


def test_the_towers_meet_in_conv3_and_not_earlier():
    network = alexnet()
    x = torch.rand(1, 96, 27, 27, requires_grad=True)
    conv2 = network.conv2(x)
    (grad,) = torch.autograd.grad(conv2[:, :128].sum(), x)
    assert grad[:, :48].any()
    assert not grad[:, 48:].any()
    maps = torch.rand(1, 256, 13, 13, requires_grad=True)
    (grad,) = torch.autograd.grad(network.conv3(maps)[:, :1].sum(), maps)
    assert grad[:, :128].any()
    assert grad[:, 128:].any()


def test_normalisation_comes_after_the_relu_and_before_the_pool(on_meta):
    stages = [name for name, _ in on_meta(alexnet).named_children()]
    for i in (1, 2):
        first = stages.index(f"conv{i}")
        assert stages[first : first + 4] == [f"conv{i}", f"relu{i}", f"norm{i}", f"pool{i}"]


def test_the_normalisation_has_the_printed_constants(on_meta):
    # section 3.3: k = 2, n = 5, alpha = 1e-4, beta = 0.75
    for norm in (on_meta(alexnet).norm1, on_meta(alexnet).norm2):
        assert (norm.k, norm.size, norm.alpha, norm.beta) == (2, 5, 1e-4, 0.75)


def test_pooling_windows_overlap_and_both_dropouts_are_a_half(on_meta):
    layers = list(on_meta(alexnet).modules())
    assert [(p.kernel_size, p.stride) for p in layers if isinstance(p, nn.MaxPool2d)] == [
        (3, 2)
    ] * 3
    assert [d.p for d in layers if isinstance(d, nn.Dropout)] == [0.5, 0.5]


def test_224_does_not_divide_and_227_does():
    assert (224 - 11) / 4 + 1 == 54.25
    assert (224 + 2 * 2 - 11) / 4 + 1 == 55.25
    assert (227 - 11) / 4 + 1 == 55


def test_pool5_has_a_receptive_field_of_195_pixels_at_stride_32(measured):
    (pool5,) = (row for row in measured("alexnet").layers if row.name == "pool5")
    assert (pool5.receptive_field, pool5.stride) == (195, 32)
