"""Messages: what a slip in a design is answered with, as a rule over all layers and options."""

import time
from itertools import permutations
from pathlib import Path

import pytest

from classicnets.designs.build import build
from classicnets.designs.kinds import KINDS, OPTIONS
from classicnets.designs.phrases import written_as
from classicnets.designs.reader import read, read_text

HEAD = "[8x8x3] input\n"
DOCS = Path(__file__).parents[2] / "docs"
WITH_OPTIONS = {written_as(kind): kind for kind in KINDS if kind.options}


def options_of(kind, number="N"):
    """The options of a kind as messages list them."""
    found = [o.replace("{}", number) for o, (slot, _) in OPTIONS.items() if slot in kind.options]
    return [option for option in found if not option.startswith("stride")]


def refusal(lines, head=HEAD):
    with pytest.raises(ValueError, match="line ") as refused:
        build(read(head + lines))
    return str(refused.value)


@pytest.mark.parametrize("layer", WITH_OPTIONS)
def test_a_comma_stands_before_every_option_but_a_stride_after_the_layer(layer):
    options = options_of(WITH_OPTIONS[layer], "1")
    layer = layer.replace("KxK", "3x3").replace("N", "8")
    missing = "line 2: a comma is missing before {!r} in {!r}"
    for option in options:
        read(f"{HEAD}x: {layer}, {option}")
        text = f"{layer} {option}"
        if option == "at stride 1":
            assert read(f"{HEAD}x: {text}") == read(f"{HEAD}x: {layer}, {option}")
        else:
            assert refusal(f"x: {text}, {option}") == missing.format(option, text)
    for one, other in permutations(options, 2):
        text = f"{one} {other}"
        assert refusal(f"x: {layer}, {text}") == missing.format(other, text)


COMMAS = {
    "conv1: 8 3x3 filters at stride 2 pad 1 groups 1 no bias": "a comma is missing before 'pad 1' "
    "in 'at stride 2 pad 1 groups 1 no bias'",
    "conv1: 8 3x3 filters padding 1": "a comma is missing before 'padding 1' in '8 3x3 filters "
    "padding 1'",
    "conv1: 8 3x3 filters, pad 1,": "a comma too many after 'pad 1'",
    "conv1: 8 3x3 filters, , pad 1": "a comma too many after '8 3x3 filters'",
    "conv1: 8 3x3 filters, -> relu": "a comma too many after '8 3x3 filters'",
    "conv1:, 8 3x3 filters": "a comma too many after 'conv1'",
    ", relu": "a comma too many",
    "b: residual,\n    relu": "a comma too many after 'residual'",
    "every conv,: relu": "a comma too many after 'every conv'",
}


@pytest.mark.parametrize(("lines", "message"), COMMAS.items())
def test_a_comma_too_few_or_too_many_is_named_with_its_place(lines, message):
    assert refusal(lines) == f"line 2: {message}"


@pytest.mark.parametrize("layer", ["8 3x3 filters", "2x2 max pool", "10 neurons", "dropout 0.5"])
def test_the_words_of_a_layer_in_another_order_are_answered_with_the_layer(layer):
    for words in permutations(layer.split()):
        if (text := " ".join(words)) != layer and text != "8 3x3":
            means = f"line 2: '{text}' is not a layer; did you mean '{layer}'"
            assert refusal(f"x: {text}, pad 1").startswith(means)


MEANT = {
    "conv1: conv 3x3 8": "'8 3x3 filters'",
    "conv1: conv 8 3x3": "'8 3x3 filters'",
    "conv1: 8 3 x 3 filters": "'8 3x3 filters'",
    "conv1: 3x3 filters": "'N 3x3 filters'",
    "conv1: 8": "'8 KxK filters'",
    "fc: 10": "'10 neurons'",
    "output: 10": "'10 neurons'",
    "fc: linear 10": "'10 neurons'",
    "fc: 10 units": "'10 neurons'",
    "pool: 2x2 pool": "'2x2 max pool' or '2x2 average pool'",
    "pool: maxpool 2x2": "'2x2 max pool' or '2x2 average pool'",
    "max pool 2x2 at stride 2": "'2x2 max pool'",
    "drop: dropout 50%": "'dropout N'",
}


