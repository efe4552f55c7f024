"""ResNet against Tables 1 and 6, Figure 3 and section 4 of He et al., arXiv:1512.03385."""

import pytest
import torch
from torch import nn

from classicnets.models.resnet import TABLE_1, plain, plain_cifar, resnet, resnet_cifar

# Table 1: FLOPs as printed (G), multiply-adds (G), parameters with options A, B, C; the plain
# networks of 18 and 34 layers have those of A
IMAGENET = {
    18: (1.8, 1.814, 11_515_688, 11_689_512, 12_043_816),
    34: (3.6, 3.664, 21_623_848, 21_797_672, 22_716_840),
    50: (3.8, 3.858, 22_780_456, 25_557_032, 40_128_552),
    101: (7.6, 7.570, 41_772_584, 44_549_160, 76_981_288),
    152: (11.3, 11.282, 57_416_232, 60_192_808, 107_335_720),
}
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3),
          152: (3, 8, 36, 3)}  # fmt: skip

# Table 6: parameters as printed (millions) and exactly, multiply-adds (millions)
CIFAR = {
    20: (0.27, 269_722, 40.55),
    32: (0.46, 464_154, 68.86),
    44: (0.66, 658_586, 97.17),
    56: (0.85, 853_018, 125.5),
    110: (1.7, 1_727_962, 252.9),
    1202: (19.4, 19_421_274, 2829),
}

RECEPTIVE_FIELDS = {18: 435, 34: 899, 50: 483, 101: 1027, 152: 1507}


@pytest.mark.parametrize("depth", IMAGENET)
def test_each_column_has_its_parameters_under_every_option(on_meta, parameters, depth):
    _, _, a, b, c = IMAGENET[depth]
    assert [parameters(on_meta(resnet, depth, option)) for option in "ABC"] == [a, b, c]
    assert parameters(on_meta(plain, depth)) == a


@pytest.mark.parametrize("depth", IMAGENET)
def test_each_column_has_its_stages(on_meta, shapes, depth):
    network = on_meta(resnet, depth)
    seen = shapes(network, (3, 224, 224))
    wide = (64, 128, 256, 512) if depth < 50 else (256, 512, 1024, 2048)
    assert seen["conv1"] == (64, 112, 112)
    assert seen["pool1"] == (64, 56, 56)
    for stage, width, side, blocks in zip(
        (2, 3, 4, 5), wide, (56, 28, 14, 7), BLOCKS[depth], strict=True
    ):
        assert seen[f"conv{stage}_x"] == (width, side, side)
        names = [name for name, _ in network.get_submodule(f"conv{stage}_x").named_children()]
        assert names == [f"conv{stage}_{i}" for i in range(1, blocks + 1)]
    assert seen["average"] == (wide[-1], 1, 1)


@pytest.mark.parametrize("depth", IMAGENET)
def test_each_column_has_its_printed_flops(measured, depth):
    printed, computed = IMAGENET[depth][:2]
    gigas = measured(f"resnet{depth}").totals.macs / 1e9
    assert round(gigas, 3) == computed
    # the paper truncates 3.664 and 3.858; rounding would give 3.7 and 3.9
    assert printed in (round(gigas, 1), int(gigas * 10) / 10)


@pytest.mark.parametrize("depth", IMAGENET)
def test_the_name_is_the_number_of_layers_with_weights(on_meta, depth):
    for network in (on_meta(resnet, depth), on_meta(resnet, depth, "C"), on_meta(plain, depth)):
        assert _weight_layers(network) == depth


def _weight_layers(network: nn.Module) -> int:
    """The number of convolutions and fully connected layers, without projections."""
    return sum(
        isinstance(m, nn.Conv2d | nn.Linear) and "shortcut" not in name
        for name, m in network.named_modules()
    )


def _projections(network: nn.Module) -> list[str]:
    return [n for n, m in network.named_modules() if isinstance(m, nn.Conv2d) and "shortcut" in n]


def test_option_b_projects_where_the_width_changes(on_meta):
    starts = [f"conv{s}_x.conv{s}_1.shortcut.conv" for s in (2, 3, 4, 5)]
    assert _projections(on_meta(resnet, 34)) == starts[1:]
    # bottlenecks widen conv2_x too, from 64 to 256
    assert _projections(on_meta(resnet, 50)) == starts
    assert _projections(on_meta(resnet, 50, "A")) == []


def test_option_c_has_thirteen_more_projections_in_resnet34(on_meta):
    added = len(_projections(on_meta(resnet, 34, "C"))) - len(_projections(on_meta(resnet, 34)))
    assert added == 13


@pytest.mark.parametrize("depth", [18, 34])
def test_basic_blocks_have_the_stride_in_their_first_3x3(on_meta, depth):
    assert _strided(on_meta(resnet, depth)) == [
        f"conv{s}_x.conv{s}_1.body.conv1" for s in (3, 4, 5)
    ]


