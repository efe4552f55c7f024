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
from .kinds import EVERY, KINDS, OPTIONS, Kind, Shape
from .phrases import as_line, layer_written, option_meant, pattern, words_of, written_as
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
SMALLEST = {"pad": 0, "alpha": 0.0, "beta": 0.0, "k": 0.0, "eps": 0.0, "p": 0.0}
# values of a layer that are not numbers of something
FRACTIONS = ("p", "alpha", "beta", "k", "eps")
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
        with io.TextIOWrapper(open_regular(path), encoding="utf-8") as file:
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
        if kind not in EVERY:
            refuse(row.number, f"every is for {', '.join(EVERY)}, not {quoted(kind)}")
        values = self.options(
            row.number, f"every {kind}", next(k for k in KINDS if k.name == kind), options
        )
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
            refuse(
                row.number, f"part {name} is written twice, first in line {self.parts[name].line}"
            )
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
        head, *options = [part.strip() for part in text.split(",")]
        words = head.split()
        if words[0] in self.parts:
            return self.use(number, self.parts[words[0]], words[1:], options)
        if found := layer_written(head):
            kind, slots, rest = found
            values = {slot: self.value(number, slot, word) for slot, word in slots.items()}
            given = self.options(number, name, kind, rest + options)
            self.layers[text] = Layer(kind.name, (*values.items(), *given))
            return self.layers[text]
        return self.unknown(number, head)

    def unknown(self, number: int, head: str) -> NoReturn:
        first, _, rest = head.partition(" ")
        if first == self.part_name:
            refuse(number, f"part {first} uses itself; a part uses only parts above it")
        if (line := self.below.get(first, 0)) > number:
            inside = self.part_name and f" without using {self.part_name}"
            refuse(number, f"part {first} is defined in line {line}; define it above{inside}")
        if layer_written(rest):
            refuse(number, f"{quoted(head)} needs a colon after its name, as in {first}: {rest}")
        words = re.sub(r"\b\d+(x\d+)?\b *", "", head[:100]).strip() or head[:100]
        known = {**{words_of(kind): written_as(kind) for kind in KINDS}, **{b: b for b in BLOCKS}}
        known |= {part: " ".join([part, *self.parts[part].parameters]) for part in self.parts}
        near = get_close_matches(words, known, n=2, cutoff=0.5)
        hint = f"did you mean {' or '.join(known[each] for each in near)}?"
        if not near:
            hint = f"there are {', '.join(known.values())}"
        refuse(number, f"{quoted(head)} is not a layer; {hint}")

    def use(self, number: int, part: Part, words: Sequence[str], options: Sequence[str]) -> Use:
        if options:
            refuse(number, f"part {part.name} takes numbers only, not {quoted(options[0])}")
        if len(words) != len(part.parameters):
            names = f" ({' '.join(part.parameters)})" if part.parameters else ""
            count = f"{(n := len(part.parameters))} number{'s' * (n != 1)}"
            refuse(number, f"{part.name} takes {count}{names} and got {len(words)}")
        return Use(part.name, tuple(self.value(number, "number", word) for word in words))

    def options(
        self, number: int, name: str, kind: Kind, texts: Sequence[str]
    ) -> tuple[tuple[str, Any], ...]:
        """The values that options set, such as `at stride 2`."""
        values: dict[str, Any] = {}
        if len(texts) > len(OPTIONS):
            refuse(number, f"{quoted(name)} has {len(texts):,} options; give each once")
        for text in texts:
            for words, (value, fixed) in OPTIONS.items():
                if value not in kind.options:
                    continue
                if found := pattern(words.replace("{}", f"{{{value}}}"), whole=True).fullmatch(
                    text
                ):
                    given = fixed if fixed is not None else self.value(number, value, found[value])
                    if values.setdefault(value, given) != given:
                        refuse(number, f"{name!r} has two values of {value}")
                    break
            else:
                legal = [w.replace("{}", "N") for w, (v, _) in OPTIONS.items() if v in kind.options]
                legal = [w for w in legal if w != "stride N"]
                has = f"it has {', '.join(legal)}" if legal else "it takes none"
                has = option_meant(text, legal) + has
                refuse(number, f"{quoted(name)} has no option {quoted(text)}; {has}")
        return tuple(values.items())

    def value(self, number: int, slot: str, word: str) -> Any:
        """A number, or the name of one in a part."""
        if slot in FRACTIONS:
            return _fraction(number, slot, word)
        if slot in PAIRS and "x" in word and word not in self.numbers:
            return tuple(self.value(number, f"{slot} ", each) for each in word.split("x"))
        one = self.whole(number, slot.strip(), word)
        return (one, one) if slot in PAIRS else one

    def whole(self, number: int, slot: str, word: str) -> int | str:
        if word in self.numbers or word == CLASSES:
            return word
        if not re.fullmatch(r"[0-9]+", word):
            known = f" nor one of {' '.join(self.numbers)}" if self.numbers else ""
            refuse(number, f"{quoted(word)} is not a whole number{known}")
        least = SMALLEST.get(slot, 1)
        if len(word) > 7 or not least <= int(word) <= LARGEST:
            refuse(number, f"{slot} is {least} to {LARGEST:,}, not {quoted(word)[1:-1]}")
        return int(word)

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
        shortcut = (
            [r for r in row.block if r.text.startswith("shortcut:")] if kind == RESIDUAL else []
        )
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
        maps = self.value(row.number, "maps", found["maps"])
        for r, cells in zip(row.block, rows, strict=True):
            if set(cells) - {"X", "."} or len(cells) != maps or r.block:
                refuse(r.number, f"a row of the table has an X or a . for each of {maps} maps")
        if any("X" not in column for column in zip(*rows, strict=True)):
            refuse(row.number, "a map of the table reads nothing; each column needs an X")
        values = {
            "maps": maps,
            "window": self.value(row.number, "window", found["window"]),
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
                    refuse(
                        item.line, f"{item.name} is used twice, first in line {first[item.name]}"
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


def _fraction(number: int, slot: str, word: str) -> float:
    if not re.fullmatch(r"[0-9]*\.?[0-9]+([eE][-+]?[0-9]{1,2})?", word) or len(word) > 40:
        refuse(number, f"{slot} is a number, not {quoted(word)}")
    value = float(word)
    if slot == "p" and not 0 <= value < 1:
        refuse(number, f"dropout is a probability from 0 to below 1, not {word}")
    return value