@pytest.mark.parametrize(("line", "meant"), MEANT.items())
def test_what_is_no_layer_is_answered_with_the_likely_one(line, meant):
    assert refusal(line).endswith(f" is not a layer; did you mean {meant}?")


@pytest.mark.parametrize("line", ["conv1 8 3x3 filters", "conv1 = 8 3x3 filters"])
def test_a_name_without_its_colon_is_answered_with_the_line(line):
    assert refusal(line).endswith(" needs a colon after its name, as in conv1: 8 3x3 filters")


def test_a_word_is_the_number_of_maps_only_where_a_part_has_it():
    read(f"part p narrow:\n    x: narrow 3x3\n{HEAD}y: p 8")
    assert refusal("x: narrow 3x3").startswith("line 2: 'narrow 3x3' is not a layer; there are N ")


VALUES = {
    "conv1: 8 3x3 filters, pad -1": "pad of 'conv1' cannot be '-1'; a whole number from 0",
    "conv1: 8 3x3 filters, pad same": "pad of 'conv1' cannot be 'same'; a whole number from 0",
    "conv1: 8 3x3 filters, pad 1x2x3": "pad of 'conv1' cannot be '1x2x3'; a whole number from 0",
    "conv1: 8 3x3 filters at stride 2x0": "stride of 'conv1' cannot be '0'; a whole number from 1",
    "conv1: 2.5 3x3 filters": "maps of 'conv1' cannot be '2.5'; a whole number from 1",
    "conv1: 8 0x3 filters": "window of 'conv1' cannot be '0'; a whole number from 1",
    "norm: response norm, over no maps": "maps of 'norm' cannot be 'no'; a whole number from 1",
    "norm: response norm, alpha -1": "alpha of 'norm' cannot be '-1'; a number from 0",
    "-1 neurons": "neurons of '-1 neurons' cannot be '-1'; a whole number from 1",
}


@pytest.mark.parametrize(("line", "message"), VALUES.items())
def test_a_value_is_refused_with_its_layer_and_what_would_fit(line, message):
    assert refusal(line) == f"line 2: {message} to 1,000,000 would fit"


def test_a_dropout_is_below_one_and_a_number_of_a_part_may_have_a_name():
    for word in ("1", "half", "-0.5"):
        said = f"line 2: dropout of 'drop' cannot be '{word}'; a number from 0 to below 1 would fit"
        assert refusal(f"drop: dropout {word}") == said
    said = "maps of 'c' cannot be 'm'; a whole number from 1 to 1,000,000, or n or k, would fit"
    assert refusal("part p n k:\n    c: m 1x1 filters") == f"line 3: {said}"


MISFITS = {
    "conv1: 8 33x33 filters, pad 1": "conv1, 8 33x33 filters, has windows of 33 pixels and gets "
    "[8x8x3] padded by 1; 10x10 would fit",  # 8 + 2
    "pool: 3x9 max pool, pad 1x0": "pool has windows of 9 pixels and gets [8x8x3]; 10x8 would fit",
    "pool: 5x5 max pool, pad 3": "pool is padded by 3, more than half of its window of 5; pad 2 "
    "would fit",
    "a: 12 1x1 filters -> b: 18 1x1 filters, groups 4": "b, 18 1x1 filters, has 12 maps in and 18 "
    "out, which do not divide into 4 groups; groups 1, 2, 3, 6 would fit",
    "conv1: 8 1x1 filters, groups 2": "conv1, 8 1x1 filters, has 3 maps in and 8 out, which do not "
    "divide into 2 groups; groups 1 would fit",
}


@pytest.mark.parametrize(("line", "message"), MISFITS.items())
def test_a_layer_that_does_not_fit_is_refused_with_what_would(line, message):
    assert refusal(line) == f"line 2: {message}"


def test_an_arrow_may_be_the_sign():
    lines = "a: 8 3x3 filters{0}relu{0}b: 10 neurons"
    assert read(HEAD + lines.format(" \N{RIGHTWARDS ARROW} ")) == read(HEAD + lines.format(" -> "))


