"""Writes a design: a line a layer, the shape in front, in the words that `read` reads."""

from typing import Any

from .build import shapes, written
from .kinds import OPTIONS, Shape
from .reader import read
from .tree import RESIDUAL, SEQUENCE, Block, Design, Item, Layer, Line, Part, Use

INDENT = "    "


def write(design: Design) -> str:
    """The text of a design, with the shape that each line gives in front of it.

    The comment of the design comes first. Reading the text and writing it again changes nothing.
    Raises ValueError where the layers do not fit together.
    """
    plain = _Writer({}).design(design)
    return _Writer(shapes(read(plain))).design(design)


class _Writer:
    """Writes lines; `shapes` are those of the lines by their number, empty for a text without."""

    def __init__(self, shapes: dict[int, Shape]):
        self.shapes = shapes
        self.lines: list[str] = []

    def design(self, design: Design) -> str:
        self.lines += [f"# {line}".rstrip() for line in design.comment.splitlines()]
        for every in design.every:
            options = ", ".join([f"every {every.kind}", *_options(every.values)])
            self.lines.append(options + f": {_chain(every.chain)}" * bool(every.chain))
        for part in design.parts:
            self.part(part)
        if self.lines:
            self.lines.append("")
        first = len(self.lines) + 1
        self.lines.append("input")
        self.block(design.lines, "", {first: design.input} if self.shapes else {})
        self.lines[first - 1] = f"{written(design.input).ljust(self.width)} input"
        return "\n".join(self.lines) + "\n"

    def part(self, part: Part) -> None:
        self.lines.append("")
        self.lines.append(f"part {' '.join((part.name, *part.parameters))}:{_kind(part.body)}")
        shapes, self.shapes = self.shapes, {}  # a part has one for each of its uses
        self.inside(part.body, "")
        self.shapes = shapes

    def inside(self, block: Block, indent: str) -> None:
        shortcut = (block.shortcut,) if block.shortcut else ()
        self.block((*block.lines, *shortcut), indent + INDENT, {}, block.shortcut)

    def block(
        self, lines: tuple[Line, ...], indent: str, more: dict[int, Shape], shortcut: Line = ()
    ) -> None:
        """Some lines, indented alike, with their shapes in a column."""
        heads: list[tuple[int, Line]] = []
        for line in lines:
            heads.append((len(self.lines), line))
            self.lines.append("")
            last = line[-1].what
            if isinstance(last, Block):
                self.inside(last, indent)
            elif isinstance(last, Layer) and last.kind == "conv by table":
                self.lines += [f"{indent}{INDENT}{row}" for row in last.given["table"].splitlines()]
        found = [self.shapes.get(at + 1) for at, _ in heads] + list(more.values())
        width = self.width = max((len(written(shape)) + 1 for shape in found if shape), default=0)
        for at, line in heads:
            shape = self.shapes.get(at + 1)
            bracket = (written(shape) if shape else "").ljust(width) + " " * bool(width)
            slot = "shortcut: " if line is shortcut and shortcut else ""
            self.lines[at] = f"{indent}{bracket}{slot}{_chain(line)}".rstrip()


def _chain(line: Line) -> str:
    return " -> ".join(map(_item, line))


def _item(item: Item) -> str:
    name = f"{item.name}{f' to {item.to}' if item.to else ''}"
    what = item.what
    if isinstance(what, Block):
        return f"{name}:{_kind(what)}" if name else _kind(what).strip()
    words = _use(what) if isinstance(what, Use) else phrase(what)
    return f"{name}: {words}" if name else words


def _kind(block: Block) -> str:
    kind = "" if block.kind == SEQUENCE else f" {block.kind}"
    return kind + ", no relu" * (block.kind == RESIDUAL and not block.relu)


def _use(use: Use) -> str:
    return " ".join([use.part, *map(str, use.numbers)])


def phrase(layer: Layer) -> str:
    """A layer in words: `96 11x11 filters at stride 4, pad 2`."""
    values = layer.given
    words = layer.of.phrases[0]
    for name, value in values.items():
        if f"{{{name}}}" in words:
            words = words.replace(f"{{{name}}}", _number(name, value))
    options = _options(tuple((n, v) for n, v in layer.values if n in layer.of.options))
    stride = [text for text in options if text.startswith("at stride")]
    return ", ".join([" ".join([words, *stride]), *(o for o in options if o not in stride)])


def _options(values: tuple[tuple[str, Any], ...]) -> list[str]:
    """The options that set these values, in the order of the table."""
    given = dict(values)
    found: dict[str, str] = {}
    for words, (name, fixed) in OPTIONS.items():
        if name in given and name not in found and fixed in (None, given[name]):
            found[name] = words.replace("{}", _number(name, given[name]))
    return list(found.values())


def _number(name: str, value: Any) -> str:
    if not isinstance(value, tuple):
        return repr(value) if isinstance(value, float) else str(value)
    if name != "window" and len(set(value)) == 1:
        return str(value[0])
    return "x".join(map(str, value))
