"""Draws the figures of the documentation: `python docs/figures/draw.py` writes the SVG files.

All six use the same conventions: the input is on the left, a colour is a kind of layer, names are
those of the code, and shapes are the layer's output as maps@height x width.
"""

from html import escape
from pathlib import Path

WIDTH = 800
INK, FAINT, PAPER = "#24292f", "#6a737d", "#fcfbf8"
COLOURS = {
    "image": "#d5d7da",
    "conv": "#3f74b5",
    "conv 1x1": "#8fb4df",
    "pool": "#e8963c",
    "norm": "#a3a9b0",
    "fc": "#4d9a5b",
    "output": "#2f343a",
}


def box(x: float, y: float, w: float, h: float, kind: str) -> str:
    """A rectangle for a layer."""
    return f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="2" fill="{COLOURS[kind]}"/>'


def labelled_box(x: float, y: float, w: float, h: float, kind: str, *lines: str) -> str:
    """A layer with text in it, dark on light colours and white on dark ones."""
    fill = "#ffffff" if kind in ("conv", "fc", "output") else INK
    first = y + h / 2 + 4 - 7 * (len(lines) - 1)
    labels = (text(x + w / 2, first + 14 * i, s, 12 - i, fill=fill) for i, s in enumerate(lines))
    return "\n".join([box(x, y, w, h, kind), *labels])


def text(x: float, y: float, content: str, size: int = 12, **style: str) -> str:
    """A line of text centred at x. Optional style: `anchor`, `fill`, `weight`, `turn` (degrees)."""
    attributes = f'text-anchor="{style.get("anchor", "middle")}" fill="{style.get("fill", INK)}"'
    if "weight" in style:
        attributes += f' font-weight="{style["weight"]}"'
    if "turn" in style:
        attributes += f' transform="rotate({style["turn"]} {x:g} {y:g})"'
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" {attributes}>{escape(content)}</text>'


def notes(y: float, *lines: str) -> list[str]:
    """Lines of text below a drawing."""
    return [text(24, y + 18 * i, line, anchor="start") for i, line in enumerate(lines)]


def path(points: str, dashed: bool = False, arrow: bool = True) -> str:
    """A line along the points of an SVG path."""
    extra = ' marker-end="url(#arrow)"' * arrow + ' stroke-dasharray="4 3"' * dashed
    return f'<path d="{points}" fill="none" stroke="{FAINT}" stroke-width="1.2"{extra}/>'


def arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    """An arrow from one layer to the next."""
    return path(f"M{x1:g} {y1:g} L{x2:g} {y2:g}")


def figure(title: str, height: int, parts: list[str]) -> str:
    """A complete SVG with its title at the top and a legend of the colours at the bottom."""
    legend, x, drawn = [], 24.0, "".join(parts)
    for kind in (kind for kind, colour in COLOURS.items() if f'fill="{colour}"' in drawn):
        legend += [box(x, height - 27, 13, 13, kind)]
        legend += [text(x + 19, height - 16, kind, anchor="start")]
        x += 46 + 6.4 * len(kind)
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}"
 height="{height}" role="img" font-family="Helvetica, Arial, 'Liberation Sans', sans-serif">
<title>{escape(title)}</title>
<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"
 orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="{FAINT}"/></marker></defs>
