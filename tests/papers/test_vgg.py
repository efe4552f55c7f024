"""VGG against Tables 1 and 2 of Simonyan and Zisserman, arXiv:1409.1556v6."""

import pytest
from torch import nn

from classicnets.models.vgg import vgg, vgg_d_gap

# Table 1: weight layers and convolutions per block. Table 2 in millions, then exactly: all
# parameters, weights without biases, the convolutions with their biases
COLUMNS = {
    "A": (11, (1, 1, 2, 2, 2), 133, 132_863_336, 132_851_392, 9_220_480),
    "A-LRN": (11, (1, 1, 2, 2, 2), 133, 132_863_336, 132_851_392, 9_220_480),
    "B": (13, (2, 2, 2, 2, 2), 133, 133_047_848, 133_035_712, 9_404_992),
    "C": (16, (2, 2, 3, 3, 3), 134, 133_638_952, 133_625_536, 9_996_096),
    "D": (16, (2, 2, 3, 3, 3), 138, 138_357_544, 138_344_128, 14_714_688),
    "E": (19, (2, 2, 4, 4, 4), 144, 143_667_240, 143_652_544, 20_024_384),
}

# the lecture notes of CS231n on column D: values in a layer's output, its weights
CS231N = {
    "conv1_1": (3_211_264, 1_728),
    "conv1_2": (3_211_264, 36_864),
    "pool1": (802_816, 0),
    "conv2_1": (1_605_632, 73_728),
    "conv2_2": (1_605_632, 147_456),
    "pool2": (401_408, 0),
    "conv3_1": (802_816, 294_912),
    "conv3_2": (802_816, 589_824),
    "conv3_3": (802_816, 589_824),
    "pool3": (200_704, 0),
    "conv4_1": (401_408, 1_179_648),
    "conv4_2": (401_408, 2_359_296),
    "conv4_3": (401_408, 2_359_296),
    "pool4": (100_352, 0),
    "conv5_1": (100_352, 2_359_296),
    "conv5_2": (100_352, 2_359_296),
    "conv5_3": (100_352, 2_359_296),
    "pool5": (25_088, 0),
    "fc6": (4_096, 102_760_448),
    "fc7": (4_096, 16_777_216),
    "fc8": (1_000, 4_096_000),
}
INPUT = 3 * 224 * 224


@pytest.mark.parametrize("column", COLUMNS)
def test_each_column_has_its_layers_and_parameters(on_meta, parameters, weights, column):
    depth, blocks, millions, exact, without_biases, convolutions = COLUMNS[column]
    network = on_meta(vgg, column)
    convs = {n: m for n, m in network.named_modules() if isinstance(m, nn.Conv2d)}
    linear = [m for m in network.modules() if isinstance(m, nn.Linear)]
    assert len(convs) + len(linear) == depth
    assert tuple(sum(n.startswith(f"conv{b}_") for n in convs) for b in range(1, 6)) == blocks
    assert parameters(network) == exact
    assert round(exact / 1e6) == millions
    assert weights(network) == without_biases
    assert sum(map(parameters, convs.values())) == convolutions


@pytest.mark.parametrize("column", COLUMNS)
def test_every_block_halves_the_maps(on_meta, shapes, column):
    seen = shapes(on_meta(vgg, column), (3, 224, 224))
    maps = [(64, 112), (128, 56), (256, 28), (512, 14), (512, 7)]
    assert [seen[f"pool{b}"] for b in range(1, 6)] == [(c, s, s) for c, s in maps]


def test_windows_are_3x3_except_the_last_of_three_blocks_in_column_c(on_meta):
    for column in COLUMNS:
        small = [name for name, m in on_meta(vgg, column).named_modules()
                 if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1)]  # fmt: skip
        assert small == (["conv3_3", "conv4_3", "conv5_3"] if column == "C" else [])


