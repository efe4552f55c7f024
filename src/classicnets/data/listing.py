"""Listings of labelled image files, and how they become the three splits of a data set."""

import os
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from .decode import TASK, read_images, read_sizes
from .files import LeftOut, summarise
from .images import (
    SAMPLE,
    ImageFiles,
    Images,
    Splits,
    evenly_spaced,
)
from .index import FileFacts, file_facts, indexed_digests, indexed_sizes
from .splitting import TEST, VALIDATION, completed

LabelledFiles = list[tuple[str, int]]

MEMORY_LIMIT = 4 * 2**30  # bytes of decoded images
CHECK_LIMIT = 200_000  # files; of more, decoding and comparing them beforehand takes too long
SPLITS = ("train", "val", "test")
COMPARING = "comparing images"
UNREADABLE = ("skip", "refuse")  # what to do with a file that cannot be read


class TestImages(NamedTuple):
    """Images to evaluate a network on, and which of their data these are; `skipped` and `left_out`
    are as in `Splits`.
    """

    images: Images | ImageFiles
    skipped: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    which: str = ""


@dataclass(frozen=True)
class Listing:
    """Labelled files for `train` and, where they exist, for `val` and `test`.

    A missing split is split off from the training images; `sizes` are as in `stratified_split`.
    `table` is the CSV file in `root` that lists the files, if there is one. `left_out` has the
    files below `root` that are not listed, and `part` says what of the data a test reads.
    """

    root: Path
    classes: tuple[str, ...]
    splits: dict[str, LabelledFiles]
    sizes: dict[str, float | int] = field(default_factory=lambda: {"val": VALIDATION, "test": TEST})
    table: Path | None = None
    left_out: LeftOut = field(default_factory=list)
    part: str = "the test images of"


def read_listing(
    listing: Listing,
    side: int,
    channels: int,
    seed: int = 0,
    whole: bool = False,
    unreadable: str = "skip",
    allow_missing_classes: bool = False,
) -> Splits:
    """The images of a listing in three splits; see `open_data`.

    Up to CHECK_LIMIT files are decoded beforehand, so that a damaged one does not end a training
    later. Raises a ValueError when a class has too few images to split off from, or a file cannot
    be read and `unreadable` is "refuse".
    """
    source, classes = str(listing.table or listing.root), listing.classes
    check = sum(map(len, listing.splits.values())) <= CHECK_LIMIT
    facts = facts_of(listing)
    splits: dict[str, Images | ImageFiles] = {}
    skipped: list[str] = []
    for name in (name for name in SPLITS if name in listing.splits):
        files = listing.splits[name]
        splits[name], reasons = _read(files, facts[name], side, channels, whole, check)
        if reasons and unreadable == "refuse":
            raise ValueError(reasons[0])
        skipped += reasons
    splits = completed(source, splits, classes, listing.sizes, seed, allow_missing_classes, skipped)
    return Splits(
        name=source,
        classes=classes,
        train=splits["train"],
        validation=splits["val"],
        test=splits["test"],
        skipped=tuple(skipped),
        left_out=summarise(listing.left_out, listing.root),
        duplicates=tuple(_duplicates(splits, classes)) if check else (),
        digest=digest_of(listing, facts),
        original=_median_size(splits["train"]),
    )


def read_test(
    listing: Listing, side: int, channels: int, whole: bool = False, unreadable: str = "skip"
) -> TestImages:
    """The images of the test split of a listing, for an evaluation.

    Raises a ValueError when none can be read, or one cannot and `unreadable` is "refuse".
    """
    files, facts = listing.splits["test"], facts_of(listing)["test"]
    images, reasons = _read(files, facts, side, channels, whole, len(files) <= CHECK_LIMIT)
    if reasons and unreadable == "refuse":
        raise ValueError(reasons[0])
    if not len(images):
        raise ValueError(f"none of {len(files)} images can be read: {reasons[0]}")
    left_out = summarise(listing.left_out, listing.root)
    return TestImages(images, tuple(reasons), left_out, listing.part)


