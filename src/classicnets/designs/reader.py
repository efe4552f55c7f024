"""Reads a design: lines and indentation, in the words of lecture notes. It runs no code.

    file   = { "every" KIND {"," option} [":" chain] | "part" NAME {NAME} ":" what block | line }
    line   = ["[" HxWxC "]"] chain [block]         chain = item {"->" item}
    item   = [NAME ["to" NAME] ":"] what {"," option}
    what   = a phrase of `kinds.KINDS` | "side by side" | "residual" | "aside" | PART {N} | nothing

Lines that are indented below another one are its block. `#` and parentheses are comments.
"""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

from torch import nn

from classicnets.support.errors import plain_reason
from classicnets.support.files import open_regular

from .expand import MOST_LAYERS, names_of_range
from .kinds import BY_NAME, EVERY, KINDS, OPTIONS, Kind, Shape
from .phrases import as_line, comma_missing, layer_written, meant, option_meant, pattern
from .rows import LARGEST, Row, nest, quoted, refuse, rows_of
from .tree import (
    BLOCKS,
    CLASSES,
    RESIDUAL,
    SEQUENCE,
    SIDE_BY_SIDE,
    Block,
    Design,
    Every,
    Item,
    Layer,
    Line,
    Part,
    Use,
)

LONGEST = 1_000_000  # characters
MOST_LINES = 25_000
FRACTIONS = ("p", "alpha", "beta", "k", "eps")  # values that are not numbers of something
SMALLEST: dict[str, int] = dict.fromkeys(("pad", *FRACTIONS), 0)
PAIRS = ("window", "stride", "pad")


def read(text: str) -> Design:
    """The design that a text describes. Shapes are checked when it is built.

    Raises a ValueError, with the number of the line, for a text that is not a design.

    >>> read("[1x1x3] input\\n[10] fc: 10 neurons").input
    (3, 1, 1)
    """
    if len(text) > LONGEST:
        raise ValueError(f"a design has at most {LONGEST:,} characters, not {len(text):,}")
    if len(found := list(islice(rows_of(text), MOST_LINES + 1))) > MOST_LINES:
        refuse(found[-1].number, f"a design has at most {MOST_LINES:,} lines")
    return _Reader().design(nest(found), _heading(text))


def read_text(path: Path) -> str:
    """The text of a design file. Raises a ValueError where there is none."""
    try:
        with io.TextIOWrapper(open_regular(path), encoding="utf-8-sig") as file:
            if len(text := file.read(LONGEST + 1)) <= LONGEST:
                return text
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not a design: it is not UTF-8 text") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read {path}: {plain_reason(error)}") from None
    raise ValueError(f"{path} is not a design; one has at most {LONGEST:,} characters")


def _heading(text: str) -> str:
    """The comment before the first line, without its marks."""
    lines: list[str] = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return "\n".join(lines)


