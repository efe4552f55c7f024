"""GoogLeNet against Table 1, Figures 2 and 3 and section 5 of Szegedy et al., arXiv:1409.4842."""

import pytest
import torch
from torch import nn

from classicnets.layers.wiring import Concat
from classicnets.measure import measure
from classicnets.models.googlenet import (
    TABLE_1,
    Widths,
    googlenet,
    googlenet_naive,
    inception,
    naive,
)

# Table 1: output and depth as printed; weights and biases, and millions of multiply-adds, as the
# widths of the table give them (the printed columns disagree in places: 2.7K and 34M for conv1)
ROWS = {
    "conv1": ((64, 112, 112), 1, 9_472, 118.0),
    "pool1": ((64, 56, 56), 0, 0, 0),
    "conv2": ((192, 56, 56), 2, 4_160 + 110_784, 359.7),
    "pool2": ((192, 28, 28), 0, 0, 0),
    "inception_3a": ((256, 28, 28), 2, 163_696, 128.0),
    "inception_3b": ((480, 28, 28), 2, 388_736, 304.3),
    "pool3": ((480, 14, 14), 0, 0, 0),
    "inception_4a": ((512, 14, 14), 2, 376_176, 73.6),
    "inception_4b": ((512, 14, 14), 2, 449_160, 87.9),
    "inception_4c": ((512, 14, 14), 2, 510_104, 99.9),
    "inception_4d": ((528, 14, 14), 2, 605_376, 118.5),
    "inception_4e": ((832, 14, 14), 2, 868_352, 170.0),
    "pool4": ((832, 7, 7), 0, 0, 0),
    "inception_5a": ((832, 7, 7), 2, 1_043_456, 51.1),
    "inception_5b": ((1024, 7, 7), 2, 1_444_080, 70.7),
    "average": ((1024, 1, 1), 0, 0, 0),
    "fc": ((1000,), 1, 1_025_000, 1.0),
}

# Table 1, the six columns of widths
WIDTHS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}

# the example of CS231n: maps of 28x28x256 and the widths of 3b, but reductions to 64
CS231N = Widths(n1x1=128, n3x3_reduce=64, n3x3=192, n5x5_reduce=64, n5x5=96, pool_proj=64)


def _stages(row: str) -> tuple[str, ...]:
    """The top-level stages of a row; conv2 includes its 1x1 reduction."""
    return ("conv2_reduce", "conv2") if row == "conv2" else (row,)


@pytest.mark.parametrize("row", ROWS)
def test_each_row_has_its_output_and_parameters(on_meta, shapes, parameters, row):
    network = on_meta(googlenet)
    shape, _, count, _ = ROWS[row]
    assert shapes(network, (3, 224, 224))[row] == shape
    assert sum(parameters(network.get_submodule(name)) for name in _stages(row)) == count


@pytest.mark.parametrize("row", ROWS)
def test_each_row_has_its_multiply_adds(measured, row):
    macs = sum(
        layer.macs
        for layer in measured("googlenet").layers
        if layer.name.partition(".")[0] in _stages(row)
    )
    assert round(macs / 1e6, 1) == ROWS[row][3]


def test_the_totals(on_meta, parameters, weights, measured):
    network = on_meta(googlenet)
    heads = [network.aux_4a, network.aux_4d]
    assert [parameters(head) for head in heads] == [3_188_840, 3_190_888]
    assert parameters(network) == 13_378_280
    assert parameters(network) - 6_379_728 == 6_998_552 == sum(row[2] for row in ROWS.values())
    assert 6_998_552 - parameters(network.fc) == 5_973_552  # convolutions only
    assert weights(network) - sum(map(weights, heads)) == 6_990_272
    assert measured("googlenet").totals.params == 6_998_552
    assert round(measured("googlenet").totals.macs / 1e6, 1) == 1_582.7


@pytest.mark.parametrize("module", WIDTHS)
def test_each_branch_has_its_width(on_meta, module):
    row = on_meta(googlenet).get_submodule(f"inception_{module}")
    convs = {n.rpartition(".")[2]: m for n, m in row.named_modules() if isinstance(m, nn.Conv2d)}
    order = ("1x1", "3x3_reduce", "3x3", "5x5_reduce", "5x5", "pool_proj")
    assert tuple(convs[name].out_channels for name in order) == WIDTHS[module]
    assert [convs[name].kernel_size[0] for name in order] == [1, 1, 3, 1, 5, 1]


def test_the_branches_are_concatenated_in_the_order_of_the_table(on_meta):
    module = on_meta(googlenet).inception_3a
    assert [name for name, _ in module.named_children()] == ["1x1", "3x3", "5x5", "pool"]


