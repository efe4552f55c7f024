"""Shards: tar files in the layout of WebDataset, which hold thousands of images each.

`shards/train-{000000..000146}.tar`, in a folder or on the web. An image and its label are files of
the same name, `0001.jpg` and `0001.cls`. The library `webdataset` expands the names, and writes the
layout; reading and the order are our own, since its reader decodes by the ending of a name, pickles
included, draws from a buffer at random, and cannot resume in the middle of an epoch.
"""

import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from itertools import islice
from math import prod
from pathlib import Path

import torch

from classicnets.support.errors import first_few, option, plain_reason
from classicnets.support.files import open_regular
from classicnets.support.names import as_path, as_text, braced, short
from classicnets.support.progress import progress

from .decode import TASK, read_sizes
from .download import cache, locked, retrieve
from .image_file import image_suffixes
from .index import indexed_digests
from .listing import CHECK_LIMIT
from .members import Members
from .shard_index import INDEX, Parts, ShardIndex, kept_index, read_index, sized
from .tar import WEB, Archive, entries

ENDING = ".tar"
EXAMPLE = "train-{000000..000146}.tar"
MOST = 100_000  # shards
LONGEST = 4096  # characters
LABEL = 1_000  # bytes
RANGE = re.compile(r"\{(-?[0-9]{1,9})\.\.(-?[0-9]{1,9})[.}]")
KINDS = {"val": "validation", "dev": "validation", "test": "test"}  # how names begin


def resolve_shards(spec: str) -> str:
    """Shards with the absolute path of their folder, or an URL.

    Raises a ValueError for one that is missing, and for names that cannot be expanded.
    """
    if spec.startswith(WEB):
        folder, _, pattern = spec.rpartition("/")
        if "{" in folder:
            raise ValueError(
                f"braces may stand in the last part of an address only, not in {folder}"
            )
        _expand(pattern, f"{folder}/{EXAMPLE}")
        return spec
    place, slash, pattern = spec.rpartition("/")
    folder = Path(as_path(place or slash or ".")).expanduser()
    if not folder.is_dir():
        raise ValueError(f"no such folder: {folder}; shards are files of one folder")
    there = shards_in(folder)
    names = _expand(pattern, f"{place}{slash}{there or EXAMPLE}")
    if missing := [name for name in names if not (folder / as_path(name)).is_file()]:
        has = f"; it has {there}" if there else ""
        raise ValueError(f"{folder} has no {first_few(missing)}{has}")
    return f"{as_text(folder.resolve())}/{pattern}"


def open_shards(spec: str, channels: int, compare: bool = False) -> tuple[ShardIndex, Parts]:
    """The index of these shards, and the rows of each split.

    With an index beside them, training shards bring its validation and test images with them.
    With `compare` they are read as a whole and compared with the sums of the index, as those on the
    web are when they are fetched. Raises a ValueError for shards that are damaged or are not those
    of the index, and for images without a label, and an OSError when one cannot be fetched.
    """
    folder, _, pattern = spec.rpartition("/")
    names = _expand(pattern)
    index = _index_beside(folder)
    if index is None:
        archives = [Archive(f"{folder}/{name}") for name in names]
        index = kept_index(archives, lambda: _scan(archives, channels))
        return index, index.parts(range(len(archives)))
    numbers = {archive.name: i for i, archive in enumerate(index.archives)}
    if unknown := [name for name in names if name not in numbers]:
        raise ValueError(f"{folder}/{INDEX} does not list {first_few(unknown)}")
    wanted = {numbers[name] for name in names}
    if "train" in {index.splits[i] for i in wanted}:
        wanted |= {i for i, split in enumerate(index.splits) if split != "train"}
    if not folder.startswith(WEB):
        _require_same(index, wanted)
        if compare:
            _require_sums([index.archives[i] for i in sorted(wanted)])
    return index, index.parts(wanted)


def shards_in(folder: Path) -> str:
    """How the shards in a folder are named together, as `--data` takes them; empty without any.

    With an index beside them those for training, which bring the others with them.
    """
    stems = [as_text(path.stem) for path in folder.glob(f"*{ENDING}")]
    if (folder / INDEX).is_file():
        stems = [stem for stem in stems if _split_of(stem) == "train"]
    stems = [stem for stem in stems if not set(stem) & set("{},\\")]
    return braced(stems) + ENDING if stems else ""


