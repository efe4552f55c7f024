"""Phrases of `kinds` as regular expressions, and the layer that a text is."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from functools import lru_cache

from .kinds import KINDS, OPTIONS, Kind

_OPTION = "|".join(dict.fromkeys(words.partition(" ")[0] for words in OPTIONS))


@lru_cache(maxsize=4096)
def layer_written(text: str) -> tuple[Kind, dict[str, str], list[str]] | None:
    """The kind of layer that a text says, the words in its slots, and what follows the phrase."""
    for kind in KINDS:
        for phrase in kind.phrases:
            if found := pattern(phrase).fullmatch(text):
                slots = found.groupdict()
                rest = slots.pop("rest")
                return kind, slots, [rest] if rest else []
    return None


@lru_cache(maxsize=256)
def pattern(phrase: str, whole: bool = False) -> re.Pattern[str]:
    """The regular expression of a phrase; what follows it is the group `rest`.

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
    rest = "" if whole else rf"(?:\s+(?P<rest>(?:{_OPTION})\b.*))?"
    return re.compile(r"\s+".join(words) + rest, re.I)


def option_meant(text: str, legal: Sequence[str]) -> str:
    """The option that a text is nearly, with its number: `pad 1` for `padding 1`."""
    word, *number = text[:60].split() or [""]
    keys = {option.removeprefix("at ").partition(" ")[0]: option for option in legal}
    near = get_close_matches(word.lower(), keys, n=1, cutoff=0.5)
    if not near or len(number) != 1 or not keys[near[0]].endswith(" N"):
        return ""
    return f"did you mean {keys[near[0]].replace('N', number[0])}? "


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