def test_the_longest_path_has_22_layers_with_weights_and_27_with_pools(on_meta):
    network = on_meta(googlenet)
    assert _depth(network, (nn.Conv2d, nn.Linear)) == 22 == sum(row[1] for row in ROWS.values())
    stages = [m for name, m in network.named_children() if not name.startswith("aux")]
    pools = [m for m in stages if isinstance(m, nn.MaxPool2d | nn.AvgPool2d)]
    assert 22 + len(pools) == 27


def _depth(module: nn.Module, kinds: tuple[type, ...]) -> int:
    """The layers of these kinds on the longest path through the module, without heads."""
    if isinstance(module, kinds):
        return 1
    combine = max if isinstance(module, Concat) else sum
    parts = [_depth(m, kinds) for n, m in module.named_children() if not n.startswith("aux")]
    return combine(parts) if parts else 0


def test_a_head_averages_to_4x4_and_drops_seven_tenths(on_meta, shapes):
    network = on_meta(googlenet)
    for head, width in ((network.aux_4a, 512), (network.aux_4d, 528)):
        seen = shapes(head, (width, 14, 14))
        assert seen["average"] == (width, 4, 4)
        assert seen["conv"] == (128, 4, 4)
        assert (seen["fc1"], seen["fc2"]) == ((1024,), (1000,))
        assert head.drop1.p == 0.7
    assert network.drop.p == 0.4


def test_the_heads_read_4a_and_4d_and_run_in_training_only():
    network = googlenet(classes=5)
    seen = {}
    for name in ("inception_4a", "inception_4d", "aux_4a", "aux_4d"):
        network.get_submodule(name).register_forward_hook(
            lambda _layer, args, out, name=name: seen.update({name: (args[0], out)})
        )
    x = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        outputs = network.train()(x)
        assert outputs._fields == ("scores", "aux_4a", "aux_4d")
        for head in ("aux_4a", "aux_4d"):
            maps, scores = seen[head]
            assert maps is seen[head.replace("aux", "inception")][1]
            assert getattr(outputs, head) is scores
        assert isinstance(network.eval()(x), torch.Tensor)


def test_the_stem_normalises_after_pool1_and_before_pool2(on_meta):
    stages = [n for n, _ in on_meta(googlenet).named_children() if not n.startswith("relu")]
    assert stages[:7] == ["conv1", "pool1", "norm1", "conv2_reduce", "conv2", "norm2", "pool2"]


def test_the_normalisation_has_caffes_constants(on_meta):
    # size 5, alpha 1e-4 divided by 5, beta 0.75, k 1
    for norm in (on_meta(googlenet).norm1, on_meta(googlenet).norm2):
        assert (norm.size, norm.beta, norm.k) == (5, 0.75, 1)
        assert norm.alpha == pytest.approx(2e-5)


def test_the_module_with_reductions_has_a_third_of_the_naive_ones_multiply_adds(on_meta, weights):
    plain, depth = on_meta(naive, 256, CS231N)
    assert depth == 128 + 192 + 96 + 256 == 672
    assert measure(plain, (256, 28, 28)).totals.macs == 854_196_224
    assert weights(plain) == 1_089_536
    reduced, depth = on_meta(inception, 256, CS231N)
    assert depth == 128 + 192 + 96 + 64 == 480
    assert measure(reduced, (256, 28, 28)).totals.macs == 271_351_808
    assert weights(reduced) == 346_112
    assert round(854_196_224 / 271_351_808, 2) == round(1_089_536 / 346_112, 2) == 3.15


def test_the_printed_358_million_counts_the_3x3_of_the_example_twice():
    twice = 28 * 28 * 192 * 3 * 3 * 64
    assert round(twice / 1e6, 2) == 86.70
    assert round((271_351_808 + twice) / 1e6) == 358


def test_the_real_3b_has_its_weights_and_depth(on_meta, weights):
    module, depth = on_meta(inception, 256, TABLE_1["3b"])
    assert weights(module) == 388_096
    assert depth == 480


def test_the_nine_modules_have_4_06_times_fewer_weights_than_naive_ones(on_meta, weights):
    totals = {naive: 0, inception: 0}
    width = 192
    for row in TABLE_1.values():
        for build in totals:
            totals[build] += weights(on_meta(build, width, row)[0])
        width = row.n1x1 + row.n3x3 + row.n5x5 + row.pool_proj
    assert totals == {naive: 23_718_912, inception: 5_842_176}
    assert round(23_718_912 / 5_842_176, 2) == 4.06


def test_the_depth_of_the_naive_network_grows_from_module_to_module(on_meta, shapes):
    seen = shapes(on_meta(googlenet_naive), (3, 224, 224))
    width = 192
    for name, (n1x1, _, n3x3, _, n5x5, _) in WIDTHS.items():
        width += n1x1 + n3x3 + n5x5
        assert seen[f"inception_{name}"][0] == width