class _Reader:
    """Reads the lines of one file; knows the parts above the line that it reads."""

    def __init__(self) -> None:
        self.parts: dict[str, Part] = {}
        self.part_name = ""  # the part that is being read
        self.numbers: tuple[str, ...] = ()  # and its parameters
        self.below: Mapping[str, int] = {}  # the parts of the file, with their lines
        self.layers: dict[str, Layer] = {}  # of the lines so far, since many are alike

    def design(self, rows: list[Row], comment: str) -> Design:
        every: list[Every] = []
        lines: list[Line] = []
        images: Shape | None = None
        self.below = _parts_of(rows)
        for row in rows:
            word = re.split("[ :]", row.text, maxsplit=1)[0].lower()
            if word == "every" and row.shape is None:
                every.append(self.every(row))
            elif word == "part" and row.shape is None:
                part = self.part(row)
                self.parts[part.name] = part
            elif images is None:
                images = self.input(row)
            elif row.text.lower() == "input":
                refuse(row.number, "the input is written twice; a design has one")
            else:
                lines.append(self.line(row))
        if images is None:
            raise ValueError("line 1: a design begins with its input, such as [224x224x3] input")
        if not lines:
            refuse(rows[-1].number, "a design has at least one layer after its input")
        for i, each in enumerate(every):
            if each.kind in [other.kind for other in every[:i]]:
                refuse(each.line, f"every {each.kind} is written twice")
        self.names(lines)
        return Design(images, tuple(lines), tuple(self.parts.values()), tuple(every), comment)

    def input(self, row: Row) -> Shape:
        if row.text.lower() != "input" or row.shape is None or len(row.shape) != 3:
            refuse(row.number, "the first line is the input, such as [224x224x3] input")
        if row.block:
            refuse(row.block[0].number, "is indented below the input, which has no block")
        return row.shape

    def every(self, row: Row) -> Every:
        head, _, chain = row.text.partition(":")
        kind, *options = [part.strip() for part in head[len("every") :].split(",")]
        kind = kind.lower()
        if kind not in EVERY:
            refuse(
                row.number,
                comma_missing(kind) or f"every is for {', '.join(EVERY)}, not {quoted(kind)}",
            )
        values = self.options(row.number, f"every {kind}", BY_NAME[kind], options)
        items = self.chain(row.number, chain.strip()) if chain.strip() else ()
        for item in items:
            if not isinstance(item.what, Layer):
                refuse(row.number, f"what follows every {kind} is a layer, not a part or a block")
        if row.block:
            refuse(row.block[0].number, "is indented below `every`, which has no block")
        if not items and not values:
            refuse(row.number, f"every {kind} says nothing; as in every {kind}: relu")
        return Every(kind, values, items, row.number)

    def part(self, row: Row) -> Part:
        head, colon, what = row.text.partition(":")
        _, *names = head.split()
        if not colon or not names:
            refuse(row.number, "a part is written `part NAME number number:` above its lines")
        for name in names:
            _check_name(row.number, name, part=True)
        name, *parameters = names
        if name in self.parts:
            first = self.parts[name].line
            refuse(row.number, f"part {name} is written twice, first in line {first}")
        if len(set(parameters)) < len(parameters):
            refuse(row.number, f"part {name} has a number twice: {' '.join(parameters)}")
        self.part_name, self.numbers, self.layers = name, tuple(parameters), {}
        body = self.block(row, what.strip())
        self.part_name, self.numbers, self.layers = "", (), {}
        return Part(name, tuple(parameters), body, row.number)

    def line(self, row: Row) -> Line:
        """A line of the network or of a block. Its shape is that of its last written item."""
        if row.block:
            name, what = _split_name(row.text)
            if what.lower().endswith("by table"):
                return (self.table(row, name, what),)
            item = self.named(row.number, name, self.block(row, what))
            return (replace(item, shape=row.shape),)
        items = self.chain(row.number, row.text)
        if items[1:] and any(item.to for item in items):
            refuse(row.number, "a range of names is for a layer alone; `every` adds what follows")
        return (*items[:-1], replace(items[-1], shape=row.shape))

    def chain(self, number: int, text: str) -> Line:
        parts = [part.strip() for part in text.split("->", MOST_LAYERS)]
        if len(parts) > MOST_LAYERS:
            refuse(number, f"more than {MOST_LAYERS:,} layers")
        if "" in parts:
            refuse(number, "an arrow stands between two layers, as in conv1: 8 3x3 filters -> relu")
        return tuple(self.item(number, part) for part in parts)

    def item(self, number: int, text: str) -> Item:
        name, what = as_line(*_split_name(text))
        return self.named(number, name, self.what(number, name or what, what))

    def named(self, number: int, name: str, what: Layer | Use | Block) -> Item:
        begin, to, end = (part.strip() for part in name.partition(" to "))
        for each in (begin, end) if to else (begin,) * bool(begin):
            _check_name(number, each)
        item = Item(what, begin, end, line=number)
        if to:
            names_of_range(item)
        return item

    def what(self, number: int, name: str, text: str) -> Layer | Use:
        """A layer or a part in use."""
        if text in self.layers:
            return self.layers[text]
        if not text.partition(",")[0].strip():
            refuse(number, f"{quoted(name)} names no layer, and has no lines below it")
        if text.lower().partition(",")[0] in BLOCKS:
            refuse(number, f"{text!r} has no lines below it; indent them by four spaces")
        if text.lower().endswith("by table"):
            refuse(number, f"{quoted(name)} has no table below it, a row for each map it reads")
        head, *options = [part.strip() for part in text.split(",")]
        words = head.split()
        if words[0] in self.parts:
            return self.use(number, self.parts[words[0]], words[1:], options)
        if found := layer_written(head, self.numbers):
            kind, slots, rest = found
            values = {slot: self.value(number, name, slot, word) for slot, word in slots.items()}
            given = self.options(number, name, kind, rest + options)
            self.layers[text] = Layer(kind.name, (*values.items(), *given))
            return self.layers[text]
        return self.unknown(number, name if name != text else "", head)

    def unknown(self, number: int, name: str, head: str) -> NoReturn:
        first, rest = re.findall(r"(\S\w*)\W*(.*)", head)[0]
        if first == self.part_name:
            refuse(number, f"part {first} uses itself; a part uses only parts above it")
        if (line := self.below.get(first, 0)) > number:
            inside = self.part_name and f" without using {self.part_name}"
            refuse(number, f"part {first} is defined in line {line}; define it above{inside}")
        if not name and layer_written(rest, self.numbers):
            refuse(number, f"{quoted(head)} needs a colon after its name, as in {first}: {rest}")
        head = re.sub("(?i) (at )?stride .*", "", head)
        known = {block: block for block in BLOCKS}
        known |= {part: " ".join([part, *self.parts[part].parameters]) for part in self.parts}
        hint = comma_missing(head) or f"{quoted(head)} is not a layer; {meant(head, name, known)}"
        refuse(number, hint)

    def use(self, number: int, part: Part, words: Sequence[str], options: Sequence[str]) -> Use:
        if options:
            refuse(number, f"part {part.name} takes numbers only, not {quoted(options[0])}")
        if len(words) != len(part.parameters):
            names = f" ({' '.join(part.parameters)})" if part.parameters else ""
            count = f"{(n := len(part.parameters))} number{'s' * (n != 1)}"
            refuse(number, f"{part.name} takes {count}{names} and got {len(words)}")
        return Use(part.name, tuple(self.value(number, part.name, "number", w) for w in words))

    def options(
        self, number: int, name: str, kind: Kind, texts: Sequence[str]
    ) -> tuple[tuple[str, Any], ...]:
        """The values that options set, such as `at stride 2`."""
        values: dict[str, Any] = {}
        if len(texts) > len(OPTIONS):
            refuse(number, f"{quoted(name)} has {len(texts):,} options; give each once")
        for text in texts:
            for words, (slot, fixed) in OPTIONS.items():
                form = pattern(words.replace("{}", f"{{{slot}}}"), whole=True)
                if slot in kind.options and (found := form.fullmatch(text)):
                    word = found.groupdict().get(slot)
                    given = self.value(number, name, slot, word) if word else fixed
                    if values.setdefault(slot, given) != given:
                        refuse(number, f"{name!r} has two values of {slot}")
                    break
            else:
                legal = [w.replace("{}", "N") for w, (v, _) in OPTIONS.items() if v in kind.options]
                legal = [w for w in legal if w != "stride N"]
                has = f"it has {', '.join(legal)}" if legal else "it takes none"
                no = f"{quoted(name)} has no option {quoted(text)}; {option_meant(text, legal)}"
                refuse(number, comma_missing(text) or no + has)
        return tuple(values.items())

    def value(self, number: int, name: str, slot: str, word: str) -> Any:
        """A number of the layer or part with this name, or what a part calls one."""
        if slot not in PAIRS:
            return self.one(number, name, slot, word)
        pair = [word, word] if word in self.numbers or word.count("x") != 1 else word.split("x")
        return tuple(self.one(number, name, slot, each) for each in pair)

    def one(self, number: int, name: str, slot: str, word: str) -> int | float | str:
        whole = slot not in FRACTIONS
        classes = word == CLASSES and slot not in (*PAIRS, "size")
        if whole and (word in self.numbers or classes):
            return word
        form = "[0-9]{1,7}" if whole else r"[0-9]*\.?[0-9]+([eE][-+]?[0-9]{1,2})?"
        least, below = SMALLEST.get(slot, 1), 1 if slot == "p" else LARGEST + 1
        if len(word) > 40 or not re.fullmatch(form, word) or not least <= float(word) < below:
            legal = f"a {'whole ' * whole}number from {least} to "
            legal += f"{LARGEST:,}" if below > 1 else "below 1"
            legal += f", or {' or '.join(self.numbers)}," * bool(whole and self.numbers)
            called = {"p": "dropout", "width": "neurons", "size": "maps"}.get(slot, slot)
            cannot = f"{called} of {quoted(name)} cannot be {quoted(word)}"
            refuse(number, f"{cannot}; {legal} would fit")
        return int(word) if whole else float(word)

    def block(self, row: Row, what: str) -> Block:
        """The block below a line, of the kind that the line says."""
        kind, *options = [part.strip() for part in what.lower().split(",")]
        if kind and kind not in BLOCKS:
            near = get_close_matches(kind, BLOCKS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"only {', '.join(BLOCKS)} "
            hint += "and a name with nothing behind its colon do" * (not near)
            refuse(row.number, f"{quoted(what)} takes no lines below it; {hint}")
        if not row.block:
            refuse(row.number, "has no lines below it; indent them by four spaces")
        relu = True
        for option in options:
            if option != "no relu" or kind != RESIDUAL:
                refuse(row.number, f"{kind or 'a block'} has no option {quoted(option)}")
            relu = False
        named = re.compile("shortcut ?:", re.I)
        shortcut = [r for r in row.block if kind == RESIDUAL and named.match(r.text)]
        if len(shortcut) > 1:
            refuse(shortcut[1].number, "a residual block has one shortcut")
        lines = [self.line(r) for r in row.block if r not in shortcut]
        if not lines:
            refuse(row.number, f"{kind or 'a block'} has at least one line besides its shortcut")
        skip = self.shortcut(shortcut[0]) if shortcut else ()
        self.names(lines, apart=kind == SIDE_BY_SIDE)
        return Block(kind or SEQUENCE, tuple(lines), skip, relu)

    def shortcut(self, row: Row) -> Line:
        rest = row.text.partition(":")[2].strip()
        if row.block:
            return (Item(self.block(row, rest), "", line=row.number),)
        items = self.chain(row.number, rest)
        return (*items[:-1], replace(items[-1], shape=row.shape))

    def table(self, row: Row, name: str, what: str) -> Item:
        """A convolution whose maps read only some maps: rows of X and . below it."""
        head = what[: -len("by table")].rstrip(" ,")
        found = pattern("{maps} {window} filters").fullmatch(head)
        if not found or found["rest"]:
            refuse(row.number, f"by table goes with N KxK filters, not {quoted(head)}")
        rows = [r.text.split() for r in row.block]
        maps = self.value(row.number, name or what, "maps", found["maps"])
        for r, cells in zip(row.block, rows, strict=True):
            if set(cells) - {"X", "."} or len(cells) != maps or r.block:
                refuse(r.number, f"a row of the table has an X or a . for each of {maps} maps")
        if any("X" not in column for column in zip(*rows, strict=True)):
            refuse(row.number, "a map of the table reads nothing; each column needs an X")
        values = {
            "maps": maps,
            "window": self.value(row.number, name or what, "window", found["window"]),
            "table": "\n".join(" ".join(cells) for cells in rows),
        }
        item = self.named(row.number, name, Layer("conv by table", tuple(values.items())))
        return replace(item, shape=row.shape)

    def names(self, lines: Sequence[Line], apart: bool = False) -> None:
        """Refuses a name that is used twice in a block; `apart` is for lines side by side."""
        first: dict[str, int] = {}
        for line in lines:
            for item in line[-1:] if apart else line:
                if item.name and item.name in first:
                    before = first[item.name]
                    refuse(item.line, f"{item.name} is used twice, first in line {before}")
                if apart and item.to:
                    refuse(
                        item.line, "a line side by side is one branch, and has no range of names"
                    )
                first[item.name] = item.line
        if apart and "" in first:
            refuse(first[""], "a line side by side needs a name, that of its last layer")


def _parts_of(rows: Sequence[Row]) -> dict[str, int]:
    """The name of each part, and its line."""
    heads = ((re.match(r"part\s+(\w+)", row.text, re.I), row.number) for row in rows)
    return {found[1]: number for found, number in heads if found}


def _split_name(text: str) -> tuple[str, str]:
    name, colon, what = text.partition(":")
    return (name.strip(), what.strip()) if colon else ("", text)


def _check_name(line: int, name: str, part: bool = False) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_]{1,80}", name, re.A) or (part and name[0].isdigit()):
        refuse(line, f"a name has up to 80 letters, digits and _; not {quoted(name)}")
    if not part and hasattr(_ANY, name):
        refuse(line, f"{name!r} is an attribute of every torch.nn.Module; choose another name")
    if part and name in _WORDS:
        refuse(line, f"{name!r} is a word of the notation; choose another name for the part")


_ANY = nn.Sequential()
_WORDS = {word for kind in KINDS for phrase in kind.phrases for word in phrase.split()}
_WORDS |= {*BLOCKS, CLASSES, "every", "part", "input", "to", "shortcut"}