@pytest.mark.parametrize("depth", [50, 101, 152])
def test_bottlenecks_have_the_stride_in_their_first_1x1(on_meta, depth):
    network = on_meta(resnet, depth)
    strided = _strided(network)
    assert strided == [f"conv{s}_x.conv{s}_1.body.conv1" for s in (3, 4, 5)]
    assert {network.get_submodule(name).kernel_size for name in strided} == {(1, 1)}


def _strided(network: nn.Module) -> list[str]:
    return [n for n, m in network.named_modules()
            if isinstance(m, nn.Conv2d) and m.stride == (2, 2) and "body" in n]  # fmt: skip


@pytest.mark.parametrize("depth", CIFAR)
def test_each_cifar_network_has_its_parameters(on_meta, parameters, depth):
    millions, exact, _ = CIFAR[depth]
    assert parameters(on_meta(resnet_cifar, depth)) == exact
    assert parameters(on_meta(plain_cifar, depth)) == exact
    assert f"{exact / 1e6:.2g}" == f"{millions:.2g}"


@pytest.mark.parametrize("depth", [*list(CIFAR)[:-1], pytest.param(1202, marks=pytest.mark.slow)])
def test_each_cifar_network_has_its_multiply_adds(measured, depth):
    printed = CIFAR[depth][2]
    assert float(f"{measured(f'resnet{depth}').totals.macs / 1e6:.4g}") == printed


@pytest.mark.parametrize("depth", CIFAR)
def test_a_cifar_network_has_6n_plus_2_layers_and_3n_shortcuts(on_meta, depth):
    network = on_meta(resnet_cifar, depth)
    n = (depth - 2) // 6
    assert _weight_layers(network) == depth == 6 * n + 2
    assert sum(name.endswith(".shortcut") for name, _ in network.named_modules()) == 3 * n
    assert _projections(network) == []


def test_the_cifar_stages_are_16_32_64_maps_of_32_16_8_pixels(on_meta, shapes):
    seen = shapes(on_meta(resnet_cifar, 20), (3, 32, 32))
    assert [seen[f"conv{s}_x"] for s in (2, 3, 4)] == [(16, 32, 32), (32, 16, 16), (64, 8, 8)]
    assert seen["fc"] == (10,)


@pytest.mark.parametrize("depth", [20, 56, 110])
def test_option_b_adds_2752_parameters_at_any_depth(on_meta, parameters, depth):
    added = parameters(on_meta(resnet_cifar, depth, "B")) - CIFAR[depth][1]
    assert added == 2_752


def test_option_a_copies_every_other_pixel_and_adds_empty_maps():
    shortcut = resnet_cifar(20).conv3_x.conv3_1.shortcut
    x = torch.rand(1, 16, 32, 32)
    out = shortcut(x)
    assert out.shape == (1, 32, 16, 16)
    assert torch.equal(out[:, :16], x[:, :, ::2, ::2])
    assert not out[:, 16:].any()


@pytest.mark.parametrize("cifar", [False, True])
def test_a_plain_network_is_the_residual_one_without_its_shortcuts(on_meta, cifar):
    if cifar:
        without, residual = on_meta(plain_cifar, 20), on_meta(resnet_cifar, 20)
    else:
        without, residual = on_meta(plain, 34), on_meta(resnet, 34, "A")
    shape_of = {name: value.shape for name, value in residual.state_dict().items()}
    assert {name: value.shape for name, value in without.state_dict().items()} == shape_of


def test_the_last_relu_of_a_block_comes_after_the_addition():
    block = resnet(18).conv2_x.conv2_1.eval()
    x = torch.randn(1, 64, 8, 8)
    with torch.no_grad():
        assert torch.equal(block(x), (block.body(x) + x).clamp(min=0))
    assert [name for name, _ in block.body.named_children()][-1] == "bn2"


def test_there_is_no_dropout_and_no_bias_before_batch_normalisation(on_meta):
    for depth in IMAGENET:
        layers = list(on_meta(resnet, depth).modules())
        assert not any(isinstance(m, nn.Dropout) for m in layers)
        assert all(m.bias is None for m in layers if isinstance(m, nn.Conv2d))


@pytest.mark.parametrize("depth", RECEPTIVE_FIELDS)
def test_the_receptive_field_of_conv5_x(measured, depth):
    rows = [row for row in measured(f"resnet{depth}").layers if row.name.startswith("conv5_x")]
    assert rows[-1].receptive_field == RECEPTIVE_FIELDS[depth]
    assert rows[-1].stride == 32


@pytest.mark.parametrize("depth", [18, 34])
def test_plain_networks_have_the_receptive_fields_of_residual_ones(measured, depth):
    rows = [row for row in measured(f"plain{depth}").layers if row.name.startswith("conv5_x")]
    assert rows[-1].receptive_field == RECEPTIVE_FIELDS[depth]


def test_the_table_has_the_paper_columns():
    assert {depth: row[2] for depth, row in TABLE_1.items()} == BLOCKS
