"""Names: as text that is safe to draw, as file names, and in the spellings that people type."""

import fnmatch
import re
import unicodedata
from collections.abc import Iterable, Mapping
from hashlib import sha256

# control characters but newline and tab, what changes the direction or the line of text, invisible
# tags, and halves of characters, which stand for bytes of a file name
CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
    "\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
)
FILE_BYTES = 120  # far below the 255 of most file systems; a whole path on Windows has 260


def visible(text: str, more: str = "") -> str:
    r"""The text with its control characters, and those in `more`, as escapes.

    >>> print(visible("\x1b[31mred\r\n"), visible("a\nb", "\n"))
    \x1b[31mred\r
     a\nb
    """
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
    composed = unicodedata.normalize("NFC", name)  # as some file systems do
    encoded = re.sub(r"[^\w.]+", "-", composed).strip("-.").encode()
    if len(encoded) <= FILE_BYTES:
        return encoded.decode()
    digest = sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return encoded[: FILE_BYTES - 9].decode(errors="ignore") + "-" + digest


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
