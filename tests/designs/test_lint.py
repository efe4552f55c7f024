"""Warnings about designs that build: each fires where arithmetic says so, and not beside it."""

import pytest

from classicnets.api.design import describe_network
from classicnets.designs import build
from classicnets.designs.lint import ends_in_maps, warnings
from classicnets.designs.reader import read

DEEP = "every conv: relu\n[{n}x{n}x1] input\n{convs}\naverage: global average\nfc: 2 neurons"


def deep(side: int, count: int) -> list[str]:
    convs = "\n".join(f"conv{i}: 40 3x3 filters, pad 1" for i in range(1, count + 1))
    return warnings(read(DEEP.format(n=side, convs=convs)))


def test_a_convolution_that_sees_nothing_new_is_named():
    # conv4 reads fields of 1 + 3 x 2 = 7 pixels, conv5 of 9
    said = "each value that conv5 reads depends on the whole image of 9x9 already"
    assert deep(9, 4) == []
    assert deep(9, 5) == [said]
    assert deep(9, 6) == [said.replace("conv5 reads", "conv5, conv6 read")]


def test_a_last_convolution_that_sees_little_is_named():
    # 3 of 12 pixels are a quarter
    assert deep(12, 1) == []
    assert deep(13, 1) == ["conv1, the last convolution, sees only 3x3 pixels of 13x13"]


@pytest.mark.parametrize(("stride", "warned"), [(3, 0), (4, 1)])
def test_a_stride_beyond_the_window_skips_pixels(stride, warned):
    said = f"conv1 skips pixels; its stride of {stride} is larger than its window of 3"
    convs = f"conv1: 40 3x3 filters at stride {stride}"
    assert warnings(read(DEEP.format(n=11, convs=convs))) == [said] * warned


def test_a_head_with_most_of_the_parameters_is_named():
    text = "[8x8x1] input\nconv1: 4 3x3 filters -> relu\nfc2: {} neurons"
    assert warnings(read(text.format(1))) == ["fc2 holds 78 % of the parameters"]  # 145 of 185
    assert warnings(read("[8x8x1] input\nfc1: 9 neurons")) == []  # there is nothing but a head


@pytest.mark.parametrize(
    "name", ["lenet5", "googlenet", "resnet18", "resnet34_a", "resnet50", "resnet20"]
)
def test_networks_of_the_papers_are_as_they_should_be(name):
    assert warnings(describe_network(name)) == []


def test_the_plain_network_that_the_paper_finds_too_deep_is_named():
    (said,) = warnings(describe_network("plain34"))
    assert "and 13 more read depends on the whole image of 224x224 already" in said


@pytest.mark.parametrize("check", [warnings, ends_in_maps])
def test_a_design_is_expanded_once_for_all_its_warnings(monkeypatch, check):
    expanded = []
    expand = build.expand
    monkeypatch.setattr(build, "expand", lambda design: expanded.append(1) or expand(design))
    assert "the network ends in maps, [6x6x4]" in "".join(
        check(read("[8x8x3] input\n[6x6x4] conv1: 4 3x3 filters"))
    )
    assert len(expanded) == 1


def test_a_side_branch_is_not_what_a_network_ends_in():
    text = "[8x8x4] input\nconv1: 4 1x1 filters\n{}\nside: aside\n  {}"
    maps, scores = "conv2: 5 1x1 filters", "fc: 5 neurons"
    assert ends_in_maps(read(text.format(scores, scores))) == ""
    assert "[8x8x5]" in ends_in_maps(read(text.format(maps, scores)))
