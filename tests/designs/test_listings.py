"""Designs as people write them: printed listings, networks by hand, and what they lack."""

import pytest

import classicnets as cn
from classicnets import catalog
from classicnets.designs.build import build
from classicnets.designs.reader import read

VGG_D = """every conv: relu
every fc: relu -> dropout 0.5
[224x224x3] input
conv1_1: 64 3x3 filters, pad 1 -> conv1_2: 64 3x3 filters, pad 1 -> pool1: 2x2 max pool at stride 2
conv2_1: 128 3x3 filters, pad 1 -> conv2_2: 128 3x3 filters, pad 1 -> pool2: 2x2 max pool at stride 2
conv3_1: 256 3x3 filters, pad 1 -> conv3_2: 256 3x3 filters, pad 1 -> conv3_3: 256 3x3 filters, pad 1 -> pool3: 2x2 max pool at stride 2
conv4_1: 512 3x3 filters, pad 1 -> conv4_2: 512 3x3 filters, pad 1 -> conv4_3: 512 3x3 filters, pad 1 -> pool4: 2x2 max pool at stride 2
conv5_1: 512 3x3 filters, pad 1 -> conv5_2: 512 3x3 filters, pad 1 -> conv5_3: 512 3x3 filters, pad 1 -> pool5: 2x2 max pool at stride 2
fc6: 4096 neurons -> fc7: 4096 neurons -> fc8: 1000 neurons
"""  # noqa: E501
MAPS = "every conv: relu\n[8x8x3] input\nconv1: 10 3x3 filters\n"
PARTS = """part two a:
    c1: a 3x3 filters, pad 1
    c2: a {}
[8x8x3] input
x1: two 8
x2: two 8
fc: 10 neurons
"""


def test_vgg_d_written_by_hand_has_the_parameters_of_the_paper(tmp_path):
    file = tmp_path / "vggd.net"
    file.write_text(VGG_D)
    assert cn.show(str(file)).totals.params == 138_357_544
    ours, theirs = (cn.show(name).totals for name in (str(file), "vgg_d"))
    assert (ours.macs, ours.receptive_field) == (theirs.macs, theirs.receptive_field)


def test_a_design_is_planned(tmp_path):
    file = tmp_path / "my.net"
    file.write_text("[8x8x3] input\nconv1: 10 3x3 filters -> relu\nfc: 5 neurons\n")
    planned = cn.plan(str(file), batch=7, device="t4")
    assert (planned.network, planned.input, planned.batch) == (str(file), (3, 8, 8), 7)
    weights = 4 * (3 * 9 * 10 + 10 + 360 * 5 + 5)
    assert planned.peaks[0].parts["weights"] == weights


def test_a_network_that_ends_in_maps_is_refused_and_warned_of_in_the_same_words(tmp_path, capsys):
    from classicnets.api.design import design_warnings

    file = tmp_path / "maps.net"
    file.write_text(MAPS)
    words = (
        "the network ends in maps, [6x6x10], and training needs scores: end it with lines such as "
        "`average: global average` and `fc: 10 neurons`"
    )
    assert words in design_warnings(str(file))
    for verb in (cn.train, cn.plan):
        with pytest.raises(ValueError, match="ends in maps") as refused:
            verb(str(file), "digits")
        assert str(refused.value) == f"{file}: {words}"


def test_a_difference_inside_a_part_stands_below_the_part_and_has_its_costs(tmp_path):
    files = [tmp_path / "a.net", tmp_path / "b.net"]
    for file, line in zip(files, ("3x3 filters, pad 1", "5x5 filters, pad 2"), strict=True):
        file.write_text(PARTS.format(line))
    lines = [line.split() for line in str(cn.diff(*map(str, files))).splitlines()]
    assert lines[1] == ["part", "two", "a:"]
    each = {"3x3": 2 * (8 * 8 * 9 + 8), "5x5": 2 * (8 * 8 * 25 + 8)}  # used twice
    for line, window in zip(lines[2:4], each, strict=True):
        assert line[:4] == ["-+"[window == "5x5"], "c2:", "a", window]
        assert f"{each[window]:,}" in line


HEAD = "[32x32x3] input\n"
LARGE = {
    "layers": HEAD
    + "".join(f"c{i}: 8 3x3 filters, pad 1\n" for i in range(19_990))
    + "fc: 10 neurons\n",
    "lines": HEAD + "relu\n" * 100_000,
    "arrows": HEAD + " -> ".join(["relu"] * 100_000),
    "options": HEAD + "c: 8 3x3 filters" + ", pad 1" * 140_000,
    "parts": "".join(f"part p{i}:\n    relu\n" for i in range(40_000)) + HEAD,
    "every": f"every conv: {' -> '.join(['relu'] * 100_000)}\n{HEAD}",
}


@pytest.mark.parametrize("kind", LARGE)
def test_a_file_near_the_limits_is_read_or_refused_in_two_seconds(kind, tmp_path, within):
    build(read(HEAD + "c: 4 3x3 filters\nfc: 10 neurons\n"))  # what is loaded once
    file = tmp_path / "large.net"
    file.write_text(LARGE[kind])
    if kind == "layers":
        assert len(list(catalog.from_design(file).build().children())) > 19_990
        return

    def refuse():
        with pytest.raises(ValueError, match=r"at most 25,000 lines|more than 20,000|140,000 opt"):
            catalog.from_design(file)

    within(2, refuse)
