"""Fonts for the characters that matplotlib's default font lacks, such as Chinese ones or emoji."""

import logging
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

import numpy as np
from matplotlib import font_manager

# of those that have a character the first is taken; any other installed font comes after them
PREFERRED = (
    *("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Microsoft YaHei", "PingFang SC"),
    *("Hiragino Sans GB", "Heiti SC", "SimHei", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei"),
    *("Droid Sans Fallback", "Noto Sans CJK JP", "Noto Sans JP", "Hiragino Sans", "Yu Gothic"),
    *("Meiryo", "MS Gothic", "IPAPGothic", "IPAGothic", "Noto Sans CJK KR", "Noto Sans KR"),
    *("Malgun Gothic", "Apple SD Gothic Neo", "NanumGothic", "Arial Unicode MS"),
    *("Noto Emoji", "Segoe UI Emoji", "Symbola"),
)
EAST_ASIAN = "Noto Sans CJK (on Debian and Ubuntu: apt install fonts-noto-cjk)"
EMOJI = "Symbola (on Debian and Ubuntu: apt install fonts-symbola) or Noto Emoji, without colours"
OTHER = "the Noto Sans of their script (https://fonts.google.com/noto)"
JOINERS = range(0xFE00, 0xFE10)  # variation selectors, which are not drawn

_reported: set[str] = set()  # characters
_waiting: list[str] | None = None  # those to be reported at the end of `together`


@contextmanager
def together() -> Iterator[None]:
    """Reports the characters without a font that are met within, at the end and all at once."""
    global _waiting
    outer, _waiting = _waiting, [] if _waiting is None else _waiting
    try:
        yield
    finally:
        missing, _waiting = _waiting, outer
        if outer is None:
            _report_missing(missing)


def families_for(text: str) -> list[str]:
    """The families of installed fonts for what the default font lacks of this text.

    Logs, once for each character, which font to install for those that none has; within `together`
    at its end, so that all of them are named at once.
    """
    needed = [c for c in dict.fromkeys(text) if not c.isascii() and _is_drawn(c)]
    families = {character: _family_with(character) for character in needed}
    _report_missing([character for character, family in families.items() if family is None])
    return list(dict.fromkeys(filter(None, families.values())))


def _is_drawn(character: str) -> bool:
    return ord(character) not in JOINERS and unicodedata.category(character)[0] not in "CZ"


@cache
def _family_with(character: str) -> str | None:
    """The first family that has the character: "" the default one, None without any."""
    default = font_manager.findfont(font_manager.FontProperties())
    if ord(character) in _characters(default):
        return ""
    fonts = (family for family, file in _installed() if ord(character) in _characters(file))
    return next(fonts, None)


@cache
def _installed() -> list[tuple[str, str]]:
    """Family and file of every font, the preferred ones first."""
    manager = font_manager.fontManager
    known = {str(font.fname) for font in manager.ttflist}
    for file in font_manager.findSystemFonts():  # some were installed after the list was stored
        if file not in known:
            with suppress(Exception):  # as for fonts of bitmaps; what a file raises varies
                manager.addfont(file)
    ranks = {family: rank for rank, family in enumerate(PREFERRED)}
    fonts = {(f.name, str(f.fname)) for f in manager.ttflist if "last" not in f.name.lower()}
    return sorted(fonts, key=lambda font: (ranks.get(font[0], len(ranks)), *font))


@cache
def _characters(file: str) -> np.ndarray:
    """The code points that a font has glyphs for; none if it cannot be read."""
    with suppress(Exception):
        return np.fromiter(font_manager.get_font(file).get_charmap(), np.uint32)
    return np.empty(0, np.uint32)


def _advice(character: str) -> str:
    if unicodedata.category(character).startswith("S"):
        return EMOJI
    return EAST_ASIAN if unicodedata.east_asian_width(character) in "WF" else OTHER


def _report_missing(missing: list[str]) -> None:
    if _waiting is not None:
        _waiting.extend(missing)
        return
    new = [c for c in dict.fromkeys(missing) if c not in _reported]
    _reported.update(new)
    for font in dict.fromkeys(map(_advice, new)):
        some = " ".join(c for c in new if _advice(c) == font)
        logging.getLogger(__name__).warning(
            "no installed font has %s, drawn as boxes; install one, such as %s", some, font
        )
