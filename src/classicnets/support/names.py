"""Names: as text that is safe to draw, as file names, and in the spellings that people type."""

import fnmatch
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping
from hashlib import sha256
from itertools import groupby
from pathlib import Path

# control characters but newline and tab, what changes the direction or the line of text, invisible
# tags, and halves of characters, which stand for bytes of a file name
CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
    "\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
)
BYTES = re.compile("[\udc80-\udcff]+")  # for bytes of a path that the locale cannot read
NUMBERED = re.compile("(.*?)([0-9]{0,9})", re.DOTALL)
UNPAIRED = re.compile("[\ud800-\udc7f\udd00-\udfff]")  # other halves of characters
HUB = "hf:"  # how what is on the Hugging Face hub begins
FILE_BYTES = 120  # far below the 255 of most file systems; a whole path on Windows has 260


def decoded(text: str) -> str:
    r"""The text with its bytes of UTF-8 as characters; a path has some where the locale is ASCII.

    >>> decoded("\udce7\udc8b\udc90.net")
    '狐.net'
    """
    return BYTES.sub(lambda found: _in_utf8(found[0]), text)


def _in_utf8(text: str) -> str:
    return text.encode("ascii", "surrogateescape").decode("utf-8", "surrogateescape")


def encoded(text: str, errors: str = "backslashreplace") -> bytes:
    """The text in UTF-8, as it goes into a file; other bytes of a path are escapes, as in JSON, or
    themselves (`surrogateescape`).
    """
    text = UNPAIRED.sub(lambda match: ascii(match[0])[1:-1], decoded(text))
    return text.encode("utf-8", errors)


def as_text(path: str | Path) -> str:
    """A path as the file system has it, in UTF-8, whatever the encoding of the locale."""
    try:
        return os.fsencode(path).decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # it does not come from the file system
        return str(path)


def as_path(text: str) -> str:
    """The path that has these characters in UTF-8, whatever the encoding of the locale."""
    return os.fsdecode(text.encode("utf-8", "surrogateescape"))


def visible(text: str, more: str = "") -> str:
    r"""The text with its control characters, and those in `more`, as escapes.

    Bytes of UTF-8 that stand in a path are characters again, and others are escapes.

    >>> print(visible("\x1b[31mred\r\n"), visible("a\nb", "\n"))
    \x1b[31mred\r
     a\nb
    """
    text = decoded(text)
    for one in more:
        text = text.replace(one, ascii(one)[1:-1])
    return CONTROLS.sub(lambda match: ascii(match[0])[1:-1], text)


def short(name: str, length: int = 32) -> str:
    """A visible name of at most `length` characters; the middle of a longer one is left out.

    >>> short("a" * 40 + "z", 9)
    'aaaa…aaaz'
    """
    name = visible(name, "\n\t")
    half = (length - 1) // 2
    return name if len(name) <= length else f"{name[: length - 1 - half]}…{name[-half:]}"


def file_names(names: Iterable[str]) -> list[str]:
    """Different file names, without an ending, for any names; safe on every file system.

    Letters, digits, underscores and dots stay. A name that is too long ends in its hash instead,
    and one that is taken, in whatever case, gets a number.

    >>> file_names(["maps-C1", "maps-a/b", "maps-A b"])
    ['maps-C1', 'maps-a-b', 'maps-A-b-2']
    """
    taken: set[str] = set()
    found = []
    for name in names:
        plain = safe = _safe(name)
        number = 2
        while safe.casefold() in taken:
            safe, number = f"{plain}-{number}", number + 1
        taken.add(safe.casefold())
        found.append(safe)
    return found


def _safe(name: str) -> str:
    composed = unicodedata.normalize("NFC", decoded(name))  # as some file systems do
    content = re.sub(r"[^\w.]+", "-", composed).strip("-.").encode()
    if len(content) <= FILE_BYTES:
        return as_path(content.decode())
    digest = sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return as_path(f"{content[: FILE_BYTES - 9].decode(errors='ignore')}-{digest}")


def braced(names: Iterable[str]) -> str:
    """Names that end in numbers as one, in the braces that shells and WebDataset expand.

    >>> braced(["b-7", *(f"a-{k:02}" for k in range(12))])
    '{a-{00..11},b-7}'
    """
    found = sorted(match.groups() for name in names if (match := NUMBERED.fullmatch(name)))
    # the difference to the place stays the same while numbers follow each other
    keys = [(begin, len(n), int(n or 0) - k) for k, (begin, n) in enumerate(found)]
    parts = []
    for (begin, *_), run in groupby(zip(keys, found, strict=True), lambda pair: pair[0]):
        numbers = [number for _, (_, number) in run]
        span = numbers[0] if len(numbers) == 1 else f"{{{numbers[0]}..{numbers[-1]}}}"
        parts.append(f"{begin}{span}")
    return parts[0] if len(parts) == 1 else f"{{{','.join(parts)}}}"


def spelling(name: str) -> str:
    """A name in the spelling that names of networks are compared in.

    >>> spelling("ResNet-50")
    'resnet50'
    """
    return re.sub("[-_ ]", "", name.lower())


def matching(pattern: str, names: Mapping[str, str]) -> set[str]:
    """The networks of which a name matches a shell pattern or else holds it; name -> network.

    >>> sorted(matching("VGG-1*", {"vgg16": "vgg_d", "vgg_a": "vgg_a"}))
    ['vgg_d']
    """
    found = fnmatch.filter(names, pattern)
    spelled = {spelling(name): name for name in names}
    for plain in (spelling(pattern), f"*{spelling(pattern)}*"):
        found = found or [spelled[key] for key in fnmatch.filter(spelled, plain)]
    return {names[name] for name in found}
