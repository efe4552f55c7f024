"""Image folders: one folder for each class, at the top or within `train/`, `val/` and `test/`.

Missing validation and test splits are split off from the training images. Hidden files and folders,
whose names begin with a dot, are ignored, and so is what operating systems leave in folders.
"""

from collections.abc import Sequence
from pathlib import Path

from classicnets.support.errors import first_few

from .files import LOOSE, LeftOut, beside_folders, find_images, list_folders
from .listing import LabelledFiles, Listing

SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def list_folder(root: Path, test: bool = False) -> Listing:
    """All images below `root`, by split; classes are ordered by name.

    With `test` only a test split: the images in `test/`, or all if there is none. Raises a
    ValueError when the layout is ambiguous, or there are no images or, except for a test, fewer
    than two classes.
    """
    folders = _split_folders(root) or {"train": str(root)}
    if test:
        return _list_test(root, folders)
    if "train" not in folders:
        names = " and ".join(Path(folder).name for folder in folders.values())
        raise ValueError(f"{root} has {names} but no train with a folder for each class")
    classes = _classes(folders["train"])
    left_out = beside_folders(root) if folders["train"] != str(root) else []
    splits = {name: label_files(folder, classes, left_out) for name, folder in folders.items()}
    return Listing(root, classes, splits, left_out=left_out)


def _list_test(root: Path, folders: dict[str, str]) -> Listing:
    """The images in `test/`, or all: those of every split, or of the classes at the top."""
    parts = [folder for folder in folders.values() if list_folders(folder)] or [str(root)]
    which = "the test part of" if "test" in folders else "all images of"
    if "test" in folders:
        parts = [folders["test"]]
    classes = tuple(sorted({name for part in parts for name in _classes(part, least=1)}))
    left_out: LeftOut = []
    files = [file for part in parts for file in label_files(part, classes, left_out)]
    return Listing(root, classes, {"test": files}, left_out=left_out, part=which)


def label_files(
    root: str | Path, classes: Sequence[str], left_out: LeftOut | None = None
) -> LabelledFiles:
    """The images in the folders of these classes, with their labels; adds to `left_out`.

    Raises a ValueError when there are folders of other classes, or no image.
    """
    folders, labels = list_folders(root), {name: k for k, name in enumerate(classes)}
    if unknown := [repr(name) for name in folders if name not in labels]:
        raise ValueError(
            f"{root} has the class {first_few(unknown)}, which the training split lacks"
        )
    left_out = [] if left_out is None else left_out
    left_out += beside_folders(root)
    files: LabelledFiles = []
    for name in sorted(folders, key=labels.__getitem__):
        found = find_images(folders[name])
        files += [(path, labels[name]) for path in found.images]
        left_out += found.left_out
    if not files:
        raise ValueError(f"the folders in {root} hold no images")
    return files


def _split_folders(root: Path) -> dict[str, str]:
    """The folders in `root` that are splits; none where its folders are classes.

    A class may be called train, as long as it holds images and other classes lie beside it.
    """
    folders = list_folders(root)
    named = [name for name in folders if name.casefold() in SPLIT_NAMES]
    nested = [name for name in named if list_folders(folders[name])]
    if not nested and len(named) < len(folders):
        return {}
    splits: dict[str, str] = {}
    for name in nested or named:
        split = SPLIT_NAMES[name.casefold()]
        if split in splits:
            raise ValueError(f"{root} has both {Path(splits[split]).name} and {name}; keep one")
        splits[split] = folders[name]
    others = [name for name, folder in folders.items() if folder not in splits.values()]
    if beside := next((name for name in others if find_images(folders[name]).images), None):
        raise ValueError(
            f"{root} has images in {beside} beside {', '.join(nested)}; "
            "it can hold classes or splits, not both"
        )
    return splits


def _classes(root: str | Path, least: int = 2) -> tuple[str, ...]:
    classes = tuple(list_folders(root))
    if not classes:
        loose = sum(reason == LOOSE for reason, _ in beside_folders(root))
        found = f" (loose images: {loose})" if loose else ""
        raise ValueError(f"{root} has no class folders{found}; each class needs a folder of images")
    if len(classes) < least:
        raise ValueError(f"{root} has only one class, {classes[0]!r}; at least two are needed")
    for name in classes:
        try:
            name.encode()
        except UnicodeEncodeError:
            folder = str(Path(root) / name)
            raise ValueError(f"the name of the folder {folder!r} is not UTF-8") from None
    return classes
