"""The notation: what it says, and what is refused with the line and the reason."""

import os
import random
import re

import pytest
import torch
from torch import nn

from classicnets.designs.build import build, shapes
from classicnets.designs.describe import describe
from classicnets.designs.lint import warnings
from classicnets.designs.reader import read, read_text
from classicnets.designs.writer import write
from classicnets.layers.wiring import Concat, Network, Residual, chain

# the case study that the project grew out of, as it is printed there
AS_PRINTED = """
1. [227x227x3] INPUT
2. [55x55x96] CONV1: 96 11\N{MULTIPLICATION SIGN}11 filters at stride 4, pad 0
3. [27x27x96] MAX POOL1: 3\N{MULTIPLICATION SIGN}3 filters at stride 2
4. [27x27x96] NORM1: Normalization layer
5. [27x27x256] CONV2: 256 5\N{MULTIPLICATION SIGN}5 filters at stride 1, pad 2
6. [13x13x256] MAX POOL2: 3\N{MULTIPLICATION SIGN}3 filters at stride 2
7. [13x13x256] NORM2: Normalization layer
8. [13x13x384] CONV3: 384 3\N{MULTIPLICATION SIGN}3 filters at stride 1, pad 1
9. [13x13x384] CONV4: 384 3\N{MULTIPLICATION SIGN}3 filters at stride 1, pad 1
10. [13x13x256] CONV5: 256 3\N{MULTIPLICATION SIGN}3 filters at stride 1, pad 1
11. [6x6x256] MAX POOL3: 3\N{MULTIPLICATION SIGN}3 filters at stride 2
12. [4096] FC6: 4096 neurons
13. [4096] FC7: 4096 neurons
14. [1000] FC8: 1000 neurons (class scores)
"""

ALEXNET = """
every conv: relu
every fc: relu -> dropout 0.5
[227x227x3] input
[55x55x96]  conv1: 96 11x11 filters at stride 4
[55x55x96]  norm1: response norm
[27x27x96]  pool1: 3x3 max pool at stride 2
[27x27x256] conv2: 256 5x5 filters, pad 2, groups 2
[27x27x256] norm2: response norm
[13x13x256] pool2: 3x3 max pool at stride 2
[13x13x384] conv3: 384 3x3 filters, pad 1
[13x13x384] conv4: 384 3x3 filters, pad 1, groups 2
[13x13x256] conv5: 256 3x3 filters, pad 1, groups 2
[6x6x256]   pool5: 3x3 max pool at stride 2
[4096]      fc6: 4096 neurons
[4096]      fc7: 4096 neurons
[1000]      fc8: 1000 neurons
"""

INCEPTION = """
every conv: relu
part inception a b c d e p:
    module: side by side
        1x1: a 1x1 filters
        3x3_reduce: b 1x1 filters -> 3x3: c 3x3 filters, pad 1
        5x5_reduce: d 1x1 filters -> 5x5: e 5x5 filters, pad 2
        pool: 3x3 max pool, pad 1 -> pool_proj: p 1x1 filters
[28x28x192] input
[28x28x256] inception_3a: inception 64 96 128 16 32 32
[28x28x480] inception_3b: inception 128 128 192 32 96 64
"""

RESIDUAL = """
every conv: batch norm
part bottleneck narrow width: residual
    conv1: narrow 1x1 filters, no bias -> relu
    conv2: narrow 3x3 filters, pad 1, no bias -> relu
    conv3: width 1x1 filters, no bias
[56x56x64]  input
[56x56x256] conv2_1: residual
    conv1: 64 1x1 filters, no bias -> relu
    conv2: 64 3x3 filters, pad 1, no bias -> relu
    conv3: 256 1x1 filters, no bias
    shortcut: 256 1x1 filters, no bias
[56x56x256] conv2_2 to conv2_3: bottleneck 64 256
"""


def _parameters(text: str) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in build(read(text)).parameters())


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        (AS_PRINTED, 62_378_344),  # one column: the merged AlexNet
        (ALEXNET, 60_965_224),
        (INCEPTION, 163_696 + 388_736),  # papers: 3a and 3b of Table 1
        # 1x1, 3x3, 1x1, two values per map for each normalisation, and the projection
        (RESIDUAL, 75_008 + 2 * 70_400),
        ("[8x8x3] input\nconv: 4 3x5 filters, pad 1x2", 4 * 3 * 3 * 5 + 4),
    ],
)
def test_a_design_has_the_parameters_that_arithmetic_gives(text, parameters):
    assert _parameters(text) == parameters


