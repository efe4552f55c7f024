"""Files that a browser sends: their names, and zip archives of them, neither of which is trusted.

What is refused is said in one sentence. Archives within an archive stay files.
"""

import io
import re
import stat
import unicodedata
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from classicnets.support.errors import plain_reason
from classicnets.support.names import CONTROLS, short
from classicnets.support.tables import format_bytes

MOST_FILES = 50_000
MOST_BYTES = 2**32  # of all files
MOST_RATIO = 100  # of the files to the archive, from this size on:
SMALL = 2**26  # bytes
LONGEST_NAME, LONGEST_PATH, DEEPEST = 255, 1024, 16  # bytes, bytes, folders
DIRECTORY = 2**23  # bytes of an archive's list of files, which is read at once
LOCAL_HEADER = 30  # bytes before each file in an archive, besides its name
BLOCK = 2**20
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others unpack gigabytes at a time
ENCRYPTED, UTF_8 = 0x1, 0x800  # flags
DEVICES = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9¹²³])\s*(\.|$)", re.IGNORECASE)
LINES, ABSOLUTE = re.compile(r"[\n\t]"), re.compile("/|[A-Za-z]:")

Parts = tuple[str, ...]


class Names:
    """The files that are there so far, of which no file system may take two for one."""

    def __init__(self) -> None:
        self.files: list[Parts] = []
        self._known: dict[Parts, tuple[Parts, bool]] = {}  # as compared -> as written, a file

    def add(self, name: str) -> Parts:
        """The parts of the path of a further file.

        Raises a ValueError for a name that is refused, for one that is taken, and for too many.
        """
        parts = parts_of(name)
        if len(self.files) == MOST_FILES:
            raise ValueError(f"there are more than {MOST_FILES:,} files")
        same = tuple(map(_as_compared, parts))
        for k in range(1, len(parts) + 1):
            self._enter(same[:k], parts[:k], k == len(parts))
        self.files.append(parts)
        return parts

    def _enter(self, same: Parts, parts: Parts, is_file: bool) -> None:
        """A file, or a folder that it is in."""
        if same not in self._known:
            self._known[same] = parts, is_file
            return
        other, was_file = self._known[same]
        if other != parts:
            raise ValueError(
                f"{_shown(parts)} and {_shown(other)} differ by case or accents only, and on many "
                "computers they are one file"
            )
        if is_file and was_file:
            raise ValueError(f"{_shown(parts)} is there twice")
        if is_file or was_file:
            raise ValueError(f"{_shown(parts)} is a file and a folder")


def parts_of(name: str) -> Parts:
    r"""The folders and the file of a relative path with slashes.

    Raises a ValueError for a path that leads elsewhere on some computer, and for no possible one.

    >>> parts_of("birds/./owl.png")
    ('birds', 'owl.png')
    >>> parts_of("..\\owl.png")
    Traceback (most recent call last):
    ValueError: the name '..\owl.png' has a backslash; folders are separated by /
    """
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    sizes = [len(part.encode("utf-8", "replace")) for part in parts]
    reasons = {
        "has a control character": CONTROLS.search(name) or LINES.search(name),
        "has a backslash; folders are separated by /": "\\" in name,
        "is an absolute path": ABSOLUTE.match(name),
        "leads out of its folder": ".." in parts,
        "names no file": not parts,
        "is that of a device": any(map(DEVICES.match, parts)),
        "is too long": max(sizes, default=0) > LONGEST_NAME or sum(sizes) > LONGEST_PATH,
        f"has more than {DEEPEST} folders": len(parts) > DEEPEST + 1,
    }
    if reason := next((reason for reason, found in reasons.items() if found), ""):
        raise ValueError(f"the name {_shown((name,))} {reason}")
    return parts


