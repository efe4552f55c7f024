"""Listings of labelled image files, and how they become the three splits of a data set."""

import os
from collections import defaultdict
from dataclasses import dataclass, field
from hashlib import file_digest, sha256
from pathlib import Path

import torch
from torch import Tensor

from .decode import read_images, read_sizes
from .images import TEST, VALIDATION, ImageFiles, Images, Splits, require_labels, split_off

LabelledFiles = list[tuple[Path, int]]

MEMORY_LIMIT = 4 * 2**30  # bytes of decoded images
CHECK_LIMIT = 200_000  # files; of more, decoding and comparing them beforehand takes too long
SPLITS = ("train", "val", "test")
UNREADABLE = ("skip", "refuse")  # what to do with a file that cannot be read


@dataclass(frozen=True)
class Listing:
    """Labelled files for `train` and, where they exist, for `val` and `test`.

    A missing split is split off from the training images; `sizes` are as in `stratified_split`.
    `table` is the CSV file in `root` that lists the files, if there is one.
    """

    root: Path
    classes: tuple[str, ...]
    splits: dict[str, LabelledFiles]
    sizes: dict[str, float | int] = field(default_factory=lambda: {"val": VALIDATION, "test": TEST})
    table: Path | None = None


def read_listing(
    listing: Listing,
    side: int,
    channels: int,
    seed: int = 0,
    whole: bool = False,
    unreadable: str = "skip",
) -> Splits:
    """The images of a listing in three splits; see `open_data`.

    Up to CHECK_LIMIT files are decoded beforehand, so that a damaged one does not end a training
    later. Raises a ValueError when a class has too few images in a split, or a file cannot be read
    and `unreadable` is "refuse".
    """
    source, classes = str(listing.table or listing.root), listing.classes
    check = sum(map(len, listing.splits.values())) <= CHECK_LIMIT
    splits: dict[str, Images | ImageFiles] = {}
    paths: dict[str, list[Path]] = {}
    skipped: list[str] = []
    missing = {name: listing.sizes[name] for name in SPLITS if name not in listing.splits}
    left: dict[str, Tensor] = {}
    for name in (name for name in SPLITS if name in listing.splits):
        files = listing.splits[name]
        splits[name], paths[name], reasons = _read(files, side, channels, whole, check)
        if reasons and unreadable == "refuse":
            raise ValueError(reasons[0])
        skipped += reasons
        where = f"{source}, {name} split," if len(listing.splits) > 1 else source
        if name == "train" and missing:
            left = split_off(where, splits[name], classes, missing, seed)
        else:
            require_labels(where, splits[name], classes, 1)
    train, train_paths = splits["train"], paths["train"]
    for name, indices in left.items():
        splits[name] = train.subset(indices)
        paths[name] = [train_paths[int(i)] for i in indices.tolist()]
    return Splits(
        name=source,
        classes=classes,
        train=splits["train"],
        validation=splits["val"],
        test=splits["test"],
        skipped=tuple(skipped),
        duplicates=tuple(_duplicates(paths)) if check else (),
        digest=_digest(listing),
    )


def read_all(
    files: LabelledFiles, side: int, channels: int, whole: bool = False
) -> Images | ImageFiles:
    """All these images, for an evaluation. Raises a ValueError when one cannot be read."""
    images, _, reasons = _read(files, side, channels, whole, len(files) <= CHECK_LIMIT)
    if reasons:
        raise ValueError(f"{reasons[0]}; an evaluation skips no image")
    return images


def _read(
    files: LabelledFiles, side: int, channels: int, whole: bool, check: bool
) -> tuple[Images | ImageFiles, list[Path], list[str]]:
    """The readable images, their paths, and the reasons why the others are not readable."""
    paths = [path for path, _ in files]
    labels = torch.tensor([label for _, label in files], dtype=torch.long)
    if whole or len(files) * channels * side**2 > MEMORY_LIMIT:
        sizes, reasons = read_sizes(paths, channels if check else 0)
        images = ImageFiles([str(path) for path in paths], labels, sizes, channels)
    else:
        pixels, reasons = read_images(paths, side, channels)
        images = Images(pixels, labels)
    if reasons:
        readable = [i for i in range(len(files)) if i not in reasons]
        images, paths = images.subset(torch.tensor(readable).long()), [paths[i] for i in readable]
    return images, paths, list(reasons.values())


def _duplicates(paths: dict[str, list[Path]]) -> list[str]:
    """Files with the same bytes in two splits, which leak training images into the evaluation."""
    sizes: dict[int, list[tuple[str, Path]]] = defaultdict(list)
    for name, files in paths.items():
        for path in files:
            sizes[path.stat().st_size].append((name, path))
    first: dict[str, tuple[str, Path]] = {}
    duplicates = []
    for same_size in sizes.values():
        if len({name for name, _ in same_size}) < 2:
            continue
        for name, path in same_size:
            with path.open("rb") as file:
                digest = file_digest(file, "sha256").hexdigest()
            other, twin = first.setdefault(digest, (name, path))
            if other != name:
                duplicates.append(f"{twin} ({other}) and {path} ({name}) are the same image")
    return duplicates


def _digest(listing: Listing) -> str:
    """A hash of names, sizes, classes and splits: hashing all contents would take too long."""
    digest = sha256()
    for split, files in listing.splits.items():
        for path, label in files:
            size = path.stat().st_size if path.exists() else None  # a table may list missing files
            facts = (path.relative_to(listing.root), size, listing.classes[label], split)
            digest.update(os.fsencode("".join(f"{fact}\0" for fact in facts)))
    return digest.hexdigest()