def test_the_listing_as_it_is_printed_has_no_rectifier():
    warning, head = warnings(read(AS_PRINTED))
    assert "no non-linearity between CONV1 and CONV2, CONV2 and CONV3" in warning
    # 58,631,144 of 62,378,344, and of 60,965,224
    assert head == "FC6 to FC8 hold 94 % of the parameters"
    assert warnings(read(ALEXNET)) == ["fc6 to fc8 hold 96 % of the parameters"]


def test_names_of_layers_that_follow_are_those_of_the_catalogue(on_meta):
    names = [name for name, _ in on_meta(build, read(ALEXNET)).named_children()]
    assert names[:4] == ["conv1", "relu1", "norm1", "pool1"]
    assert names[-8:] == ["flatten", "fc6", "relu6", "drop6", "fc7", "relu7", "drop7", "fc8"]


def test_a_layer_that_is_written_is_not_added_again(on_meta):
    text = "every conv: relu\n[4x4x1] input\nconv1: 2 3x3 filters -> act: relu\nfc: 3 neurons"
    names = [name for name, _ in on_meta(build, read(text)).named_children()]
    assert names == ["conv1", "act", "flatten", "fc"]


def test_every_adds_nothing_where_it_follows_later_in_the_line(on_meta):
    text = (
        "every conv: relu\n[4x4x1] input\nconv1: 2 3x3 filters -> batch norm -> relu\nfc: 3 neurons"
    )
    names = [name for name, _ in on_meta(build, read(text)).named_children()]
    assert names == ["conv1", "bn1", "relu1", "flatten", "fc"]


def test_a_follower_that_comes_twice_is_written_and_read():
    layers = {"conv1": nn.Conv2d(1, 2, 1), "relu1": nn.ReLU(), "drop1": nn.Dropout(0.1)}
    more = {"relu1_2": nn.ReLU(), "conv2": nn.Conv2d(2, 2, 1), "relu2": nn.ReLU()}
    network = Network({**layers, **more, "flatten": nn.Flatten(), "fc": nn.Linear(32, 2)})
    again = build(read(write(describe(network, (1, 4, 4)))))
    assert [n for n, _ in again.named_children()] == [n for n, _ in network.named_children()]


