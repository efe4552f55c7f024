"""The papers' moves: figures by hand arithmetic, and laws for any design and any sequence."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st

import classicnets as cn
from classicnets.api.design import describe_network
from classicnets.designs.build import build
from classicnets.designs.moves import MOVES, find_move
from classicnets.designs.reader import read
from classicnets.designs.tree import Design
from classicnets.designs.writer import write
from classicnets.measure import measure

# two convolutions of C = 8 maps on 16x16 pixels, a 2x2 pool, fully connected layers of 32 and 10
PLAIN = """
every conv: relu
[16x16x8] input
conv1: 8 3x3 filters, pad 1
conv2: 8 {k}x{k} filters, pad {p}
pool2: 2x2 max pool at stride 2
fc3: 32 neurons -> relu
fc4: 10 neurons
"""
FIVE, SEVEN = PLAIN.format(k=5, p=2), PLAIN.format(k=7, p=3)
C, PIXELS = 8, 16 * 16

RUN = """
every conv: relu
[8x8x3] input
conv1: 12 3x3 filters, pad 1
pool1: 2x2 max pool at stride 2
conv2: 12 3x3 filters, pad 1
conv3: 12 3x3 filters, pad 1
conv4: 6 3x3 filters, pad 1
fc5: 10 neurons
"""

BLOCK = """
every conv: batch norm
[8x8x16] input
block1: residual
    conv1: 16 3x3 filters, pad 1, no bias -> relu
    conv2: 16 3x3 filters, pad 1, no bias
block2: residual
    conv1: 32 3x3 filters at stride 2, pad 1, no bias -> relu
    conv2: 32 3x3 filters, pad 1, no bias
    shortcut: add 16 zero maps at stride 2
