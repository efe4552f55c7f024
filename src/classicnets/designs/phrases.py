"""Phrases of `kinds` as regular expressions, the layer that a text is, and what one meant."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache

from .kinds import KINDS, OPTIONS, Kind
from .rows import quoted

_OPTION = "|".join(re.sub(r"^(\w{2,3})\w*", r"\1\\w*", o).replace("{}", r"\S+") for o in OPTIONS)
_FILLER = r"(?:(?:^| )(with|and|keep)|(;))?"
_LACKS_COMMA = re.compile(rf"(?<!\bat){_FILLER} ({_OPTION})(?!\S)", re.I)
_BARE = "{maps} {window}"  # where any word could be the number of maps
_RARE = ("conv by table", "prototypes", "zero maps")  # not what `conv`, `output` or `pad` mean


@lru_cache(maxsize=4096)
def layer_written(
    text: str, names: tuple[str, ...] = ()
) -> tuple[Kind, dict[str, str], list[str]] | None:
    """The kind of a layer, the words in its slots, and its stride; `names` are a part's numbers."""
    for kind in KINDS:
        for phrase in kind.phrases:
            if found := pattern(phrase).fullmatch(text):
                slots = found.groupdict()
                rest = slots.pop("rest")
                if phrase == _BARE and slots["maps"][0].isalpha() and slots["maps"] not in names:
                    continue
                return kind, slots, [rest] if rest else []
    return None


@lru_cache(maxsize=256)
def pattern(phrase: str, whole: bool = False) -> re.Pattern[str]:
    """The regular expression of a phrase; a stride that follows it is the group `rest`.

    A window is always digits, so that the x of "max pool" is not taken for one.
    """
    words = []
    for word in phrase.split():
        slot = re.fullmatch(r"\{(\w+)\}", word)
        if not slot:
            words.append(re.escape(word))
        elif slot[1] == "window":
            words.append(r"(?P<window>[0-9]+x[0-9]+)")
        else:
            words.append(rf"(?P<{slot[1]}>[\w.+-]+)")
    rest = "" if whole else r"(?:\s+(?P<rest>(?:at\s+)?stride\b.*))?"
    return re.compile(r"\s+".join(words) + rest, re.I)


def option_meant(text: str, legal: Sequence[str]) -> str:
    """The option that a text is nearly, with its number: `pad 1` for `padding 1`."""
    word, *number = text[:60].split() or [""]
    keys = {option.removeprefix("at ").partition(" ")[0]: option for option in legal}
    near = get_close_matches(word.lower(), keys, n=1, cutoff=0.5)
    if not near or len(number) != 1 or not keys[near[0]].endswith(" N"):
        return ""
    return f"did you mean {keys[near[0]].replace('N', number[0])}? "


def comma_missing(text: str) -> str:
    """Where a text that is not an option or a layer lacks a comma; empty if it lacks none."""
    found = _LACKS_COMMA.search(text)
    if not found:
        return ""
    if filler := found[1] or found[2]:
        return f"write {quoted(f', {found[3]}')} without {filler!r}"
    return f"a comma is missing before {quoted(found[3])} in {quoted(text)}"


def meant(text: str, name: str, others: Mapping[str, str]) -> str:
    """What a text that names no layer means: `8 3x3 filters` for `conv 3x3 8`, or a list of all.

    A text without words is taken by its `name`. `others` are blocks and parts, as one writes them.
    """
    words = re.sub(r"(\d) ?[x*] ?(?=\d)", r"\1x", text[:100].lower()).split()
    slots = {"KxK": r"\d+x\d+", "N": r"\d*\.?\d+"}
    given = {slot: w for slot in slots for w in reversed(words) if re.fullmatch(slots[slot], w)}
    said = " ".join(w for w in words if not w[0].isdigit()) or name.lower().rstrip("_0123456789")
    full = {words_of(kind): written_as(kind) for kind in KINDS} | dict(others)
    short = {kind.short: written_as(kind) for kind in KINDS if kind.name not in _RARE}
    known = short | full
    fitting = [each for each in known if given.keys() == slots.keys() & known[each].split()]
    near = (
        [said] * (said in full)
        or get_close_matches(said, fitting if given else [], n=3, cutoff=0.5)
        or get_close_matches(said, known, n=3, cutoff=0.6)
        or fitting[: "N" in given]
    )
    found = dict.fromkeys(" ".join(given.get(w, w) for w in known[each].split()) for each in near)
    if not found:
        return f"there are {', '.join(full.values())}"
    return f"did you mean {' or '.join(map(repr, list(found)[:2]))}?"


def words_of(kind: Kind) -> str:
    """The words of a phrase, without its numbers."""
    return re.sub(r"\{\w+\} *", "", kind.phrases[0]).strip()


def written_as(kind: Kind) -> str:
    """How a layer of a kind is written: `N KxK filters`."""
    return re.sub(r"\{\w+\}", "N", kind.phrases[0].replace("{window}", "KxK"))


def as_line(name: str, what: str) -> tuple[str, str]:
    """`MAX POOL1: 3x3 filters` as lecture notes write it: the kind stands before the number."""
    if found := re.fullmatch(r"(max|average|avg) (pool\w*)", name, re.I):
        window, _, rest = what.partition(" filters")
        return found[2], f"{window} {found[1].lower()} pool{rest}"
    return name, what