HEAD = "[8x8x3] input\n"
REFUSED = {
    "": "line 1: a design begins with its input, such as [224x224x3] input",
    "hello": "line 1: the first line is the input, such as [224x224x3] input",
    "[8x8] input\nfc: 2 neurons": "line 1: a shape is written [height x width x maps] or [values], "
    "not [8x8]",
    "[0x8x3] input": "line 1: sizes are 1 to 1,000,000, not [0x8x3]",
    HEAD: "line 1: a design has at least one layer after its input",
    HEAD + "  fc: 2 neurons": "line 2: is indented below the input, which has no block",
    HEAD + "\tfc: 2 neurons": "line 2: is indented by a tab; use spaces",
    HEAD + "conv: 4 3x3 filtres": "line 2: '4 3x3 filtres' is not a layer; did you mean ",
    HEAD + "conv1 4 3x3 filters": "line 2: 'conv1 4 3x3 filters' needs a colon after its name",
    HEAD + "a: relu ->": "line 2: an arrow stands between two layers",
    HEAD + "[8x8x3] input": "line 2: the input is written twice; a design has one",
    HEAD + "x: resdual\n    y: relu": "'resdual' takes no lines below it; did you mean residual?",
    HEAD + "part:\n    y: relu": "line 2: a part is written `part NAME number number:`",
    HEAD + "norm: respons norm": "'respons norm' is not a layer; did you mean 'response norm'",
    HEAD + "conv: 4 3x3 filters, group 2": "line 2: 'conv' has no option 'group 2'; did you mean "
    "groups 2? it has at stride N, pad N, groups N, no bias, with bias",
    HEAD + "conv: 4 3x3 filters, padding 1": "has no option 'padding 1'; did you mean pad 1? it",
    HEAD + "conv: 4 3x3 filters, strides 2": "did you mean at stride 2? it has",
    HEAD + "relu: relu, pad 1": "line 2: 'relu' has no option 'pad 1'; it takes none",
    HEAD + "conv: a 3x3 filters": "line 2: maps of 'conv' cannot be 'a'; a whole number",
    HEAD + "conv: 0 3x3 filters": "line 2: maps of 'conv' cannot be '0'; a whole number",
    HEAD + "conv: 9999999999 3x3 filters": "line 2: maps of 'conv' cannot be '9999999999'; a ",
    HEAD + "conv: 4 3x3 filters at stride 2, stride 3": "line 2: 'conv' has two values of stride",
    HEAD + "drop: dropout 1": "line 2: dropout of 'drop' cannot be '1'; a number from 0",
    HEAD + "forward: relu": "line 2: 'forward' is an attribute of every torch.nn.Module",
    HEAD + "a.b: relu": "line 2: a name has up to 80 letters, digits and _; not 'a.b'",
    HEAD + "x: relu\nx: relu": "line 3: x is used twice, first in line 2",
    HEAD + "x:": "line 2: 'x' names no layer, and has no lines below it",
    HEAD + "x: residual": "line 2: 'residual' has no lines below it; indent them by four spaces",
    HEAD + "x: relu\n    y: relu": "line 2: 'relu' takes no lines below it",
    HEAD + "x:\n    y: relu\n  z: relu": "line 4: is indented by 2 spaces; the lines above it by 4",
    HEAD + "c2 to c1: relu": "line 2: c2 to c1 is not a range",
    HEAD + "c1 to c1000000000: relu": "line 2: c1 to c1000000000 are more than 20,000",
    HEAD + "part p a:\n    x: a neurons\ny: p 1 2": "line 4: p takes 1 number (a) and got 2",
    HEAD + "y: p\npart p:\n    x: relu": "line 2: part p is defined in line 3; define it above",
    HEAD + "part p:\n    x: p\ny: p": "line 3: part p uses itself; a part uses only parts above it",
    HEAD + "part relu:\n    x: relu\ny: relu": "line 2: 'relu' is a word of the notation",
    HEAD + "part p:\n    x: relu\npart p:\n    x: relu\ny: p": "line 4: part p is written twice",
    HEAD + "every pool: relu\nx: relu": "line 2: every is for conv, subsample, fc, not 'pool'",
    HEAD + "every conv:\nx: relu": "line 2: every conv says nothing",
    HEAD + "every conv: relu\nevery conv: relu\nx: relu": "line 3: every conv is written twice",
    HEAD + "s: side by side\n    relu": "line 3: a line side by side needs a name",
    HEAD + "r: residual\n    shortcut: relu": "line 2: residual has at least one line besides",
    HEAD
    + "c: 2 3x3 filters, by table\n    X": "line 3: a row of the table has an X or a . for each "
    "of 2 maps",
    HEAD + "c: 2 3x3 filters, by table\n    X .": "line 2: a map of the table reads nothing",
}


@pytest.mark.parametrize(("text", "message"), REFUSED.items())
def test_what_is_not_a_design_is_refused_with_its_line(text, message):
    with pytest.raises(ValueError, match="line ") as refusal:
        read(text)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


