"""Image folders: one folder for each class, at the top or within `train/`, `val/` and `test/`.

Missing validation and test splits are split off from the training images. Hidden files and folders,
whose names begin with a dot, are ignored.
"""

from collections.abc import Sequence
from pathlib import Path

from .decode import IMAGE_SUFFIXES
from .listing import LabelledFiles, Listing

SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def list_folder(root: Path, test: bool = False) -> Listing:
    """All images below `root`, by split; classes are ordered by name.

    With `test` only a test split: the images in `test/`, or all if there is none. Raises a
    ValueError when the layout is ambiguous, or there are no images or, except for a test, fewer
    than two classes.
    """
    folders = _split_folders(root) or {"train": root}
    if test:
        root = folders.get("test", root)
        classes = _classes(root, least=1)
        return Listing(root, classes, {"test": label_files(root, classes)})
    if "train" not in folders:
        names = " and ".join(folder.name for folder in folders.values())
        raise ValueError(f"{root} has {names} but no train with a folder for each class")
    classes = _classes(folders["train"])
    splits = {name: label_files(folder, classes) for name, folder in folders.items()}
    return Listing(root, classes, splits)


def label_files(root: Path, classes: Sequence[str]) -> LabelledFiles:
    """The images in the folders of these classes, with their labels.

    Raises a ValueError when there is a folder of another class, or no image.
    """
    if unknown := [path.name for path in _folders(root) if path.name not in classes]:
        raise ValueError(f"{root} has the class {unknown[0]!r}, which the training split lacks")
    files = [(path, k) for k, name in enumerate(classes) for path in find_images(root / name)]
    if not files:
        raise ValueError(f"the folders in {root} hold no images")
    return files


def find_images(root: Path) -> list[Path]:
    """All image files below a folder, sorted, without hidden ones."""
    return sorted(
        path
        for path in root.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
    )


def _split_folders(root: Path) -> dict[str, Path]:
    """The folders in `root` that are splits; none where its folders are classes.

    A class may be called train, as long as it holds images and other classes lie beside it.
    """
    folders = _folders(root)
    named = [folder for folder in folders if folder.name.casefold() in SPLIT_NAMES]
    nested = [folder for folder in named if _folders(folder)]
    if not nested and len(named) < len(folders):
        return {}
    splits: dict[str, Path] = {}
    for folder in nested or named:
        split = SPLIT_NAMES[folder.name.casefold()]
        if split in splits:
            raise ValueError(f"{root} has both {splits[split].name} and {folder.name}; keep one")
        splits[split] = folder
    others = [folder for folder in folders if folder not in splits.values()]
    if beside := next((folder.name for folder in others if find_images(folder)), None):
        raise ValueError(
            f"{root} has images in {beside} beside {', '.join(f.name for f in nested)}; "
            "it can hold classes or splits, not both"
        )
    return splits


def _classes(root: Path, least: int = 2) -> tuple[str, ...]:
    classes = tuple(path.name for path in _folders(root))
    if not classes:
        loose = sum(path.suffix.lower() in IMAGE_SUFFIXES for path in root.iterdir())
        found = f" (loose images: {loose})" if loose else ""
        raise ValueError(f"{root} has no class folders{found}; each class needs a folder of images")
    if len(classes) < least:
        raise ValueError(f"{root} has only one class, {classes[0]!r}; at least two are needed")
    for name in classes:
        folder = str(root / name)
        try:
            folder.encode()
        except UnicodeEncodeError:
            raise ValueError(f"the name of the folder {folder!r} is not UTF-8") from None
    return classes


def _folders(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