def _read(
    files: LabelledFiles, facts: FileFacts, side: int, channels: int, whole: bool, check: bool
) -> tuple[Images | ImageFiles, list[str]]:
    """The readable images, and the reasons why the others are not readable."""
    paths = [path for path, _ in files]
    labels = torch.tensor([label for _, label in files], dtype=torch.long)
    if whole or len(files) * channels * side**2 > MEMORY_LIMIT:
        sizes, reasons = indexed_sizes(paths, facts, channels if check else 0, TASK)
        images = ImageFiles(paths, labels, sizes, channels, facts)
    else:
        pixels, reasons = read_images(paths, side, channels, task=TASK)
        images = Images(pixels, labels, paths=paths, facts=facts)
    if reasons:
        readable = [i for i in range(len(files)) if i not in reasons]
        images = images.subset(torch.tensor(readable).long())
    return images, list(reasons.values())


def _median_size(images: Images | ImageFiles) -> tuple[int, int] | None:
    """Height and width as in the files, of up to 200 of them; None of no images."""
    if not len(images):
        return None
    sample = evenly_spaced(len(images), SAMPLE)
    if isinstance(images, ImageFiles):
        sizes = images.sizes[sample]
    else:
        assert isinstance(images.paths, list)
        sizes, _ = read_sizes([images.paths[i] for i in sample.tolist()])
    height, width = sizes.median(0).values.tolist()
    return height, width


def _duplicates(splits: dict[str, Images | ImageFiles], classes: tuple[str, ...]) -> list[str]:
    """Files with the same bytes in two splits, which leak training images into the evaluation, or
    with two labels, of which one is wrong.
    """
    sizes: dict[int, list[tuple[str, str, str, int]]] = defaultdict(list)
    for split, images in splits.items():
        assert isinstance(images.paths, list)
        assert images.facts is not None
        files = zip(images.paths, images.labels.tolist(), images.facts.tolist(), strict=True)
        for path, label, (size, changed) in files:
            sizes[size].append((split, classes[label], path, changed))
    suspects = [
        (*one, size)
        for size, same_size in sizes.items()
        if len({one[:2] for one in same_size}) > 1
        for one in same_size
    ]
    first: dict[str, tuple[str, str, str]] = {}
    duplicates = []
    facts = np.array([(size, changed) for *_, changed, size in suspects], np.int64).reshape(-1, 2)
    digests = indexed_digests([one[2] for one in suspects], facts, COMPARING)
    for (split, label, path, _, _), digest in zip(suspects, digests, strict=True):
        other, wrong, twin = first.setdefault(digest, (split, label, path))
        if label != wrong:
            duplicates.append(
                f"{twin} ({other}, {wrong}) and {path} ({split}, {label}) are the same image "
                "under two labels"
            )
        elif split != other:
            duplicates.append(f"{twin} ({other}) and {path} ({split}) are the same image")
    return duplicates


def training_digests(data: Splits) -> list[str]:
    """Those of the training images' files, if they have any; of too many files, none."""
    paths = data.train.paths
    if not isinstance(paths, list) or len(paths) > CHECK_LIMIT:
        return []
    return indexed_digests(paths, data.train.facts, COMPARING)


def find_overlap(images: Images | ImageFiles, digests: Collection[str]) -> tuple[str, ...] | None:
    """The files of these images whose content has one of the digests.

    None where that is not known: without digests, for images without files, and for too many.
    """
    paths = images.paths
    if not digests or not paths or not isinstance(paths, list) or len(paths) > CHECK_LIMIT:
        return None
    found = zip(paths, indexed_digests(paths, images.facts, COMPARING), strict=True)
    return tuple(path for path, digest in found if digest in digests)


def facts_of(listing: Listing) -> dict[str, FileFacts]:
    """Split -> the size of each of its files and when it changed."""
    return {name: file_facts([path for path, _ in of]) for name, of in listing.splits.items()}


def digest_of(listing: Listing, facts: Mapping[str, FileFacts]) -> str:
    """A hash of names, sizes, classes and splits: hashing all contents would take too long."""
    digest = sha256()
    top = os.path.join(listing.root, "")
    for split, files in listing.splits.items():
        for (path, label), size in zip(files, facts[split][:, 0].tolist(), strict=True):
            name = os.fsencode(path.removeprefix(top))
            about = f"\0{None if size < 0 else size}\0{listing.classes[label]}\0{split}\0"
            digest.update(name + about.encode())
    return digest.hexdigest()