MISFITS = {
    "[6x6x4] conv: 4 3x3 filters at stride 2": "line 2: conv gives [3x3x4], and [6x6x4] is "
    "written; (8 - 3) / 2 + 1 = 3.5, rounded down",
    "[4x6x6] conv: 4 3x3 filters": "line 2: conv gives [6x6x4], and [4x6x6] is written; maps are "
    "written last",
    "[8x8x4] conv: 4 3x3 filters": "(8 - 3) / 1 + 1 = 6; pad 1 would give [8x8x4]",
    "[6x6x5] conv: 4 3x3 filters": "line 2: conv gives [6x6x4], and [6x6x5] is written",
    "conv: 4 9x9 filters": "line 2: conv, 4 9x9 filters, has windows of 9 pixels and gets [8x8x3]",
    "conv: 4 3x3 filters, groups 2": "line 2: conv, 4 3x3 filters, has 3 maps in and 4 "
    "out, which do not divide into 2 groups",
    "pool: 3x3 max pool, pad 2": "line 2: pool is padded by 2, more than half of its window of 3",
    "fc: 4 neurons\nconv: 4 1x1 filters": "4 1x1 filters, reads maps, and gets [4] values",
    "r: residual\n    conv: 4 3x3 filters, pad 1": "line 2: r gives [8x8x4] and its input is "
    "[8x8x3]; they are added; a shortcut of 4 1x1 filters would fit",
    "r: residual\n    conv: 4 3x3 filters at stride 2, pad 1": "a shortcut of 4 1x1 filters at "
    "stride 2 would fit",
    "r: residual\n    c: 4 3x3 filters, pad 1\n    shortcut: 5 1x1 filters": "line 2: r gives "
    "[8x8x4] and its shortcut gives [8x8x5]; they are added",
    "s: side by side\n    a: 4 3x3 filters\n    b: 4 1x1 filters": "line 2: the branches of s do "
    "not fit: a gives [6x6x4], b [8x8x4]",
    "x:\n    a: aside\n        fc: 2 neurons": "line 3: a is aside within a block",
    "a: 1000000 999999x999999 filters, pad 999999": "filters, has more than 10,000,000,000",
    "a: 1000000 1x1 filters\nb: 9999 1x1 filters": "line 3: with b the network has more than",
    "a: 1 1x1 filters, pad 99999": "line 2: a gives [200006x200006x1], more than",
    "a: 2 neurons\nb: aside\n    c: 3 neurons": "line 2: a gives scores of 2 classes, and another "
    "branch of 3",
}


@pytest.mark.parametrize(("lines", "message"), MISFITS.items())
def test_layers_that_do_not_fit_are_refused_with_the_arithmetic(lines, message):
    with pytest.raises(ValueError, match="line ") as refusal:
        build(read(HEAD + lines))
    assert message in str(refusal.value)


@pytest.mark.parametrize("kind", ["a named pipe", "a device"])
def test_a_design_is_read_from_a_regular_file_only(tmp_path, kind):
    path = tmp_path / "x.net"
    os.mkfifo(path) if kind == "a named pipe" else path.symlink_to("/dev/zero")
    with pytest.raises(ValueError, match=f"cannot read .*: it is {kind}, not a regular file$"):
        read_text(path)


def test_a_side_branch_may_be_the_last_line():
    text = HEAD + "a: 2 neurons\nb: aside\n    c: 2 neurons"
    scores, beside = build(read(text), classes=5).train()(torch.rand(3, 3, 8, 8))
    assert scores.shape == beside.shape == (3, 5)


def test_a_part_that_is_not_used_is_a_warning():
    text = "part p n:\n    c: n 1x1 filters\n" + HEAD + "f: 2 neurons"
    assert warnings(read(text)) == ["part p is not used"]


def test_repeats_of_repeats_are_refused_before_anything_is_built(within):
    parts = ["part p0:\n    a: relu\n    b: relu"]
    parts += [f"part p{i}:\n    a: p{i - 1}\n    b: p{i - 1}" for i in range(1, 30)]
    text = "\n".join([*parts, "[8x8x3] input", "x: p29"])

    def refuse():
        with pytest.raises(ValueError, match=r"nested more than 20 deep|more than 20,000 layers"):
            build(read(text))
        wide = "part p:\n    a1 to a20000: relu\n[8x8x3] input\nx1 to x20000: p"
        with pytest.raises(ValueError, match="more than 20,000 layers"):
            build(read(wide))
        unnamed = f"every conv: relu\n{HEAD}" + "1 1x1 filters\n" * 6_000
        with pytest.raises(ValueError, match="'0 1x1 filters' cannot be '0'"):
            read(unnamed + "0 1x1 filters")
        shapes(read(f"every conv: relu\n{HEAD}" + "1 1x1 filters\n" * 2_000))

    within(15, refuse)


