"""Narrow copies of the networks for 16x16 pixels, as designs, that training studies compare."""

from collections.abc import Mapping

from classicnets.models.vgg import TABLE_1

from .lab import Variant

START = "a few hundred steps: the start of learning only"
EIGHTH = f"an eighth of the width on images of 16x16, {START}"
FOUR_BLOCKS = f"an eighth of the width, four of five blocks, images of 16x16, {START}"
TWO_MODULES = f"two narrow modules on images of 16x16, {START}"


def small(text: str, **settings: str) -> Variant:
    """A network for images of 16x16, with settings of its recipe: weights start as by He et al.

    As built their variance is a third of 1 / fan-in, by which ten layers of ReLU learn nothing.
    """
    return Variant(text, {"size": "16", "init": "HeNormal()", **settings})


def in_colour(text: str) -> str:
    """A network that reads images in colour, where the others read them in grey."""
    return text.replace("[16x16x1] input", "[16x16x3] input")


def smalls(designs: Mapping[str, str]) -> dict[str, Variant]:
    """Several, by their names."""
    return {name: small(text) for name, text in designs.items()}


def alexnet(
    act: str = "relu", norm: str = "response norm", pool: str = "3x3", groups: int = 2,
    drop: float = 0.5,
) -> str:  # fmt: skip
    """AlexNet at an eighth of its width for 16x16 pixels, with conv1 of 5x5 and without pool5."""
    norms = [f"norm{k}: {norm}\n" * bool(norm) for k in (1, 2)]
    return f"""every conv: {act}
every fc: {act} -> dropout {drop}

[16x16x1] input
conv1: 12 5x5 filters, pad 2
{norms[0]}pool1: {pool} max pool at stride 2
conv2: 32 5x5 filters, pad 2, groups {groups}
{norms[1]}pool2: {pool} max pool at stride 2
conv3: 48 3x3 filters, pad 1
conv4: 48 3x3 filters, pad 1, groups {groups}
conv5: 32 3x3 filters, pad 1, groups {groups}
fc6: 128 neurons
fc7: 128 neurons
fc8: 10 neurons
"""


def zfnet(first: str = "5x5 filters, pad 2", middle: tuple[int, ...] = (48, 48, 32),
            full: int = 2) -> str:  # fmt: skip
    """ZFNet at an eighth of its width for 16x16 pixels, without pool5."""
    numbered = enumerate(middle, 3)
    convs = "".join(f"conv{k}: {width} 3x3 filters, pad 1\n" for k, width in numbered)
    return f"""every conv: relu
every fc: relu -> dropout 0.5

[16x16x1] input
conv1: 12 {first}
pool1: 3x3 max pool at stride 2, pad 1
norm1: response norm
conv2: 32 5x5 filters, pad 2
pool2: 3x3 max pool at stride 2, pad 1
norm2: response norm
{convs}{"".join(f"fc{k}: 128 neurons{chr(10)}" for k in range(6, 6 + full))}fc8: 10 neurons
"""


def vgg(column: str, head: str = "") -> str:
    """A column at an eighth of its width for 16x16 pixels, without its fifth block."""
    lines = []
    for block, cells in enumerate(TABLE_1[column][:4], 1):
        for i, cell in enumerate(cells, 1):
            if cell == "LRN":
                lines.append(f"norm{block}: response norm")
                continue
            width, k = cell if isinstance(cell, tuple) else (cell, 3)
            lines.append(f"conv{block}_{i}: {width // 8} {k}x{k} filters, pad {k // 2}")
        lines.append(f"pool{block}: 2x2 max pool at stride 2")
    if not head:
        lines += ["fc6: 128 neurons", "fc7: 128 neurons"]
    start = ["every conv: relu", "every fc: relu -> dropout 0.5", "[16x16x1] input"]
    return "\n".join([*start, *lines, *filter(None, [head]), "fc8: 10 neurons"]) + "\n"


def stacks(count: int, k: int) -> str:
    """Three blocks, each of so many convolutions of k x k, and their average."""
    lines = ["every conv: relu", "[16x16x1] input"]
    for block, maps in enumerate((8, 16, 32), 1):
        conv = f"{maps} {k}x{k} filters, pad {k // 2}"
        lines += [f"conv{block}_{i}: {conv}" for i in range(1, count + 1)]
        lines.append(f"pool{block}: 2x2 max pool at stride 2")
    return "\n".join([*lines, "average: global average", "fc: 10 neurons"]) + "\n"


MODULES = """every conv: relu
part inception a b c d e f: side by side
    1x1: a 1x1 filters
    3x3_reduce: b 1x1 filters -> 3x3: c 3x3 filters, pad 1
    5x5_reduce: d 1x1 filters -> 5x5: e 5x5 filters, pad 2
    pool: 3x3 max pool, pad 1 -> pool_proj: f 1x1 filters

[16x16x1] input
conv1: 16 3x3 filters, pad 1
pool1: 2x2 max pool at stride 2
inception_3a: inception 8 12 16 2 4 4
{aux}pool3: 2x2 max pool at stride 2
inception_4a: inception 16 16 32 4 8 8
"""
AVERAGE = "average: global average\ndrop: dropout 0.4\nfc: 10 neurons\n"
HEAD = """aux_3a: aside
    average: 2x2 average pool at stride 2 -> conv: 16 1x1 filters -> relu
    fc: 10 neurons
"""


def inception(end: str = AVERAGE, aux: str = "") -> str:
    """Two modules behind one convolution; `aux` is a head behind the first."""
    return MODULES.format(aux=aux) + end