def unpack(archive: Path, into: Path) -> None:
    """Writes the files of a zip archive into an empty folder.

    Raises a ValueError for what is not an archive or not a safe one, and an OSError where the files
    cannot be written; then some of them may be there.
    """
    with archive.open("rb") as file:
        with _reading("the archive"):
            opened = zipfile.ZipFile(_Bounded(file.raw))
        members = [info for info in opened.infolist() if not info.is_dir()]
        if not members:
            raise ValueError("the archive has no files")
        _require_bounded(members, archive.stat().st_size)
        _require_apart(opened.infolist(), opened.start_dir)
        names = Names()
        places = [names.add(_name(info)) for info in members]
        for info, parts in zip(members, places, strict=True):
            _require_plain(info, parts)
        for info, parts in zip(members, places, strict=True):
            _write(opened, info, into, parts)


class _Bounded(io.BufferedReader):
    """A file of which nothing is read that would fill the memory."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > DIRECTORY:
            raise ValueError(f"its list of files takes more than {format_bytes(DIRECTORY)}")
        return super().read(size)


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """A damaged archive makes zipfile raise nearly anything."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"{what} cannot be read as a zip file: {plain_reason(error)}") from error


def _require_bounded(members: Sequence[zipfile.ZipInfo], size: int) -> None:
    if len(members) > MOST_FILES:
        raise ValueError(f"there are more than {MOST_FILES:,} files")
    total = sum(info.file_size for info in members)
    require_bytes(total)
    if total > max(SMALL, MOST_RATIO * size):
        raise ValueError(
            f"the archive of {format_bytes(size)} would become {format_bytes(total)}, more than "
            f"{MOST_RATIO} times as much: that is not an archive of images"
        )


def require_bytes(total: int) -> None:
    """Raises a ValueError for more bytes than may be sent."""
    if total > MOST_BYTES:
        raise ValueError(f"the files have more than {format_bytes(MOST_BYTES)} together")


def _require_apart(members: Sequence[zipfile.ZipInfo], end: int) -> None:
    """Raises a ValueError where files share bytes, by which a small archive can hold any number."""
    places = sorted((info.header_offset, info.compress_size) for info in members)
    starts = [start for start, _ in places[1:]] + [end]
    for (start, size), following in zip(places, starts, strict=True):
        if start + LOCAL_HEADER + size > following:
            raise ValueError("the archive has files that overlap")


def _require_plain(info: zipfile.ZipInfo, parts: Parts) -> None:
    """Raises a ValueError for what is not an ordinary file, or not packed as usual."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        what = "a link" if kind == stat.S_IFLNK else "not an ordinary file"
        raise ValueError(f"{_shown(parts)} is {what}; send the files themselves")
    if info.flag_bits & ENCRYPTED:
        raise ValueError(f"{_shown(parts)} is encrypted")
    if info.compress_type not in METHODS:
        raise ValueError(f"{_shown(parts)} is compressed by another method than Deflate")


def _name(info: zipfile.ZipInfo) -> str:
    """The name of a file as it was meant: Chinese Windows writes GBK, and does not say so."""
    name = info.orig_filename  # which goes on behind a NUL
    if info.flag_bits & UTF_8 or name.isascii():
        return name
    raw = name.encode("cp437")
    for encoding in ("utf-8", "gb2312"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return name


def _write(opened: zipfile.ZipFile, info: zipfile.ZipInfo, into: Path, parts: Parts) -> None:
    path = into.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with path.open("xb") as file:
        for block in _blocks(opened, info, parts):
            size += file.write(block)
    if size != info.file_size:
        raise ValueError(f"{_shown(parts)} has {size:,} bytes, and claims {info.file_size:,}")


def _blocks(opened: zipfile.ZipFile, info: zipfile.ZipInfo, parts: Parts) -> Iterator[bytes]:
    """What a file holds, never more than it claims."""
    with _reading(_shown(parts)):
        member = opened.open(info)
    with member:
        while True:
            with _reading(_shown(parts)):
                block = member.read(BLOCK)
            if not block:
                return
            yield block


def _as_compared(part: str) -> str:
    """A name as file systems compare it that see the fewest differences."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", part).casefold()).rstrip(". ")


def _shown(parts: Parts) -> str:
    return f"'{short('/'.join(parts), 60)}'"