def _expand(pattern: str, like: str = EXAMPLE) -> list[str]:
    try:
        expand = import_module("braceexpand").braceexpand
    except ImportError:
        raise ValueError(
            "shards need the package webdataset (pip install 'classicnets[shards]')"
        ) from None
    sizes = [abs(int(last) - int(first)) + 1 for first, last in RANGE.findall(pattern)]
    try:
        if len(pattern) > LONGEST or prod(sizes) > MOST:
            raise ValueError(f"at most {MOST:,} shards are read")
        names = list(islice(expand(pattern), MOST))
    except (ValueError, RecursionError) as error:
        reason = plain_reason(error).partition(":")[0]
        raise ValueError(
            f"the names {short(pattern, 200)} are not legal: {reason}; they are written as in "
            f"{option('data', like)}"
        ) from None
    if odd := [name for name in names if not name.endswith(ENDING) or set(name) & {"\0", "\\"}]:
        raise ValueError(f"the shard {short(odd[0], 200)!r} does not end with {ENDING}")
    return list(dict.fromkeys(names))


def _index_beside(folder: str) -> ShardIndex | None:
    if not folder.startswith(WEB):
        path = Path(as_path(folder)) / INDEX
        return read_index(path, folder) if path.is_file() else None
    place = Archive(f"{folder}/{INDEX}")
    with locked(place.folder):
        path = cache() / place.folder / INDEX
        try:
            retrieve(place.place, path)
        except FileNotFoundError:
            return None
        return read_index(path, folder)


def _require_same(index: ShardIndex, wanted: set[int]) -> None:
    """Raises a ValueError for shards that are missing, or of another size than in the index."""
    for i in sorted(wanted):
        archive = index.archives[i]
        path = archive.path()
        found = path.stat().st_size if path.is_file() else None
        if found is None:
            raise ValueError(f"no {path}, which {INDEX} lists")
        if found != archive.bytes:
            raise ValueError(
                f"{path} has {found:,} bytes, and by {INDEX} beside it {archive.bytes:,}"
            )


def _require_sums(archives: Sequence[Archive]) -> None:
    """Raises a ValueError for a shard that has other bytes than when its index was made."""
    paths = [str(archive.path()) for archive in archives]
    digests = indexed_digests(paths, task="comparing shards")
    for archive, found in zip(archives, digests, strict=True):
        if archive.sha256 not in ("", found):
            raise ValueError(
                f"{archive.place} is damaged: its SHA-256 sum is {found}, and by {INDEX} beside it "
                f"{archive.sha256}"
            )


def _scan(archives: Sequence[Archive], channels: int) -> ShardIndex:
    """The index of shards that have none, by their headers."""
    rows, texts = [], []
    archives = list(sized(archives))
    for number, archive in enumerate(archives):
        for offset, length, text in _samples(archive):
            rows.append((number, offset, length))
            texts.append(text)
        progress.get()("reading shards", number + 1, len(archives))
    if not rows:
        raise ValueError(f"{archives[0].place} has no images with their labels in .cls files")
    numeric = all(text.isascii() and text.isdecimal() for text in texts)
    classes = sorted(set(texts), key=int if numeric else str)
    labels = {text: k for k, text in enumerate(classes)}
    members = Members(archives, torch.tensor(rows))
    sizes, _ = read_sizes(members, channels if len(rows) <= CHECK_LIMIT else 0, TASK)
    columns = members.rows, torch.tensor([[labels[text]] for text in texts]), sizes
    splits = tuple(_split_of(archive.name) for archive in archives)
    return ShardIndex(tuple(archives), splits, tuple(classes), torch.cat(columns, 1))


def _split_of(name: str) -> str:
    return next(
        (split for begin, split in KINDS.items() if name.lower().startswith(begin)), "train"
    )


def _samples(archive: Archive) -> Iterator[tuple[int, int, str]]:
    """Offset and length of each image in a shard, and the text of its label."""
    key, image, label = "", None, None
    try:
        with open_regular(archive.path()) as file:
            for entry in (*entries(file), None):
                base, ending = _taken_apart(entry.name) if entry else ("", "")
                if entry is None or base != key:
                    if image:
                        yield *image, _require_label(label, key)
                    key, image, label = base, None, None
                if entry and ending == ".cls":
                    file.seek(entry.offset)
                    label = file.read(min(entry.length, LABEL)).decode().strip()
                elif entry and ending.lower() in image_suffixes() and not image:
                    image = entry.offset, entry.length
    except (OSError, ValueError) as error:
        raise ValueError(f"{archive.place} cannot be read: {plain_reason(error)}") from error


def _taken_apart(name: str) -> tuple[str, str]:
    """The key of a sample and the ending, which begins with the first dot of the file name."""
    folder, _, name = name.rpartition("/")
    base, dot, ending = name.partition(".")
    return f"{folder}/{base}", dot + ending


def _require_label(label: str | None, key: str) -> str:
    if not label:
        raise ValueError(f"the image {key.lstrip('/')} has no label; that is a file {key}.cls")
    return label