<rect width="{WIDTH}" height="{height}" fill="{PAPER}"/>
{text(24, 30, title, 15, anchor="start", weight="bold")}
{chr(10).join((*parts, *legend))}
</svg>
"""


def header(x: float, y: float, name: str, window: str) -> list[str]:
    """The name and the kernel of a layer, above it."""
    return [text(x, y, name, weight="bold"), text(x, y + 16, window, 11, fill=FAINT)]


def shape_label(x: float, y: float, shape: str) -> list[str]:
    """The output shape of a layer, below it: maps, then height x width."""
    maps, at, size = shape.partition("@")
    return [text(x, y, maps + at, 11), text(x, y + 14, size, 11)]


# name, kind, kernel, output shape, and the height and width of the drawn slab
LENET = [
    ("input", "image", "", "1@32x32", 160, 5),
    ("C1", "conv", "5x5", "6@28x28", 140, 16),
    ("S2", "pool", "2x2 /2", "6@14x14", 70, 16),
    ("C3", "conv", "5x5, Table I", "16@10x10", 50, 30),
    ("S4", "pool", "2x2 /2", "16@5x5", 25, 30),
    ("C5", "conv", "5x5", "120@1x1", 10, 66),
    ("F6", "fc", "", "84", 84, 10),
    ("output", "output", "RBF", "10", 40, 10),
]

ALEXNET = [
    ("conv1", "conv", "11x11 /4", "96@55x55", 110, 12),
    ("norm1", "norm", "5 maps", "96@55x55", 110, 12),
    ("pool1", "pool", "3x3 /2", "96@27x27", 70, 12),
    ("conv2", "conv", "5x5", "256@27x27", 70, 22),
    ("norm2", "norm", "5 maps", "256@27x27", 70, 22),
    ("pool2", "pool", "3x3 /2", "256@13x13", 44, 22),
    ("conv3", "conv", "3x3", "384@13x13", 44, 30),
    ("conv4", "conv", "3x3", "384@13x13", 44, 30),
    ("conv5", "conv", "3x3", "256@13x13", 44, 22),
    ("pool5", "pool", "3x3 /2", "256@6x6", 26, 22),
    ("fc6", "fc", "", "4096", 110, 8),
    ("fc7", "fc", "", "4096", 110, 8),
    ("fc8", "output", "", "1000", 64, 8),
]

ZFNET = [
    ("conv1", "conv", "7x7 /2", "96@110x110", 190, 12),
    ("pool1", "pool", "3x3 /2", "96@55x55", 120, 12),
    ("norm1", "norm", "5 maps", "96@55x55", 120, 12),
    ("conv2", "conv", "5x5 /2", "256@26x26", 76, 22),
    ("pool2", "pool", "3x3 /2", "256@13x13", 50, 22),
    ("norm2", "norm", "5 maps", "256@13x13", 50, 22),
    ("conv3", "conv", "3x3", "384@13x13", 50, 30),
    ("conv4", "conv", "3x3", "384@13x13", 50, 30),
    ("conv5", "conv", "3x3", "256@13x13", 50, 22),
    ("pool5", "pool", "3x3 /2", "256@6x6", 30, 22),
    ("fc6", "fc", "", "4096", 150, 8),
    ("fc7", "fc", "", "4096", 150, 8),
    ("fc8", "output", "", "1000", 80, 8),
]


def slabs(layers: list, middle: float, above: float, below: float) -> list[str]:
    """Layers from left to right with names above, shapes below and arrows between them."""
    pitch = (WIDTH - 20) / len(layers)
    parts = []
    for i, (name, kind, window, shape, h, w) in enumerate(layers):
        x = 10 + pitch * (i + 0.5)
        if i:
            parts.append(arrow(x - pitch + layers[i - 1][5] / 2 + 3, middle, x - w / 2 - 3, middle))
        parts.append(box(x - w / 2, middle - h / 2, w, h, kind))
        parts += [*header(x, above, name, window), *shape_label(x, below, shape)]
    return parts


def lenet() -> str:
    """Figure 2 of LeCun et al."""
    below = notes(
        318,
        "squash1 to squash6 follow C1 to F6: f(a) = 1.7159 tanh(2a/3).",
        "S2 and S4 add four inputs, multiply by a coefficient and add a bias: two parameters "
        "per map.",
        "output is the negated squared distance of F6 to each of ten digit bitmaps of 7x12 pixels.",
    )
    parts = [*slabs(LENET, 178, 62, 278), *below]
    return figure("lenet5: 60,000 parameters", 400, parts)


def alexnet() -> str:
    """Figure 2 of Krizhevsky et al.: two towers that meet in conv3 and from fc6 on."""
    towers, pitch, parts = (165, 305), (WIDTH - 60) / len(ALEXNET), []
    for n, y in enumerate(towers, start=1):
        parts.append(text(22, y, f"tower {n}", 11, fill=FAINT, turn="-90"))
    for i, (name, kind, window, shape, h, w) in enumerate(ALEXNET):
        x = 46 + pitch * (i + 0.5)
        parts += [*header(x, 62, name, window), *shape_label(x, 380, shape)]
        if kind == "norm":
            parts.append(box(x - w / 2, towers[0] - h / 2, w, towers[1] - towers[0] + h, kind))
        else:
            centres = (235,) if kind == "output" else towers
            parts += [box(x - w / 2, y - h / 2, w, h, kind) for y in centres]
        if not i:
            continue
        start, end = x - pitch + ALEXNET[i - 1][5] / 2 + 3, x - w / 2 - 3
        spread = 0.2 if kind == "output" else 1
        parts += [arrow(start, y, end, 235 + spread * (y - 235)) for y in towers]
        if name in ("conv3", "fc6", "fc7"):
            parts += [arrow(start, a, end, b) for a, b in (towers, towers[::-1])]
    parts += notes(
        424,
        "Shapes are for both towers together. Crossed arrows: the layer reads both towers. conv2, "
        "conv4 and conv5 have groups=2.",
        "relu1 to relu7 follow every conv, fc6 and fc7; drop6 and drop7 follow fc6 and fc7. "
        "Normalisation runs over all maps.",
    )
    return figure("alexnet: images of 3@227x227, 60,965,224 parameters", 488, parts)


def zfnet() -> str:
    """Figure 3 of Zeiler and Fergus."""
    below = notes(
        346,
        "relu1 to relu7 follow every conv, fc6 and fc7. One tower: a convolution reads all maps.",
        "pool1 and pool2 round up. zfnet_wide has 512, 1024 and 512 maps in conv3 to conv5.",
    )
    parts = [*slabs(ZFNET, 192, 62, 306), *below]
    return figure("zfnet: images of 3@224x224, 62,357,608 parameters", 410, parts)


VGG = {
    "vgg_a": ([1, 1, 2, 2, 2], "11 layers", "132.9 M"),
    "vgg_a_lrn": ([1, 1, 2, 2, 2], "11 layers", "132.9 M"),
    "vgg_b": ([2, 2, 2, 2, 2], "13 layers", "133.0 M"),
    "vgg_c": ([2, 2, 3, 3, 3], "16 layers", "133.6 M"),
    "vgg_d": ([2, 2, 3, 3, 3], "16 layers", "138.4 M"),
    "vgg_e": ([2, 2, 4, 4, 4], "19 layers", "143.7 M"),
}


def vgg() -> str:
    """Table 1 of Simonyan and Zisserman as columns, with the input at the top."""
    most = (2, 2, 4, 4, 4)
    shapes = ("64@224x224", "128@112x112", "256@56x56", "512@28x28", "512@14x14", "fc")
    tops = [84 + 21 * (sum(most[:i]) + i) + 14 * i for i in range(6)]
    parts = []
    for y, shape in zip(tops, shapes, strict=True):
        parts.append(text(28, y + 14, shape, 11, anchor="start", fill=FAINT))
        parts.append(path(f"M24 {y - 8} L780 {y - 8}", dashed=True, arrow=False))
    for i, (name, (counts, layers, millions)) in enumerate(VGG.items()):
        x, w = 122 + 112 * i, 98
        parts += header(x + w / 2, 52, name, f"{layers}, {millions}")
        cells = []
        for block, count in enumerate(counts):
            for j in range(count):
                kind = "conv 1x1" if name == "vgg_c" and j == 2 else "conv"
                cells.append((f"conv{block + 1}_{j + 1}", kind, block, j))
            if name == "vgg_a_lrn" and block == 0:
                cells.append(("norm1", "norm", 0, 1))
            cells.append((f"pool{block + 1}", "pool", block, most[block]))
        cells += [(f"fc{n}", "fc" if n < 8 else "output", 5, n - 6) for n in (6, 7, 8)]
        for label, kind, block, j in cells:
            parts.append(labelled_box(x, tops[block] + 21 * j, w, 19, kind, label))
    return figure("vgg: the columns of Table 1, images of 3@224x224", tops[5] + 108, parts)


# name, kind, number of output maps; the auxiliary heads read 4a and 4d
GOOGLENET = [
    *[("conv1", "conv", 64), ("pool1", "pool", 64), ("norm1", "norm", 64)],
    *[("conv2_reduce", "conv 1x1", 64), ("conv2", "conv", 192), ("norm2", "norm", 192)],
    *[("pool2", "pool", 192), ("inception_3a", "conv", 256), ("inception_3b", "conv", 480)],
    *[("pool3", "pool", 480), ("inception_4a", "conv", 512), ("inception_4b", "conv", 512)],
    *[("inception_4c", "conv", 512), ("inception_4d", "conv", 528), ("inception_4e", "conv", 832)],
    *[("pool4", "pool", 832), ("inception_5a", "conv", 832), ("inception_5b", "conv", 1024)],
    *[("average", "pool", 1024), ("fc", "output", 1000)],
]
# first and last index into the list above, side of the maps
SIDES = [(0, 0, 112), (1, 5, 56), (6, 8, 28), (9, 14, 14), (15, 17, 7), (18, 18, 1)]


def googlenet() -> str:
    """Table 1 of Szegedy et al. at the top, and Figure 2 with the widths of 3a below it."""
    pitch, top, h, parts = 38.0, 56, 128, []
    middle = [24 + pitch * (i + 0.4) for i in range(len(GOOGLENET))]
    for i, (name, kind, maps) in enumerate(GOOGLENET):
        ink = "#ffffff" if kind in ("conv", "output") else INK
        parts.append(box(middle[i] - 14, top, 28, h, kind))
        upright = {"anchor": "start", "fill": ink, "turn": "-90"}
        parts.append(text(middle[i] + 4, top + h - 8, name, 13, **upright))
        parts.append(text(middle[i], top + h + 15, str(maps), 11))
        if i:
            parts.append(arrow(middle[i - 1] + 15, top + h / 2, middle[i] - 15, top + h / 2))
    for first, last, side in SIDES:
        y, left, right = top + h + 24, middle[first] - 14, middle[last] + 14
        parts.append(path(f"M{left:g} {y} L{right:g} {y}", arrow=False))
        parts.append(text((left + right) / 2, y + 14, f"{side}x{side}", 11, fill=FAINT))
    for name, i in (("aux_4a", 10), ("aux_4d", 13)):
        x, y = middle[i], top + h + 66
        parts.append(path(f"M{x:g} {top + h + 19} L{x:g} {y - 3}", dashed=True))
        parts.append(labelled_box(x - 38, y, 76, 22, "output", name))
    parts += notes(top + h + 81, "Below each box: number of maps. Below the lines: their size.")
    parts.append(text(582, top + h + 81, "Auxiliary heads: in training only.", anchor="start"))
    parts += _module(24, 300, "naive, Figure 2(a)", {
        "1x1": [("1x1", "conv 1x1", 64)],
        "3x3": [("3x3", "conv", 128)],
        "5x5": [("5x5", "conv", 32)],
        "pool": [("pool", "pool", 192)],
    }, "64 + 128 + 32 + 192 = 416 maps")  # fmt: skip
    parts += _module(412, 300, "inception_3a, Figure 2(b)", {
        "1x1": [("1x1", "conv 1x1", 64)],
        "3x3": [("3x3_reduce", "conv 1x1", 96), ("3x3", "conv", 128)],
        "5x5": [("5x5_reduce", "conv 1x1", 16), ("5x5", "conv", 32)],
        "pool": [("pool", "pool", 192), ("pool_proj", "conv 1x1", 32)],
    }, "64 + 128 + 32 + 32 = 256 maps")  # fmt: skip
    title = "googlenet: images of 3@224x224, 6,998,552 parameters without the auxiliary heads"
    return figure(title, 540, parts)


def _module(x: float, y: float, title: str, branches: dict, total: str) -> list[str]:
    parts = [text(x, y, title, 13, anchor="start", weight="bold")]
    fork, leave, middle = x + 62, x + 346, y + 88
    parts.append(text(x, middle - 6, "192@28x28", 11, anchor="start"))
    parts.append(path(f"M{x:g} {middle:g} L{fork:g} {middle:g}", arrow=False))
    for i, steps in enumerate(branches.values()):
        centre, left = y + 32 + 38 * i, fork + 38
        parts.append(arrow(fork, middle, left - 3, centre))
        w = 220 if len(steps) == 1 else 102
        for j, (name, kind, maps) in enumerate(steps):
            parts.append(labelled_box(left + 118 * j, centre - 12, w, 24, kind, f"{name}, {maps}"))
        if len(steps) == 2:
            parts.append(arrow(left + 103, centre, left + 117, centre))
        parts.append(arrow(left + 221, centre, leave - 3, centre))
    parts.append(f'<rect x="{leave:g}" y="{y + 18:g}" width="6" height="142" fill="{INK}"/>')
    parts.append(text(x + 352, y + 180, f"concatenation: {total}", 12, anchor="end"))
    return parts


STAGES = [("conv2_x", 3, "64@56x56"), ("conv3_x", 4, "128@28x28"),
          ("conv4_x", 6, "256@14x14"), ("conv5_x", 3, "512@7x7")]  # fmt: skip


def resnet() -> str:
    """Figure 3 of He et al., horizontally, and the two blocks of Figure 5."""
    below = notes(
        280,
        "A bar is a 3x3 convolution with batch normalisation and ReLU. Two bars are a block; the "
        "first is conv2_1.",
        "Dashed: the shortcut changes the width and halves the maps (option A pads with zero maps, "
        "B projects by a 1x1 convolution).",
    )
    basic = [("conv1", "conv", "3x3, 64"), ("bn1", "norm", ""), ("relu1", "", ""),
             ("conv2", "conv", "3x3, 64"), ("bn2", "norm", "")]  # fmt: skip
    narrow = [("conv1", "conv 1x1", "1x1, 64"), ("bn1", "norm", ""), ("relu1", "", ""),
              ("conv2", "conv", "3x3, 64"), ("bn2", "norm", ""), ("relu2", "", ""),
              ("conv3", "conv 1x1", "1x1, 256"), ("bn3", "norm", "")]  # fmt: skip
    parts = [*_chain(46, "plain34", False), *_chain(160, "resnet34", True), *below]
    parts += _unit(346, "conv2_2 of resnet34, Figure 5 left: 64 maps in, 64 out", basic)
    parts += _unit(456, "conv2_2 of resnet50, Figure 5 right: 256 maps in, 256 out", narrow)
    return figure("resnet: the same layers with and without shortcuts", 600, parts)


def _chain(top: float, name: str, shortcuts: bool) -> list[str]:
    middle, x = top + 40, 92.0
    parts = [text(24, middle + 5, name, 13, anchor="start", weight="bold")]
    parts += [arrow(88, middle, 786, middle), text(x + 12, top + 76, "conv1, pool1", 11)]

    def bar(kind: str) -> None:
        nonlocal x
        parts.append(box(x, middle - 20, 10, 40, kind))
        x += 15

    bar("conv")
    bar("pool")
    x += 5
    for number, (stage, blocks, shape) in enumerate(STAGES):
        x += 4
        left = x
        for block in range(blocks):
            if shortcuts:
                start, end, high = x - 6, x + 30, top - 6
                curve = f"M{start} {middle} C{start} {high} {end} {high} {end} {middle - 1}"
                parts.append(path(curve, dashed=number > 0 and block == 0))
            bar("conv")
            bar("conv")
            x += 8
        parts.append(text((left + x - 13) / 2, top + 76, stage, weight="bold"))
        parts.append(text((left + x - 13) / 2, top + 90, shape, 11, fill=FAINT))
    parts.append(text(x + 12, top + 76, "average, fc", 11))
    bar("pool")
    bar("output")
    return parts


def _unit(y: float, title: str, layers: list) -> list[str]:
    middle, high, pitch = y + 56, y + 18, 574 / len(layers)
    parts = [text(24, y, title, 13, anchor="start", weight="bold"), arrow(24, middle, 63, middle)]
    w = min(pitch - 14, 92)
    for i, (name, kind, window) in enumerate(layers):
        at = 66 + i * pitch
        if kind:
            parts.append(labelled_box(at, middle - 17, w, 34, kind, *filter(None, (name, window))))
        else:
            parts.append(_round(at, middle, w, name))
        if i:
            parts.append(arrow(at - pitch + w + 1, middle, at - 1, middle))
    parts.append(arrow(641 - pitch + w, middle, 655, middle))
    parts.append(path(f"M44 {middle} C44 {high} 44 {high} 80 {high} L630 {high} "
                      f"C666 {high} 666 {high} 666 {middle - 12}"))  # fmt: skip
    parts.append(text(350, y + 32, "shortcut", 11, fill=FAINT))
    parts.append(f'<circle cx="666" cy="{middle:g}" r="10" fill="{PAPER}" stroke="{INK}"/>')
    parts += [text(666, middle + 5, "+", 16), arrow(677, middle, 691, middle)]
    parts += [_round(692, middle, 54, "relu"), arrow(747, middle, 776, middle)]
    return parts


def _round(x: float, middle: float, w: float, name: str) -> str:
    place = f'x="{x:g}" y="{middle - 12:g}" width="{w:g}" height="24" rx="12"'
    return f'<rect {place} fill="none" stroke="{FAINT}"/>' + text(x + w / 2, middle + 4, name)


FIGURES = {f"{draw.__name__}.svg": draw for draw in (lenet, alexnet, zfnet, vgg, googlenet, resnet)}

if __name__ == "__main__":
    for place in ("docs/figures", "src/classicnets/web/drawings"):  # of pages, of the web app
        for name, draw in FIGURES.items():
            (Path(__file__).parents[2] / place / name).write_text(draw(), encoding="utf-8")