average: global average
fc: 10 neurons
"""

FIRST = """
every conv: relu
[67x67x3] input
conv1: 4 11x11 filters at stride 4
pool1: 3x3 max pool at stride 2
conv2: 8 5x5 filters, pad 2
fc3: 10 neurons
"""

LENET = """
every conv: squash
every subsample: squash
[12x12x1] input
C1: 4 5x5 filters
S2: subsample
F3: 12 neurons -> squash
F4: 10 neurons
"""


def after(text: str, name: str, at: str = "") -> Design:
    return find_move(name).apply(read(text), at).design


def figures(design: Design) -> tuple[int, int, int]:
    """Parameters with those of auxiliary heads, multiply-adds, and the field of the last layer."""
    with torch.device("meta"):
        network = build(design)
    report = measure(network, design.input)
    field = report.totals.receptive_field
    assert isinstance(field, int)
    return sum(p.numel() for p in network.parameters()), report.totals.macs, field


# what changes: parameters, multiply-adds, and the field before and after. A pool of 2x2 at stride 2
# follows fields of 3 + 4 = 7, and the first fully connected layer sees 8 of its values per side:
# 7 + 1 + 7 x 2 = 22
CASES = [
    (FIVE, "two-3x3", -7 * C * C + C, -7 * C * C * PIXELS, 22, 22),
    # 49 C C + C to 27 C C + 3 C; 3 + 6 + 1 + 14
    (SEVEN, "three-3x3", -22 * C * C + 2 * C, -22 * C * C * PIXELS, 24, 24),
    # fc3 reads 8 values, not 8 x 8 x 8
    (FIVE, "global-average", -63 * C * 32, -63 * C * 32, 22, 22),
    (FIVE, "1x1-convolution", C * C + C, C * C * PIXELS, 22, 22),
    # 8 to 4 maps, and 5x5 of 4 maps for 5x5 of 8
    (FIVE, "1x1-reduction", C * 4 + 4 - 25 * 4 * C, (C * 4 - 25 * 4 * C) * PIXELS, 22, 22),
    # two convolutions lose C biases and get a scale and a shift
    (FIVE, "batch-norm", 2 * C, 0, 22, 22),
    (FIVE, "overlapping-pooling", 0, 0, 22, 23),
    (FIVE, "average-pooling", 0, 0, 22, 22),
    # conv2 gives 8 x 8 pixels; 7 + 7 x 2
    (FIVE, "strided-convolution", 0, -25 * C * C * (PIXELS - PIXELS // 4), 22, 21),
    (FIVE, "subsampling", 2 * C, 0, 22, 22),
    (FIVE, "squash", 0, 0, 22, 22),
    (FIVE, "dropout", 0, 0, 22, 22),
    # 12, 12, 6 to 16, 32, 12 on 4x4 pixels; the fully connected layer reads 12 maps, not 6
    (
        RUN,
        "wider-middle",
        (9 * (12 * 16 + 16 * 32 + 32 * 12) + 60) - (9 * (12 * 12 * 2 + 12 * 6) + 30) + 16 * 6 * 10,
        16 * 9 * ((12 * 16 + 16 * 32 + 32 * 12) - (12 * 12 * 2 + 12 * 6)) + 16 * 6 * 10,
        22,
        22,
    ),
    # 3 + 1 + 2 x 2 x 3 + 3 x 2 = 22
    (RUN, "shortcut-2", 0, 0, 22, 22),
    # 16 4x4 filters less in the middle of each block: 1x1, 3x3, 1x1 of 4 maps, and of 8 in block2,
    # whose first layer is at stride 2; two batch norms of C maps become two of C / 4 and one of C
    (
        BLOCK,
        "bottleneck",
        (16 * 4 + 9 * 16 + 4 * 16 - 2 * 9 * 256 + 2 * (2 * 4 - 16))
        + (16 * 8 + 9 * 64 + 8 * 32 - 9 * 16 * 32 - 9 * 1024 + 2 * (2 * 8 - 32)),
        64 * (16 * 4 + 9 * 16 + 4 * 16 - 2 * 9 * 256)
        + 16 * (16 * 8 + 9 * 64 + 8 * 32 - 9 * 16 * 32 - 9 * 1024),
        # 5 + 2 + 4 + 3 x 2, and 3 + 4 + 3 x 2 where a block has one 3x3; the second at stride 2
        17,
        13,
    ),
    # 1x1 from 16 to 32 maps on 4x4 pixels, and its batch norm
    (BLOCK, "projection-shortcut", 16 * 32 + 2 * 32, 16 * 32 * 16, 17, 17),
    # 11x11/4 on 67 gives 15x15, then 7x7 and 7x7; 7x7/2 gives 31, then 15, and 8 at stride 2
    (
        FIRST,
        "smaller-first-window",
        4 * 3 * (49 - 121) + 8 * 10 * (64 - 49),
        4 * 3 * (49 * 31**2 - 121 * 15**2) + 25 * 4 * 8 * (64 - 49) + 8 * 10 * (64 - 49),
        # 11 + 2 x 4 + 4 x 8 + 6 x 8; 7 + 2 x 2 + 4 x 4 + 7 x 8
        99,
        83,
    ),
    (LENET, "relu", 0, 0, 12, 12),
    # 4 coefficients and 4 biases less
    (LENET, "average-pooling", -8, 0, 12, 12),
]


@pytest.mark.parametrize(
    ("text", "name", "params", "macs", "field", "wider"), CASES, ids=[c[1] for c in CASES]
)
def test_a_move_changes_what_arithmetic_says(text, name, params, macs, field, wider):
    before, moved = figures(read(text)), figures(after(text, name))
    assert (moved[0] - before[0], moved[1] - before[1]) == (params, macs)
    assert (before[2], moved[2]) == (field, wider)


def test_an_inception_module_has_the_shares_of_3a():
    text = FIVE.replace("conv2: 8 5x5 filters, pad 2", "conv2: 32 3x3 filters, pad 1")
    design = after(text, "inception")
    # 8, 12 to 16, 2 to 4, 4 maps for 32: 64, 96 to 128, 16 to 32, 32 for 256
    module = (8 * 8 + 8) + (8 * 12 + 12) + (9 * 12 * 16 + 16)
    module += (8 * 2 + 2) + (25 * 2 * 4 + 4) + (8 * 4 + 4)
    assert figures(design)[0] - figures(read(text))[0] == module - (9 * 8 * 32 + 32)
    assert "\n[16x16x32]  inception2: side by side\n" in write(design)


def test_global_average_takes_48_of_49_weights_of_vgg_ds_first_full_layer():
    found = cn.apply_move("vgg_d", "global-average")
    reports = (found.difference.before, found.difference.after)
    rows = [row for report in reports for row in report.layers if row.name == "fc6"]
    before, now = (row.params - 4096 for row in rows)
    assert (before, now) == (7 * 7 * 512 * 4096, 512 * 4096)
    assert before == 49 * now
    assert found.after.params == cn.find("vgg_d_gap").params


@pytest.mark.parametrize(
    ("name", "move", "params"),
    [
        ("zfnet", "wider-middle", 107_627_624),  # zfnet_wide
        ("resnet34_a", "projection-shortcut", 21_797_672),  # option B
        ("resnet50", "zero-maps-shortcut", 22_780_456),  # option A
    ],
)
def test_a_move_on_one_network_of_a_paper_gives_another(name, move, params):
    design = find_move(move).apply(describe_network(name)).design
    assert figures(design)[0] == params


def test_an_auxiliary_head_is_googlenets_in_proportion():
    text = "[14x14x512] input\npool1: 3x3 max pool, pad 1\naverage: global average\nfc: 9 neurons"
    design = after(text, "auxiliary-head")
    # arXiv:1409.4842, section 5: 5x5/3 gives 4x4x512, then 128 maps, 1024 neurons, the classes
    head = (512 * 128 + 128) + (4 * 4 * 128 * 1024 + 1024) + (1024 * 9 + 9)
    assert figures(design)[0] - figures(read(text))[0] == head
    assert figures(design)[1] == figures(read(text))[1]  # it does not run in evaluation
    scores, aside = build(design).train()(torch.rand(2, 512, 14, 14))
    assert scores.shape == aside.shape == (2, 9)


def test_a_shortcut_adds_what_comes_in():
    design = after(RUN.replace("6 3x3", "12 3x3"), "shortcut-3")
    network = build(design).eval()
    block = network.get_submodule("block2")
    for parameter in block.parameters():
        torch.nn.init.zeros_(parameter)
    maps = torch.rand(1, 12, 4, 4)
    assert torch.equal(block(maps), maps)


def test_two_layers_of_3x3_read_the_same_pixels_as_one_of_5x5():
    text = "[9x9x1] input\nconv1: 1 5x5 filters at stride 2, pad 1 -> relu\nfc: 2 neurons"
    for design in (read(text), after(text, "two-3x3")):
        network = build(design).double()
        images = torch.rand(1, 1, 9, 9, dtype=torch.double, requires_grad=True)
        stages = list(network.children())
        maps = images
        for stage in stages[: [type(s).__name__ for s in stages].index("Flatten")]:
            for parameter in stage.parameters():
                torch.nn.init.ones_(parameter)
            maps = stage(maps)
        assert maps.shape == (1, 1, 4, 4)
        (gradient,) = torch.autograd.grad(maps[0, 0, 1, 1], images)
        seen = gradient[0, 0].nonzero()
        assert (seen.min().item(), seen.max().item()) == (1, 5)


# --- laws


@st.composite
def designs(draw) -> str:
    """A small design of convolutions, pools, blocks and fully connected layers that builds."""
    lines = ["conv0: 8 {0}x{0} filters, pad {1}".format(*draw(st.sampled_from([(3, 1), (7, 3)])))]
    for number in range(1, draw(st.integers(1, 5)) + 1):
        lines += draw(st.sampled_from(STAGES)).replace("N", str(number)).split("\n")
    ends = ["average: global average\n", "", "drop: dropout 0.5\n", "hidden: 12 neurons -> relu\n"]
    end = draw(st.sampled_from(ends)) + "fc: 3 neurons"
    heads = draw(st.sampled_from(["every conv: relu\n", "every conv: squash\n", ""]))
    return heads + "\n".join(["[20x20x3] input", *lines, end])


STAGES = (
    "convN: 8 3x3 filters, pad 1",
    "convN: 16 5x5 filters, pad 2",
    "convN: 8 7x7 filters, pad 3, groups 2",
    "convN: 16 3x3 filters, pad 1, no bias -> batch norm -> relu",
    "convN: 8 1x1 filters",
    "convN: 8 3x3 filters at stride 2, pad 1",
    "poolN: 2x2 max pool at stride 2, round up",
    "poolN: 3x3 max pool, pad 1",
    "poolN: 2x2 average pool at stride 2, round up",
    "SN: subsample",
    "normN: response norm",
    "blockN: residual\n    conv1: 8 3x3 filters, pad 1 -> relu\n    conv2: 8 3x3 filters, pad 1\n"
    "    shortcut: 8 1x1 filters",
    "modN: side by side\n    1x1: 8 1x1 filters\n    3x3_reduce: 4 1x1 filters -> 3x3: 8 3x3 "
    "filters, pad 1\n    pool: 3x3 max pool, pad 1 -> pool_proj: 8 1x1 filters",
    "stageN:\n    conv1: 8 3x3 filters, pad 1 -> relu\n    conv2: 8 5x5 filters, pad 2 -> relu",
)

SEQUENCES = st.lists(st.sampled_from([move.name for move in MOVES]), min_size=1, max_size=4)
SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much]


def applied(name: str, design: Design) -> tuple[Design, str]:
    """The design after a move, or as it was and why."""
    try:
        return find_move(name).apply(design).design, ""
    except ValueError as error:
        return design, str(error)


def keeps_the_laws(design: Design, names: list[str]) -> None:
    """Each move that applies gives a design that builds, trains, and is written as it is read."""
    classes = figures_of_end(design)
    for name in names:
        design, refused = applied(name, design)
        assert refused.startswith(f"{name} does not") or not refused
        text = write(design)
        assert write(read(text)) == text
        assert figures_of_end(design) == classes
    network = build(design).train()
    scores = network(torch.rand(3, *design.input))
    outputs = scores if isinstance(scores, tuple) else (scores,)
    assert all(out.shape == (3, classes) for out in outputs)
    sum(out.square().mean() for out in outputs).backward()
    for parameter in network.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


def figures_of_end(design: Design) -> int:
    with torch.device("meta"):
        return build(design).eval()(torch.empty(1, *design.input)).shape[1]


@given(designs(), SEQUENCES)
@settings(max_examples=15, deadline=None, suppress_health_check=SLOW, derandomize=True)
def test_any_moves_on_any_design_give_a_design_that_trains(text, names):
    try:
        design = read(text)
        build(design)
    except ValueError:  # two parts of it do not fit together
        return
    keeps_the_laws(design, names)


SMALL = {
    "lenet5": ("1", (1, 32, 32)),
    "alexnet": ("1/16", (3, 64, 64)),
    "zfnet": ("1/16", (3, 64, 64)),
    "vgg_d": ("1/16", (3, 32, 32)),
    "googlenet": ("1/16", (3, 64, 64)),
    "resnet34_a": ("1/16", (3, 32, 32)),
    "resnet50": ("1/16", (3, 32, 32)),
}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * n.startswith("resnet")) for n in SMALL]
)
@given(names=SEQUENCES)
@settings(max_examples=2, deadline=None, suppress_health_check=SLOW, derandomize=True)
def test_any_moves_on_a_network_of_the_catalogue_give_a_design_that_trains(name, names):
    width, size = SMALL[name]
    keeps_the_laws(read(cn.design(name, width=width, size=size, classes=5)), names)


@pytest.mark.parametrize("move", MOVES, ids=lambda move: move.name)
def test_every_move_applies_to_some_network_and_says_what_it_looks_for(move):
    texts = (FIVE, SEVEN, RUN, BLOCK, FIRST, LENET, RUN.replace("6 3x3", "16 3x3"))
    texts += (BLOCK.replace("add 16 zero maps", "32 1x1 filters"),)
    done: list[Design] = []
    for text in texts:
        design, refused = applied(move.name, read(text))
        if refused:
            assert refused == f"{move.name} does not apply here: it looks for {move.looks_for}"
        else:
            done.append(design)
    assert 0 < len(done) < len(texts)
    assert all(f"{move.name} at " in d.comment and move.source in d.comment for d in done)
