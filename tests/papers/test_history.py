"""The six papers side by side: parameters, multiply-adds, depth, and the errors of the contest."""

import re

import pytest
from torch import nn

from classicnets import catalog

# parameters, and multiply-adds of convolutions and full layers (M) for one image
NETWORKS = {
    "alexnet": (60_965_224, 724),
    "alexnet_merged": (62_378_344, 1_135),
    "zfnet": (62_357_608, 1_168),
    "zfnet_wide": (107_627_624, 2_477),
    "vgg_a": (132_863_336, 7_609),
    "vgg_a_lrn": (132_863_336, 7_609),
    "vgg_b": (133_047_848, 11_308),
    "vgg_c": (133_638_952, 11_771),
    "vgg_d": (138_357_544, 15_470),
    "vgg_e": (143_667_240, 19_632),
    "googlenet": (6_998_552, 1_583),
    "resnet18": (11_689_512, 1_814),
    "resnet34": (21_797_672, 3_664),
    "resnet50": (25_557_032, 3_858),
    "resnet101": (44_549_160, 7_570),
    "resnet152": (60_192_808, 11_282),
}

# one network, ILSVRC-2012 validation, top-1 / top-5, as each paper prints it
PUBLISHED = {
    "alexnet": "40.7 / 18.2",
    "zfnet": "38.4 / 16.5",
    "zfnet_wide": "37.5 / 16.0",
    "vgg_a": "29.6 / 10.4",
    "vgg_a_lrn": "29.7 / 10.5",
    "vgg_b": "28.7 / 9.9",
    "vgg_c": "27.3 / 8.8",
    "vgg_d": "25.6 / 8.1",
    "vgg_e": "25.5 / 8.0",
    "googlenet": "- / 10.07",
    "resnet34": "24.52 / 7.46",
    "resnet34_a": "25.03 / 7.76",
    "resnet34_b": "24.52 / 7.46",
    "resnet34_c": "24.19 / 7.40",
    "resnet50": "22.85 / 6.71",
    "resnet101": "21.75 / 6.05",
    "resnet152": "21.43 / 5.71",
    "plain34": "28.54 / 10.02",
}
SMALL = {"lenet5": "0.95", "resnet20": "8.75", "resnet32": "7.51", "resnet44": "7.17",
         "resnet56": "6.97", "resnet110": "6.43", "resnet1202": "7.93",
         "plain18": "27.94", "resnet18": "27.88"}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_and_multiply_adds(measured, name):
    params, millions = NETWORKS[name]
    totals = measured(name).totals
    assert totals.params == params
    assert round(totals.macs / 1e6) == millions


def test_the_winners_grew_deeper(measured):
    # AlexNet 2012, VGG E and GoogLeNet 2014, ResNet 2015
    depths = [_weight_layers(measured(name)) for name in ("alexnet", "vgg_e", "resnet152")]
    assert depths == [8, 19, 152]


def _weight_layers(report) -> int:
    kinds = (nn.Conv2d.__name__, nn.Linear.__name__)
    return sum(row.type in kinds and "shortcut" not in row.name for row in report.layers)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_catalogue_gives_the_published_error(name):
    assert catalog.find(name).published.startswith(PUBLISHED[name])


@pytest.mark.parametrize("name", SMALL)
def test_the_catalogue_gives_the_published_error_of_other_sets(name):
    assert re.match(r"[\d.]+", catalog.find(name).published)[0] == SMALL[name]


def test_deeper_plain_networks_did_worse_and_deeper_residual_ones_better():
    # Table 2: plain 27.94 and 28.54, residual 27.88 and 25.03 (option A)
    error = {name: float(catalog.find(name).published.split()[0])
             for name in ("plain18", "plain34", "resnet18", "resnet34_a")}  # fmt: skip
    assert error["plain18"] < error["plain34"]
    assert error["resnet18"] > error["resnet34_a"]


def test_googlenet_has_one_ninth_of_alexnets_parameters(measured):
    # the paper says 12 times fewer, which would be 5 million; the table's widths give 7
    ratio = measured("alexnet").totals.params / measured("googlenet").totals.params
    assert round(ratio, 1) == 8.7
