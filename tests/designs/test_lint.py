"""Warnings about designs that build: each fires where arithmetic says so, and not beside it."""

import pytest

from classicnets import catalog
from classicnets.api.design import describe_network
from classicnets.designs import build
from classicnets.designs.expand import expand
from classicnets.designs.lint import before_additions, ends_in_maps, warnings
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


ADDED = "every conv: {}\n[8x8x4] input\n{}\nconv3: 4 3x3 filters, pad 1\nfc: 9 neurons"
BLOCK = "b1 to b2: residual{}\n    conv1: 4 3x3 filters, pad 1{}\n    conv2: 4 3x3 filters, pad 1{}"
SHORTCUT = "\n    shortcut: 4 1x1 filters"
BRANCHES = "{}\n    x: side by side\n        a: 2 1x1 filters\n        b: 2 1x1 filters"


@pytest.mark.parametrize(
    ("every", "block", "ends"),
    [
        ("relu", BLOCK.format("", "", ""), {5: "relu2"}),
        ("batch norm -> relu", BLOCK.format(", no relu", "", ""), {5: "relu2"}),
        ("relu", BLOCK.format("", "", SHORTCUT), {5: "relu2", 6: "relu"}),
        ("relu", BLOCK.format("", "", " -> batch norm"), {}),  # with which nothing is added
        ("batch norm", BLOCK.format("", " -> relu", " -> out: squash"), {5: "out"}),
        ("batch norm", BLOCK.format("", "", f"{SHORTCUT} -> relu"), {6: "relu"}),
        ("batch norm", BLOCK.format("", " -> relu", SHORTCUT), {}),
        (
            "relu",
            f"b: residual\n    conv1: 4 1x1 filters -> relu -> batch norm{SHORTCUT}",
            {5: "relu"},
        ),
        ("batch norm", "b: residual, no relu\n    batch norm -> relu\n    c: 4 1x1 filters", {}),
        ("relu", BRANCHES.format("dense:"), {}),
        ("batch norm", BRANCHES.format("b: residual"), {}),
    ],
)
def test_a_non_linearity_right_before_an_addition_is_named_with_its_line(every, block, ends):
    said = "ends a branch that is added; ResNet has no non-linearity right before an addition"
    found = [w for w in warnings(read(ADDED.format(every, block))) if "addition" in w]
    assert found == [f"line {line}: {name} {said}" for line, name in ends.items()]


@pytest.mark.parametrize("name", [name for name in catalog.names() if "res" in name])
def test_no_network_of_a_paper_has_a_non_linearity_right_before_an_addition(name):
    assert list(before_additions(expand(describe_network(name)).body)) == []


@pytest.mark.parametrize(("size", "meant"), [("3x9x9", "9x9x3"), ("1x9x12", "9x12x1")])
def test_an_input_with_its_channels_first_is_named(size, meant):
    text = "[{}] input\nconv1: 4 1x1 filters -> relu\nfc: 2 neurons"
    said = f"the input is [{size}]; an input is height x width x maps: did you mean [{meant}]?"
    assert said in warnings(read(text.format(size)))
    for other in (meant, "9x9x12", "1x9x3", "2x9x9"):
        assert not any("did you mean" in each for each in warnings(read(text.format(other))))