def test_the_1x1_of_column_c_keep_the_width_and_precede_a_relu(on_meta):
    network = on_meta(vgg, "C")
    for block, width in ((3, 256), (4, 512), (5, 512)):
        conv = network.get_submodule(f"conv{block}_3")
        assert conv.in_channels == conv.out_channels == width
        assert isinstance(network.get_submodule(f"relu{block}_3"), nn.ReLU)


def test_column_a_lrn_normalises_once_after_conv1(on_meta):
    stages = [name for name, _ in on_meta(vgg, "A-LRN").named_children()]
    assert [name for name in stages if name.startswith("norm")] == ["norm1"]
    assert stages[:4] == ["conv1_1", "relu1_1", "norm1", "pool1"]


def test_three_3x3_layers_have_fewer_weights_than_one_7x7():
    # section 2.3: 27 C^2 against 49 C^2, 81 % more
    three = 3 * nn.Conv2d(8, 8, 3, bias=False).weight.numel()
    one = nn.Conv2d(8, 8, 7, bias=False).weight.numel()
    assert (three, one) == (27 * 8**2, 49 * 8**2)
    assert round(100 * (one / three - 1)) == 81


@pytest.mark.parametrize("name", CS231N)
def test_each_row_of_the_memory_table(on_meta, shapes, weights, name):
    network = on_meta(vgg, "D")
    values, count = CS231N[name]
    c, h, w = (*shapes(network, (3, 224, 224))[name], 1, 1)[:3]
    assert c * h * w == values
    assert weights(network.get_submodule(name)) == count


def test_the_memory_table_adds_up_to_61_megabytes_and_not_to_93():
    """The notes print 24M values and 93 MB per image, which are not the sums of their rows."""
    values = INPUT + sum(row[0] for row in CS231N.values())
    assert values == 15_237_608
    assert 4 * values == 60_950_432
    assert round(4 * values / 1e6, 1) == 61.0
    assert round(4 * values / 2**20, 1) == 58.1
    # 24M values are not 93 MB in either unit, and counting the relu outputs as well is not either
    assert round(4 * 24e6 / 1e6) == 96
    assert round(4 * 24e6 / 2**20, 1) == 91.6
    relus = sum(v for name, (v, _) in CS231N.items() if name[:4] == "conv" or name in "fc6 fc7")
    assert round((values + relus) / 1e6, 1) == 28.8
    assert round(4 * (values + relus) / 2**20) == 110


def test_the_report_shows_those_megabytes(measured):
    rows = {row.name: row.activation_bytes for row in measured("vgg_d").layers}
    assert {name: rows[name] for name in CS231N} == {n: 4 * v for n, (v, _) in CS231N.items()}
    assert 4 * INPUT + sum(rows[name] for name in CS231N) == 60_950_432


def test_fc6_has_three_quarters_of_the_parameters_of_column_d():
    assert round(100 * (102_760_448 + 4096) / 138_357_544, 1) == 74.3


def test_averaging_before_fc6_divides_its_weights_by_49(on_meta, parameters):
    column, averaged = on_meta(vgg, "D"), on_meta(vgg_d_gap)
    assert averaged.fc6.weight.numel() == 2_097_152
    assert column.fc6.weight.numel() == 49 * averaged.fc6.weight.numel()
    assert parameters(averaged) == 37_694_248


def test_averaging_and_one_fully_connected_layer_would_leave_15_million(on_meta, parameters):
    # the 1000 classes straight from 512 averages
    network = on_meta(vgg, "D")
    convs = sum(parameters(m) for m in network.modules() if isinstance(m, nn.Conv2d))
    assert convs + parameters(nn.Linear(512, 1000, device="meta")) == 15_227_688


@pytest.mark.parametrize(
    ("network", "layer", "receptive_field"),
    [("vgg_d", "conv5_3", 196), ("vgg_d", "pool5", 212), ("vgg_e", "pool5", 268)],
)
def test_the_receptive_fields_of_deep_layers(measured, network, layer, receptive_field):
    (row,) = (row for row in measured(network).layers if row.name == layer)
    assert row.receptive_field == receptive_field
