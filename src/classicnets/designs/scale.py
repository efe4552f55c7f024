"""Narrower networks, and networks for other images, by stated rules.

Width: every number of maps and neurons times the width, to the nearest whole multiple of the
groups, at least one; the classes stay, and so does what feeds the prototypes, whose codes have 84
values. A convolution by table becomes a full one.

Images that are 2^k times smaller: k halvings fewer, from the input on. The strides of the first
layers are halved; a pool whose stride becomes 1 is left out. What reads the whole map, an average
pool or a convolution, still reads the whole map.
"""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from math import lcm, log2
from typing import Any

from .build import Shapes, check, written
from .expand import expand
from .fold import fold
from .kinds import Shape
from .tree import CLASSES, RESIDUAL, Block, Design, Item, Layer, Line, layers

Change = Callable[[Layer], Layer]


def scaled(
    design: Design,
    width: Fraction = Fraction(1),
    size: Shape | None = None,
    classes: int | None = None,
) -> tuple[Design, list[str]]:
    """The design with other numbers of maps, for other images (c, h, w) and another number of
    classes; and a sentence for each change of the plan that is more than a factor.

    Raises ValueError for a width that is not above 0 and at most 16, and where the layers do not
    fit the images.
    """
    if not 0 < width <= 16:
        raise ValueError(f"width must be above 0 and at most 16, not {width}")
    expanded = expand(design)
    notes: list[str] = []
    body = expanded.body
    size = size or design.input
    if size[1:] != design.input[1:]:
        try:
            body = _for_images(body, design.input, size, notes)
        except ValueError as error:
            raise _misfit(size, error) from None
    if width != 1:
        body = _narrowed(body, width, notes)
        notes.insert(0, f"{width} of the maps and neurons")
    body = map_layers(body, lambda layer: with_classes(layer, classes or expanded.classes))
    result = fold(replace(design, input=size, lines=body.lines, parts=(), every=()))
    try:
        check(result)
    except ValueError as error:
        raise _misfit(size, error) from None
    return result, notes


def _misfit(size: Shape, error: ValueError) -> ValueError:
    return ValueError(f"images of {written(size)} do not fit: {error}")


def with_classes(layer: Layer, classes: int) -> Layer:
    """The layer with this number where the data would decide."""
    return replace(
        layer, values=tuple((n, classes if v == CLASSES else v) for n, v in layer.values)
    )


def map_layers(block: Block, change: Change) -> Block:
    """The block with each of its layers changed."""

    def item(each: Item) -> Item:
        what = each.what
        done = map_layers(what, change) if isinstance(what, Block) else change(what)  # type: ignore[arg-type]
        return replace(each, what=done, shape=None, line=0)

    lines = tuple(tuple(map(item, line)) for line in block.lines)
    return replace(block, lines=lines, shortcut=tuple(map(item, block.shortcut)))


# --- width


def _narrowed(body: Block, width: Fraction, notes: list[str]) -> Block:
    found = [item for item in layers(body) if isinstance(item.what, Layer)]
    groups = lcm(*(item.what.given.get("groups", 1) for item in found))  # type: ignore[union-attr]
    fixed = _fixed(found)

    def number(n: int) -> int:
        return max(1, round(n * width / groups)) * groups

    def item(each: Item) -> Item:
        what = each.what
        if isinstance(what, Block):
            return replace(each, what=block(what))
        assert isinstance(what, Layer)
        if what.kind == "conv by table":
            notes.append(f"{each.name} reads all maps; its table is for {what.given['maps']}")
            what = Layer("conv", tuple((Layer("conv").of.options | _without_table(what)).items()))
        name = what.of.count
        if not name or id(each) in fixed or what.given[name] == CLASSES:
            return replace(each, what=what)
        return replace(each, what=_with(what, **{name: number(what.given[name])}))

    def block(b: Block) -> Block:
        done = replace(
            b,
            lines=tuple(tuple(map(item, line)) for line in b.lines),
            shortcut=tuple(map(item, b.shortcut)),
        )
        if (
            b.kind == RESIDUAL
            and b.shortcut
            and getattr(b.shortcut[0].what, "kind", "") == "zero maps"
        ):
            added = b.shortcut[0].what.given["maps"]  # type: ignore[union-attr]
            out = _maps_out(b)
            pad = _with(b.shortcut[0].what, maps=number(out) - number(out - added))  # type: ignore[arg-type]
            done = replace(done, shortcut=(replace(b.shortcut[0], what=pad),))
        return done

    return block(body)


def _without_table(layer: Layer) -> dict[str, Any]:
    return {name: value for name, value in layer.given.items() if name != "table"}


def _fixed(found: list[Item]) -> set[int]:
    """The layers whose numbers stay: those of the classes, and the one that feeds prototypes."""
    counted = [item for item in found if isinstance(item.what, Layer) and item.what.of.count]
    fixed = set()
    for before, item in zip([None, *counted], counted, strict=False):
        if isinstance(item.what, Layer) and item.what.kind == "prototypes":
            fixed |= {id(item)} | ({id(before)} if before else set())
    return fixed


def _maps_out(block: Block) -> int:
    counted = [item.what for line in block.lines for item in line if isinstance(item.what, Layer)]
    return next(layer.given["maps"] for layer in reversed(counted) if "maps" in layer.given)


def _with(layer: Layer, **values: Any) -> Layer:
    return replace(layer, values=tuple((layer.given | values).items()))


# --- images


def _for_images(body: Block, old: Shape, new: Shape, notes: list[str]) -> Block:
    halvings = max(0, round(log2(max(old[1:]) / max(new[1:]))))
    shapes, new_shapes = Shapes(old), Shapes(new)
    lines: list[Line] = []
    for (item,) in body.lines:
        before = shapes.now
        shapes.after(item)
        changed, halvings = _wider(item, halvings, notes)
        if changed is not None:
            changed = _over_the_wholemap_layers(changed, before, new_shapes.now, notes)
            new_shapes.after(changed)
            lines.append((changed,))
    return replace(body, lines=tuple(lines))


def _wider(item: Item, halvings: int, notes: list[str]) -> tuple[Item | None, int]:
    """The layer with a smaller stride while there are halvings to leave out; None without it."""
    what = item.what
    stride = what.given.get("stride", (1, 1)) if isinstance(what, Layer) else (1, 1)
    if not isinstance(what, Layer) or not halvings or stride[0] != stride[1] or stride[0] % 2:
        return item, halvings
    left = stride[0]
    while halvings and left % 2 == 0:
        left, halvings = left // 2, halvings - 1
    if left == 1 and what.kind.endswith("pool"):
        notes.append(f"without {item.name}")
        return None, halvings
    notes.append(f"{item.name} at stride {left}, not {stride[0]}")
    return replace(item, what=_with(what, stride=(left, left))), halvings


def _over_the_wholemap_layers(item: Item, before: Shape, now: Shape, notes: list[str]) -> Item:
    what = item.what
    if not isinstance(what, Layer) or what.kind not in ("average pool", "conv") or len(now) != 3:
        return item
    if what.given["window"] != before[1:] or now[1:] == before[1:]:
        return item
    if what.kind == "conv":
        side = "x".join(map(str, now[1:]))
        notes.append(f"{item.name} of {side}, the whole map")
        return replace(item, what=_with(what, window=now[1:], pad=(0, 0)))
    notes.append(f"{item.name} over the whole map, whatever its size")
    return replace(item, what=Layer("global average"))
