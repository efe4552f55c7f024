"""Phrases of `kinds` as regular expressions, and the layer that a text says."""

import re
from functools import lru_cache

from .kinds import KINDS, OPTIONS, Kind

_OPTION = "|".join(dict.fromkeys(words.partition(" ")[0] for words in OPTIONS))


@lru_cache(maxsize=4096)
def layer_said(text: str) -> tuple[Kind, dict[str, str], list[str]] | None:
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
