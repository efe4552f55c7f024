"""A folder of one's own pictures, a folder for each class, decoded once into memory.

Either the classes lie directly in the folder, or in `train/`, `val/` and `test/` inside it. What is
missing of validation and test is split off from the training pictures by a seed.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from .images import TEST, VALIDATION, Images, Splits, stratified
from .picture import SUFFIXES, read_picture

IN_MEMORY = 4 * 2**30  # bytes of decoded pictures
NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def read_folder(root: Path, side: int, channels: int, seed: int = 0) -> Splits:
    """All pictures below `root` as squares of `side` pixels, split for training.

    Classes are ordered by name. Raises a ValueError when there are no pictures, fewer than two
    classes, too few pictures to split, or more than memory should hold.
    """
    folders = {NAMES[p.name]: p for p in _folders(root) if p.name in NAMES}
    if "train" not in folders:
        folders = {"train": root}
    classes = _classes(folders["train"])
    missing = [name for name in ("val", "test") if name not in folders]
    parts: dict[str, Images] = {}
    skipped: list[str] = []
    for name, folder in folders.items():
        parts[name], unreadable = _read(folder, classes, side, channels)
        _require(folder, parts[name], classes, 1 + len(missing) if name == "train" else 1)
        skipped += unreadable
    if missing:
        whole = parts["train"]
        shares = tuple({"val": VALIDATION, "test": TEST}[name] for name in missing)
        drawn = stratified(whole.labels, seed, shares)
        for name, indices in zip(("train", *missing), drawn, strict=True):
            parts[name] = Images(whole[indices], whole.labels[indices])
    return Splits(str(root), classes, parts["train"], parts["val"], parts["test"], tuple(skipped))


def read_whole(root: Path, side: int, channels: int) -> tuple[tuple[str, ...], Images]:
    """The classes of a folder and all its pictures, or those of its `test/`; nothing is skipped."""
    root = root / "test" if (root / "test").is_dir() else root
    classes = _classes(root, least=1)
    images, skipped = _read(root, classes, side, channels)
    if skipped:
        raise ValueError(f"{skipped[0]}; an evaluation leaves nothing out")
    return classes, images


def _classes(root: Path, least: int = 2) -> tuple[str, ...]:
    classes = tuple(path.name for path in _folders(root))
    if not classes:
        loose = sum(path.suffix.lower() in SUFFIXES for path in root.iterdir())
        held = f"{loose} pictures but no folder" if loose else "no folder"
        raise ValueError(f"{root} holds {held} of pictures; there must be one for each class")
    if len(classes) < least:
        raise ValueError(f"{root} has one class only, {classes[0]!r}; there must be at least two")
    return classes


def _read(root: Path, classes: Sequence[str], side: int, channels: int) -> tuple[Images, list[str]]:
    if strange := [path.name for path in _folders(root) if path.name not in classes]:
        raise ValueError(f"{root} has the class {strange[0]!r}, which the training part has not")
    files = [(path, k) for k, name in enumerate(classes) for path in _pictures(root / name)]
    if not files:
        raise ValueError(f"the folders in {root} hold no pictures")
    if (size := len(files) * channels * side**2) > IN_MEMORY:
        raise ValueError(
            f"{root}: {len(files):,} pictures of {channels}x{side}x{side} need "
            f"{size / 2**30:.1f} GiB in memory; at most {IN_MEMORY / 2**30:.0f} GiB are read"
        )
    pixels = torch.empty(len(files), channels, side, side, dtype=torch.uint8)
    reasons: list[str | None] = [None] * len(files)

    def decode(i: int) -> None:
        try:
            pixels[i] = read_picture(files[i][0], side, channels)
        except ValueError as error:
            reasons[i] = str(error)

    with ThreadPoolExecutor() as threads:
        list(threads.map(decode, range(len(files))))
    skipped = [reason for reason in reasons if reason]
    labels = torch.tensor([label for _, label in files])
    if not skipped:
        return Images(pixels, labels), []
    sound = torch.tensor([reason is None for reason in reasons])
    return Images(pixels[sound], labels[sound]), skipped


def _require(root: Path, images: Images, classes: Sequence[str], needed: int) -> None:
    counts = torch.bincount(images.labels, minlength=len(classes))
    if counts.min() < needed:
        raise ValueError(
            f"class {classes[int(counts.argmin())]!r} in {root} has {counts.min()} pictures that "
            f"can be read; it needs at least {needed}"
            + (", one for each of training, validation and test" if needed == 3 else "")
        )


def _folders(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))


def _pictures(root: Path) -> list[Path]:
    return sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
