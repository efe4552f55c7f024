"""A folder of one's own pictures, a folder for each class.

Either the classes lie directly in the folder, or in `train/`, `val/` and `test/` inside it. What is
missing of validation and test is split off from the training pictures by a seed, which is not that
of a run. Files and folders whose names begin with a dot are not looked at.
"""

from collections.abc import Sequence
from pathlib import Path

from .decode import IMAGE_SUFFIXES
from .listing import Listing

PARTS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def list_folder(root: Path) -> Listing:
    """All pictures below `root`; classes are ordered by name.

    Raises a ValueError when it is unclear what the classes are, there are no pictures, or fewer
    than two classes.
    """
    folders = _parts(root) or {"train": root}
    if "train" not in folders:
        held = " and ".join(folder.name for folder in folders.values())
        raise ValueError(f"{root} holds {held} but no train with a folder for each class")
    classes = _classes(folders["train"])
    parts = {name: labelled(folder, classes) for name, folder in folders.items()}
    return Listing(root, classes, parts)


def list_test(root: Path) -> tuple[tuple[str, ...], list[tuple[Path, int]]]:
    """The classes of a folder and all its pictures, or those of its `test/`."""
    root = _parts(root).get("test", root)
    classes = _classes(root, least=1)
    return classes, labelled(root, classes)


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
        folder.name for folder in folders if folder not in parts.values() and find_images(folder)
    ]:
        raise ValueError(
            f"{root} holds pictures in {beside[0]} beside {', '.join(f.name for f in holding)}; "
            "it can hold classes or parts, not both"
        )
    return parts


def _classes(root: Path, least: int = 2) -> tuple[str, ...]:
    classes = tuple(path.name for path in _folders(root))
    if not classes:
        loose = sum(path.suffix.lower() in IMAGE_SUFFIXES for path in root.iterdir())
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


def labelled(root: Path, classes: Sequence[str]) -> list[tuple[Path, int]]:
    """The pictures in the folders of these classes, each with the number of its class.

    Raises a ValueError when there is another folder, or no picture.
    """
    if strange := [path.name for path in _folders(root) if path.name not in classes]:
        raise ValueError(f"{root} has the class {strange[0]!r}, which the training part has not")
    files = [(path, k) for k, name in enumerate(classes) for path in find_images(root / name)]
    if not files:
        raise ValueError(f"the folders in {root} hold no pictures")
    return files


def _folders(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))


def find_images(root: Path) -> list[Path]:
    """All image files below a folder, in order; hidden ones are not looked at."""
    return sorted(
        path
        for path in root.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
    )