def _mutated(text: str, rng: random.Random) -> str:
    """A text with some of its characters, words or lines changed, moved, doubled or gone."""
    lines = text.splitlines()
    for _ in range(rng.randint(1, 3)):
        i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
        words = lines[i].split(" ")
        k = rng.randrange(len(words))
        kind = rng.randrange(7)
        if kind == 0:
            words[k] = rng.choice(
                ("", "0", "-1", "10000000", "a", "x", "3x3", "relu", ":", "->", "[")
            )
        elif kind == 1:
            words[k] = words[k][::-1]
        elif kind == 2:
            words.insert(k, rng.choice(lines[j].split(" ")))
        elif kind == 3 and lines[i]:
            at = rng.randrange(len(lines[i]))
            words = (lines[i][:at] + rng.choice("#():,x[]\t \u00d7é0/") + lines[i][at + 1 :]).split(
                " "
            )
        lines[i] = " ".join(words)
        if kind == 4:
            lines[i], lines[j] = lines[j], lines[i]
        elif kind == 5:
            lines.insert(j, lines[i])
        elif kind == 6 and len(lines) > 1:
            del lines[i]
    return "\n".join(lines)


def _refusal(text: str) -> str:
    """Why a text is not the design of a network; empty if it is one."""
    try:
        shapes(read(text))
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("count", [300, pytest.param(2500, marks=pytest.mark.slow)])
@pytest.mark.parametrize("text", [AS_PRINTED, ALEXNET, INCEPTION, RESIDUAL])
def test_a_mutated_file_is_a_network_or_one_sentence_with_a_line(text, count, within):
    rng = random.Random(text)
    built = refused = 0
    for _ in range(count):  # 10,000 in all
        mutated = _mutated(text, rng)
        message = within(2, lambda text=mutated: _refusal(text))
        built, refused = built + (not message), refused + bool(message)
        assert not message or re.fullmatch(r"line \d+: .+", message), (message, mutated)
    assert built > 10
    assert refused > 50


class _Own(nn.Module):
    def forward(self, x):
        return x


SHARED = nn.ReLU()
FOREIGN = {
    "the network is a _Own, which has its own forward": _Own(),
    "1 is _Own()": nn.Sequential(nn.ReLU(), _Own()),
    "conv is Conv2d(3, 4, kernel_size=(3, 3), stride=(1, 1), dilation=(2, 2))": Network(
        conv=nn.Conv2d(3, 4, 3, dilation=2)
    ),
    "pool is AvgPool2d": Network(pool=nn.AvgPool2d(3, count_include_pad=False, padding=1)),
    "norm is BatchNorm2d": Network(norm=nn.BatchNorm2d(3, affine=False)),
    "act is GELU": Network(act=nn.GELU()),
    "is used twice": Network(a=SHARED, b=SHARED),
    "r.body is a Conv2d, not a chain": Network(
        r=Residual(nn.Conv2d(3, 3, 1), nn.Identity(), nn.ReLU())
    ),
    "s.a.x is GELU": Network(s=Concat({"a": chain(x=nn.GELU())})),
}


@pytest.mark.parametrize(("message", "network"), FOREIGN.items())
def test_a_module_that_a_design_cannot_hold_is_named(message, network):
    with pytest.raises(ValueError, match=r"design|used twice|not a chain") as refusal:
        describe(network, (3, 8, 8))
    assert message in str(refusal.value)


def test_a_sequential_of_your_own_is_written():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
    text = write(describe(network, (3, 8, 8)))
    again = build(read(text))
    again.load_state_dict(network.state_dict())
    images = torch.rand(2, 3, 8, 8)
    assert torch.equal(again(images), network(images))


def test_every_puts_nothing_between_a_convolution_and_its_batch_norm():
    head = "every conv: relu\n[8x8x1] input\nconv1: 4 3x3 filters"
    tail = "\nconv2: 4 3x3 filters\nfc: 2 neurons"
    kinds = {
        "": ["Conv2d", "ReLU"],
        " -> batch norm": ["Conv2d", "BatchNorm2d"],
        " -> batch norm -> relu": ["Conv2d", "BatchNorm2d", "ReLU"],
        " -> relu -> batch norm": ["Conv2d", "ReLU", "BatchNorm2d"],
    }
    for written, first in kinds.items():
        network = build(read(head + written + tail))
        modules = [type(one).__name__ for one in network.children()]
        assert modules == [*first, "Conv2d", "ReLU", "Flatten", "Linear"]
        again = build(read(write(describe(network, (1, 8, 8)))))
        assert [type(one).__name__ for one in again.children()] == modules
