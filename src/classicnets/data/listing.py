"""Picture files with a label each, and how they become the three parts of a data set."""

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import file_digest, sha256
from pathlib import Path

import torch

from .decode import read_images, read_sizes
from .images import TEST, VALIDATION, ImageFiles, Images, Splits, require, stratified

IN_MEMORY = 4 * 2**30  # bytes of decoded pictures
COMPARED = 200_000  # pictures; to decode or compare more of them beforehand takes too long
PARTS = ("train", "val", "test")
UNREADABLE = ("skip", "refuse")  # what to do with a file that cannot be read


@dataclass(frozen=True)
class Listing:
    """Files and labels for `train` and, as far as there are any, for `val` and `test`.

    What is missing is split off from the training pictures: `shares` of each class, or that many.
    `table` is the file in `root` that names them, if one does.
    """

    root: Path
    classes: tuple[str, ...]
    parts: dict[str, list[tuple[Path, int]]]
    shares: dict[str, float | int] = field(
        default_factory=lambda: {"val": VALIDATION, "test": TEST}
    )
    table: Path | None = None


def read_listing(
    listing: Listing,
    side: int,
    channels: int,
    seed: int = 0,
    whole: bool = False,
    unreadable: str = "skip",
) -> Splits:
    """The pictures of a listing, split for training, as `open_data` describes them.

    Each file is decoded once, so that none ends a training later, unless they are too many.
    Raises a ValueError when a class has too few pictures in a part, or one cannot be read and that
    is to be refused.
    """
    source, classes = str(listing.table or listing.root), listing.classes
    few = sum(map(len, listing.parts.values())) <= COMPARED
    missing = [name for name in PARTS if name not in listing.parts]
    parts: dict[str, Images | ImageFiles] = {}
    paths: dict[str, list[Path]] = {}
    skipped: list[str] = []
    taken = sum(s if isinstance(s := listing.shares[name], int) else 1 for name in missing)
    for name in (name for name in PARTS if name in listing.parts):
        files = listing.parts[name]
        parts[name], paths[name], reasons = _read(files, side, channels, whole, few)
        if reasons and unreadable == "refuse":
            raise ValueError(reasons[0])
        skipped += reasons
        where = f"{source}, {name} part," if len(listing.parts) > 1 else source
        require(where, parts[name], classes, 1 + taken if name == "train" else 1)
    if missing:
        all_of_it, all_paths = parts["train"], paths["train"]
        shares = tuple(listing.shares[name] for name in missing)
        drawn = stratified(all_of_it.labels, seed, shares)
        for name, indices in zip(("train", *missing), drawn, strict=True):
            parts[name] = all_of_it.part(indices)
            paths[name] = [all_paths[int(i)] for i in indices.tolist()]
    return Splits(
        name=source,
        classes=classes,
        train=parts["train"],
        validation=parts["val"],
        test=parts["test"],
        skipped=tuple(skipped),
        duplicates=tuple(_duplicates(paths)) if few else (),
        digest=_digest(listing),
    )


def read_all(
    files: Sequence[tuple[Path, int]], side: int, channels: int, whole: bool = False
) -> Images | ImageFiles:
    """All these pictures. Raises a ValueError when one cannot be read."""
    images, _, reasons = _read(files, side, channels, whole, len(files) <= COMPARED)
    if reasons:
        raise ValueError(f"{reasons[0]}; an evaluation leaves nothing out")
    return images


def _read(
    files: Sequence[tuple[Path, int]], side: int, channels: int, whole: bool, tried: bool
) -> tuple[Images | ImageFiles, list[Path], list[str]]:
    """What can be read, the paths of that, and why the rest cannot."""
    paths = [path for path, _ in files]
    labels = torch.tensor([label for _, label in files], dtype=torch.long)
    if whole or len(files) * channels * side**2 > IN_MEMORY:
        sizes, reasons = read_sizes(paths, channels if tried else 0)
        images = ImageFiles([str(path) for path in paths], labels, sizes, channels)
    else:
        pixels, reasons = read_images(paths, side, channels)
        images = Images(pixels, labels)
    if reasons:
        sound = [i for i in range(len(files)) if i not in reasons]
        images, paths = images.part(torch.tensor(sound).long()), [paths[i] for i in sound]
    return images, paths, [reasons[i] for i in sorted(reasons)]


def _duplicates(paths: dict[str, list[Path]]) -> list[str]:
    """Which files hold the same bytes in two parts: what is tested was learnt by heart."""
    sizes: dict[int, list[tuple[str, Path]]] = defaultdict(list)
    for name, files in paths.items():
        for path in files:
            sizes[path.stat().st_size].append((name, path))
    first: dict[str, tuple[str, Path]] = {}
    found = []
    for same in sizes.values():
        if len({name for name, _ in same}) < 2:
            continue
        for name, path in same:
            with path.open("rb") as file:
                digest = file_digest(file, "sha256").hexdigest()
            other, where = first.setdefault(digest, (name, path))
            if other != name:
                found.append(f"{where} ({other}) and {path} ({name}) are the same picture")
    return found


def _digest(listing: Listing) -> str:
    """Stands for names, sizes, classes and parts: reading all files again would take too long."""
    digest = sha256()
    for part, files in listing.parts.items():
        for path, label in files:
            # a table may name what is not there
            size = path.stat().st_size if path.exists() else None
            told = (path.relative_to(listing.root), size, listing.classes[label], part)
            digest.update(os.fsencode("".join(f"{fact}\0" for fact in told)))
    return digest.hexdigest()