def test_channels_that_come_first_are_answered_with_the_order():
    said = "; an input is height x width x maps: did you mean [16x20x1]?"
    for line in ("conv1: 8 3x3 filters", "[8x14x18] conv1: 8 1x3 filters"):
        assert refusal(line, "[1x16x20] input\n").endswith(said)
        assert said not in refusal(line, "[2x16x20] input\n")
        assert said not in refusal(line, "[1x16x1] input\n")


@pytest.mark.parametrize("page", ["designs.md", "zh/designs.md"])
@pytest.mark.parametrize("layer", WITH_OPTIONS)
def test_every_option_of_a_layer_stands_in_its_row_of_the_documentation(page, layer):
    rows = (DOCS / page).read_text().splitlines()
    (row,) = (row for row in rows if row.startswith(f"| `{layer}` |"))
    assert row.split(" | ")[1] == ", ".join(
        f"`{option}`" for option in options_of(WITH_OPTIONS[layer])
    )


FOUND = {
    "c: 6 5x5 filters by table": "line 2: 'c' has no table below it",
    "c: 8 3x3 filters, pad classes": "line 2: pad of 'c' cannot be 'classes'; a whole",
    "c: 8 3x3 filters at stride classes": "line 2: stride of 'c' cannot be 'classes'",
    "n: response norm, over 4 maps": "line 2: n is over 4 maps, an even number; 3 or",
    "n: response norm, over classes maps": "line 2: maps of 'n' cannot be 'classes'",
    "c1 to c3: 8 1x1 filters\nc2: 9 1x1 filters": "line 3: c2 is used twice",
    "flatten: 10 neurons": "line 2: flatten is used twice, by what flattens as well",
    "flatten: 8 3x3 filters": "line 3: flatten is used twice, by what flattens",
    "c1 to c3: 8 1x1 filters -> relu": "line 2: a range of names is for a layer alone",
    "s: side by side\n    a1 to a3: 8 1x1 filters": "line 3: a line side by side is one",
    "c: 8 3x3 filters with pad 1": "line 2: write ', pad 1' without 'with'",
    "c: 8 3x3 filters and pad 1": "line 2: write ', pad 1' without 'and'",
    "c: 8 3x3 filters, with pad 1": "line 2: write ', pad 1' without 'with'",
    "c: 8 3x3 filters at stride 2; pad 1": "line 2: write ', pad 1' without ';'",
}


@pytest.mark.parametrize("text", FOUND)
def test_what_would_be_lost_or_misread_is_refused_at_its_line(text):
    assert refusal(f"{text}\nfc: 2 neurons").startswith(FOUND[text])


def test_a_layer_that_every_adds_twice_under_one_name_is_refused():
    text = f"every conv: act: relu\n{HEAD}a: 8 1x1 filters\nb: 8 1x1 filters\nfc: 2 neurons"
    with pytest.raises(ValueError, match=r"^line 4: act is used twice"):
        build(read(text))


def test_capitals_are_read_as_small_letters_and_a_byte_order_mark_is_left_out(tmp_path):
    small = f"every conv: relu\n{HEAD}c: 8 3x3 filters, pad 1x2\n{{}}\nfc: 2 neurons"
    block = "b: residual\n    d: 8 1x1 filters\n    shortcut: 8 1x1 filters"
    block_shown = block.replace("shortcut:", "Shortcut :")
    large = small.replace("every conv: relu", "EVERY CONV: RELU").replace("8x8x3", "8X8X3")
    large = large.replace("8 3x3 filters, pad 1x2", "8 3X3 FILTERS, PAD 1X2")
    (tmp_path / "x.net").write_text(large.format(block_shown), encoding="utf-8-sig")
    found, expected = read(read_text(tmp_path / "x.net")), read(small.format(block))
    assert str(build(found)) == str(build(expected))


def test_ranges_are_counted_before_they_are_spread():
    lines = "\n".join(f"a{i}_0 to a{i}_20000: relu" for i in range(100))
    began = time.process_time()
    with pytest.raises(ValueError, match=r"^line 2: more than 20,000 layers"):
        build(read(f"{HEAD}{lines}\nfc: 2 neurons"))
    assert time.process_time() - began < 5  # 11 s when all were spread first
