"""A folder of one's own pictures, a folder for each class, decoded once into memory.

Either the classes lie directly in the folder, or in `train/`, `val/` and `test/` inside it. What is
missing of validation and test is split off from the training pictures by a seed. Files and folders
whose names begin with a dot are not looked at.
"""

import os
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path

import torch

from .images import TEST, VALIDATION, Images, Splits, stratified
from .picture import SUFFIXES, read_pictures

IN_MEMORY = 4 * 2**30  # bytes of decoded pictures
PARTS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def read_folder(root: Path, side: int, channels: int, seed: int = 0) -> Splits:
    """All pictures below `root` as squares of `side` pixels, split for training.

    Classes are ordered by name. Raises a ValueError when it is unclear what the classes are, there
    are no pictures, fewer than two classes, too few pictures to split, or more than memory holds.
    """
    folders = _parts(root) or {"train": root}
    if "train" not in folders:
        held = " and ".join(folder.name for folder in folders.values())
        raise ValueError(f"{root} holds {held} but no train with a folder for each class")
    classes = _classes(folders["train"])
    missing = [name for name in ("val", "test") if name not in folders]
    parts: dict[str, Images] = {}
    skipped: list[str] = []
    files: list[Path] = []
    for name, folder in folders.items():
        labelled = _labelled(folder, classes)
        parts[name], unreadable = _read(folder, labelled, side, channels)
        _require(folder, parts[name], classes, 1 + len(missing) if name == "train" else 1)
        skipped += unreadable
        files += [path for path, _ in labelled]
    if missing:
        whole = parts["train"]
        shares = tuple({"val": VALIDATION, "test": TEST}[name] for name in missing)
        drawn = stratified(whole.labels, seed, shares)
        for name, indices in zip(("train", *missing), drawn, strict=True):
            parts[name] = Images(whole[indices], whole.labels[indices])
    return Splits(
        name=str(root),
        classes=classes,
        train=parts["train"],
        validation=parts["val"],
        test=parts["test"],
        skipped=tuple(skipped),
        digest=_digest(root, files),
    )


def read_whole(root: Path, side: int, channels: int) -> tuple[tuple[str, ...], Images]:
    """The classes of a folder and all its pictures, or those of its `test/`; nothing is skipped."""
    root = _parts(root).get("test", root)
    classes = _classes(root, least=1)
    images, skipped = _read(root, _labelled(root, classes), side, channels)
    if skipped:
        raise ValueError(f"{skipped[0]}; an evaluation leaves nothing out")
    return classes, images


def _parts(root: Path) -> dict[str, Path]:
    """The folders in `root` that are parts of a data set; none where its folders are classes.

    A class may be called train, as long as it holds pictures and other classes lie beside it.
    """
    folders = _folders(root)
    named = [folder for folder in folders if folder.name.casefold() in PARTS]
    holding = [folder for folder in named if _folders(folder)]
    if not holding and len(named) < len(folders):
        return {}
    parts: dict[str, Path] = {}
    for folder in holding or named:
        part = PARTS[folder.name.casefold()]
        if part in parts:
            raise ValueError(f"{root} holds both {parts[part].name} and {folder.name}; keep one")
        parts[part] = folder
    if beside := [
        folder.name for folder in folders if folder not in parts.values() and _pictures(folder)
    ]:
        raise ValueError(
            f"{root} holds pictures in {beside[0]} beside {', '.join(f.name for f in holding)}; "
            "it can hold classes or parts, not both"
        )
    return parts


def _classes(root: Path, least: int = 2) -> tuple[str, ...]:
    classes = tuple(path.name for path in _folders(root))
    if not classes:
        loose = sum(path.suffix.lower() in SUFFIXES for path in root.iterdir())
        held = f"{loose} pictures but no folder" if loose else "no folder"
        raise ValueError(f"{root} holds {held} of pictures; there must be one for each class")
    if len(classes) < least:
        raise ValueError(f"{root} has one class only, {classes[0]!r}; there must be at least two")
    for name in classes:
        folder = str(root / name)
        try:
            folder.encode()
        except UnicodeEncodeError:
            raise ValueError(f"the name of the folder {folder!r} is not UTF-8") from None
    return classes


def _labelled(root: Path, classes: Sequence[str]) -> list[tuple[Path, int]]:
    if strange := [path.name for path in _folders(root) if path.name not in classes]:
        raise ValueError(f"{root} has the class {strange[0]!r}, which the training part has not")
    files = [(path, k) for k, name in enumerate(classes) for path in _pictures(root / name)]
    if not files:
        raise ValueError(f"the folders in {root} hold no pictures")
    return files


def _read(
    root: Path, files: Sequence[tuple[Path, int]], side: int, channels: int
) -> tuple[Images, list[str]]:
    if (size := len(files) * channels * side**2) > IN_MEMORY:
        raise ValueError(
            f"{root}: {len(files):,} pictures of {channels}x{side}x{side} need "
            f"{size / 2**30:.1f} GiB in memory; at most {IN_MEMORY / 2**30:.0f} GiB are read"
        )
    pixels, reasons = read_pictures([path for path, _ in files], side, channels)
    labels = torch.tensor([label for _, label in files])
    if not reasons:
        return Images(pixels, labels), []
    sound = torch.tensor([i not in reasons for i in range(len(files))])
    return Images(pixels[sound], labels[sound]), [reasons[i] for i in sorted(reasons)]


def _require(root: Path, images: Images, classes: Sequence[str], needed: int) -> None:
    counts = torch.bincount(images.labels, minlength=len(classes))
    if counts.min() < needed:
        raise ValueError(
            f"class {classes[int(counts.argmin())]!r} in {root} has {counts.min()} pictures that "
            f"can be read; it needs at least {needed}"
            + (", one for each of training, validation and test" if needed == 3 else "")
        )


def _digest(root: Path, files: Iterable[Path]) -> str:
    """Stands for the names and sizes of the files: reading them all again would take too long."""
    digest = sha256()
    for path in files:
        digest.update(os.fsencode(f"{path.relative_to(root)}\0{path.stat().st_size}\0"))
    return digest.hexdigest()


def _folders(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))


def _pictures(root: Path) -> list[Path]:
    return sorted(
        path
        for path in root.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
    )
