"""ZFNet against Figure 3 and Table 3 of Zeiler and Fergus, arXiv:1311.2901v3."""

import pytest

from classicnets.models.zfnet import zfnet, zfnet_wide

# output, parameters of Figure 3, of the 512-1024-512 variant
LAYERS = {
    "conv1": ((96, 110, 110), 14_208, 14_208),
    "conv2": ((256, 26, 26), 614_656, 614_656),
    "conv3": ((384, 13, 13), 885_120, 1_180_160),
    "conv4": ((384, 13, 13), 1_327_488, 4_719_616),
    "conv5": ((256, 13, 13), 884_992, 4_719_104),
    "fc6": ((4096,), 37_752_832, 75_501_568),
    "fc7": ((4096,), 16_781_312, 16_781_312),
    "fc8": ((1000,), 4_097_000, 4_097_000),
}


@pytest.mark.parametrize("name", LAYERS)
def test_each_layer_has_its_size_and_parameters(on_meta, shapes, parameters, name):
    shape, narrow, wide = LAYERS[name]
    network = on_meta(zfnet)
    assert shapes(network, (3, 224, 224))[name] == shape
    assert parameters(network.get_submodule(name)) == narrow
    assert parameters(on_meta(zfnet_wide).get_submodule(name)) == wide


def test_the_maps_of_figure_3_are_110_55_26_13_6(on_meta, shapes):
    seen = shapes(on_meta(zfnet), (3, 224, 224))
    drawn = ["conv1", "pool1", "conv2", "pool2", "pool5"]
    assert [seen[name][1:] for name in drawn] == [(s, s) for s in (110, 55, 26, 13, 6)]
    assert seen["flatten"] == (9216,)


def test_the_wide_variant_has_512_1024_512_maps(on_meta, shapes):
    seen = shapes(on_meta(zfnet_wide), (3, 224, 224))
    assert [seen[f"conv{i}"][0] for i in (3, 4, 5)] == [512, 1024, 512]
    assert seen["flatten"] == (18_432,)


def test_the_totals(on_meta, parameters):
    assert parameters(on_meta(zfnet)) == 62_357_608 == sum(row[1] for row in LAYERS.values())
    assert parameters(on_meta(zfnet_wide)) == 107_627_624
    assert sum(row[2] for row in LAYERS.values()) == 107_627_624


def test_every_layer_is_dense(on_meta):
    network = on_meta(zfnet)
    assert {network.get_submodule(f"conv{i}").groups for i in range(1, 6)} == {1}


def test_normalisation_comes_after_the_first_two_pools_only(on_meta):
    stages = [name for name, _ in on_meta(zfnet).named_children()]
    for i in (1, 2):
        first = stages.index(f"conv{i}")
        assert stages[first : first + 4] == [f"conv{i}", f"relu{i}", f"pool{i}", f"norm{i}"]
    assert sum(name.startswith("norm") for name in stages) == 2
