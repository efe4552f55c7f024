"""Which files below a folder are images, what is left out and why, and names in any locale."""

import os
from collections import defaultdict, deque
from pathlib import Path
from typing import NamedTuple

from classicnets.support.errors import first_few
from classicnets.support.names import as_text

from .image_file import image_kind, image_suffixes

HIDDEN = "hidden"
SYSTEM = "left by an operating system"
OTHER = "not an image or of an unknown format"
BROKEN = "a link that leads nowhere"
SPECIAL = "a pipe, socket or device"
AGAIN = "a link to a folder that is listed already"
CLOSED = "a folder that cannot be opened"
LOOSE = "an image in no class folder"
# beside images, by systems and archivers
LEFT_BY_SYSTEMS = {
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),
    *("__macosx", ".ds_store", ".spotlight-v100", ".trashes", ".fseventsd"),
    *("@eadir", "lost+found", ".directory"),
}

LeftOut = list[tuple[str, str]]  # reason and path


class Found(NamedTuple):
    """The images below a folder, in order, and the paths that were left out, each with a reason."""

    images: list[str]
    left_out: LeftOut


def find_images(root: str | Path) -> Found:
    """All images below a folder; those whose names have no ending are recognised by their content.

    Linked folders are followed, except to a folder that is listed already or contains `root`.
    Raises an OSError when `root` itself cannot be opened.
    """
    found = Found([], [])
    above = {str(folder) for folder in Path(os.path.realpath(root)).parents}
    seen: set[str] = set()
    pending = deque([str(root)])  # links last, so that a link to a folder beside it adds nothing
    while pending:
        folder = pending.popleft()
        real = os.path.realpath(folder)
        if real in seen or real in above:
            found.left_out.append((AGAIN, folder))
            continue
        seen.add(real)
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            if folder == str(root):
                raise
            found.left_out.append((CLOSED, folder))
            continue
        for entry in entries:
            if not is_hidden(entry.name) and _is_folder(entry):
                (pending.append if entry.is_symlink() else pending.appendleft)(entry.path)
            elif reason := _reason_against(entry):
                found.left_out.append((reason, entry.path))
            else:
                found.images.append(entry.path)
    found.images.sort(key=lambda path: path.split(os.sep))
    found.left_out.sort(key=lambda pair: pair[1].split(os.sep))
    return found


def summarise(left_out: LeftOut, root: str | Path) -> tuple[str, ...]:
    """A line for each reason: the reason, how many there are, and the first three below `root`.

    >>> summarise([("hidden", "/x/.a"), ("hidden", "/x/b/.c")], "/x")
    ('hidden (2): .a, b/.c',)
    """
    paths: dict[str, list[str]] = defaultdict(list)
    for reason, path in left_out:
        paths[reason].append(path.removeprefix(os.path.join(root, "")))
    return tuple(f"{reason} ({len(of)}): {first_few(of)}" for reason, of in paths.items())


def list_folders(root: str | Path) -> dict[str, str]:
    """Name -> path of the folders in this folder that are not hidden, in order of their names."""
    paths = (e.path for e in os.scandir(root) if not is_hidden(e.name) and _is_folder(e))
    return dict(sorted((as_text(os.path.basename(path)), path) for path in paths))


def beside_folders(root: str | Path) -> LeftOut:
    """What is left out directly in a folder whose images belong into the folders in it."""
    left_out: LeftOut = []
    for name in sorted(os.listdir(root)):
        if is_hidden(name):
            left_out.append((_hidden(name), os.path.join(root, name)))
        elif _suffix(name) in image_suffixes():
            left_out.append((LOOSE, os.path.join(root, name)))
    return left_out


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is none of the user's."""
    return name.startswith(".") or name.casefold() in LEFT_BY_SYSTEMS


def _hidden(name: str) -> str:
    """Why a file or folder of this name is none of the user's; `._` begins Apple's companions."""
    left = name.casefold() in LEFT_BY_SYSTEMS or name.startswith("._")
    return SYSTEM if left else HIDDEN


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether this is a folder or a link to one, even where nothing in its folder may be opened."""
    return entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and os.path.isdir(entry))


def _reason_against(entry: os.DirEntry[str]) -> str:
    """Why this is not an image; empty where it is one."""
    if is_hidden(entry.name):
        return _hidden(entry.name)
    if entry.is_symlink() and not os.path.exists(entry):
        return BROKEN
    if not entry.is_file():
        return SPECIAL
    suffix = _suffix(entry.name)
    if suffix in image_suffixes():
        return ""
    nameless = suffix.strip(".").isdecimal() or suffix in ("", ".")
    return "" if nameless and image_kind(entry.path) else OTHER


def _suffix(name: str) -> str:
    """As os.path.splitext of a name that does not begin with a dot, in a third of the time."""
    _, dot, ending = name.rpartition(".")
    return (dot + ending).lower() if dot else ""
