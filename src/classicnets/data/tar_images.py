"""Images in tar files as the splits of a data set."""

import json
from collections.abc import Mapping

import torch
from jaxtyping import Int64
from torch import Tensor

from .decode import TASK, read_images, read_sizes
from .images import ImageFiles, Images, Splits, fingerprint
from .listing import MEMORY_LIMIT, TestImages
from .members import Members
from .shard_index import Parts, ShardIndex
from .splitting import SIZES, completed


def tar_splits(
    index: ShardIndex,
    parts: Parts,
    name: str,
    side: int,
    channels: int,
    seed: int = 0,
    whole: bool = False,
    unreadable: str = "skip",
    allow_missing_classes: bool = False,
    sizes: Mapping[str, float | int] = SIZES,
) -> Splits:
    """The images of these parts; missing ones are split off from the training images.

    As `read_listing` does, except that duplicates are not looked for.
    """
    if "train" not in parts:
        raise ValueError(f"{name} has no images for training")
    splits: dict[str, Images | ImageFiles] = {}
    skipped: list[str] = []
    for split, rows in parts.items():
        splits[split], reasons = _read(index, rows, side, channels, whole, unreadable)
        skipped += reasons
    splits = completed(name, splits, index.classes, sizes, seed, allow_missing_classes, skipped)
    height, width = parts["train"][:, 4:].median(0).values.tolist()
    return Splits(
        name=name,
        classes=index.classes,
        train=splits["train"],
        validation=splits["validation"],
        test=splits["test"],
        skipped=tuple(skipped),
        digest=tar_digest(index, parts),
        origin=index.origin,
        original=(height, width),
    )


def tar_test(
    index: ShardIndex,
    parts: Parts,
    side: int,
    channels: int,
    whole: bool = False,
    unreadable: str = "skip",
) -> TestImages:
    """The test images of these parts, or all where they have none.

    Raises a ValueError when none can be read.
    """
    rows = parts["test"] if "test" in parts else torch.cat([*parts.values()])
    images, reasons = _read(index, rows, side, channels, whole, unreadable)
    if not len(images):
        raise ValueError(f"none of {len(rows)} images can be read: {reasons[0]}")
    which = "the test part of" if "test" in parts else "all images of"
    return TestImages(images, tuple(reasons), which=which)


def tar_digest(index: ShardIndex, parts: Parts) -> str:
    """A hash of the classes and of where each image is."""
    shards = [[archive.name, archive.bytes] for archive in index.archives]
    about = torch.frombuffer(
        bytearray(json.dumps([index.classes, shards]).encode()), dtype=torch.uint8
    )
    return fingerprint([about.numpy(), *(rows[:, :4].numpy() for rows in parts.values())])


def _read(
    index: ShardIndex,
    rows: Int64[Tensor, "n 6"],
    side: int,
    channels: int,
    whole: bool,
    unreadable: str,
) -> tuple[Images | ImageFiles, list[str]]:
    """The readable images of these rows, and why the others are not."""
    members, labels, sizes = Members(index.archives, rows[:, :3]), rows[:, 3], rows[:, 4:].clone()
    if whole or len(rows) * channels * side**2 > MEMORY_LIMIT:
        unknown = (sizes[:, 0] == 0).nonzero()[:, 0]
        sizes[unknown], found = read_sizes(members.take(unknown), channels)
        reasons = {int(unknown[i]): reason for i, reason in found.items()}
        images = ImageFiles(members, labels, sizes, channels)
    else:
        pixels, reasons = read_images(members, side, channels, task=TASK)
        images = Images(pixels, labels.clone())
    if reasons and unreadable == "refuse":
        raise ValueError(reasons[min(reasons)])
    if reasons:
        images = images.subset(
            torch.tensor([i for i in range(len(rows)) if i not in reasons]).long()
        )
    return images, list(reasons.values())
