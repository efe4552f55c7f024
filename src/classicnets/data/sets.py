"""Data by name or by path: pictures and labels in three parts, ready for training."""

from collections.abc import Callable
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

import torch

from .csv_list import list_table, list_test_table
from .folder import list_folder, list_test
from .hub import read_hub
from .imagenet import list_imagenet, list_imagenette
from .images import ImageFiles, Images, Splits
from .listing import UNREADABLE, Listing, read_all, read_listing
from .packed import SUFFIX, read_packed
from .published import PUBLISHED
from .synthetic import shapes

IMAGENET, HUB = "imagenet:", "hf:"
SHAPES = 600  # drawn for `synthetic`

READ: dict[str, Callable[[int, int, int], Splits]] = {
    **PUBLISHED,
    "synthetic": lambda side, channels, seed: shapes(SHAPES, side, channels, seed),
}
SETS = (*READ, "imagenette")


def open_data(
    spec: str,
    side: int,
    channels: int,
    seed: int = 0,
    whole: bool = False,
    unreadable: str = "skip",
) -> Splits:
    """The data of this name, or in this folder, CSV file or packed file.

    Of a folder or CSV file the pictures become squares of `side` pixels in memory; they stay in
    their files where they are too many for that or, with `whole`, where more of them is needed than
    the centre square. Sets of small pictures and packed files keep the size they have. What cannot
    be read is left out and named in `skipped`, or refused if `unreadable` is "refuse"; of more than
    200,000 files that stay on disk only the beginnings are tried. A part that is missing is drawn
    by `seed`, which no run changes. Raises a ValueError when there is no such data, offering the
    nearest names, or they cannot be trained on, and an OSError when they cannot be downloaded.
    """
    if unreadable not in UNREADABLE:
        raise ValueError(f"unreadable must be {' or '.join(UNREADABLE)}, not {unreadable!r}")
    name = resolve(spec)
    if name in READ:
        return READ[name](side, channels, seed)
    if name.startswith(HUB):
        return read_hub(name.removeprefix(HUB), side, channels, seed)
    if _is_packed(name):
        return read_packed(Path(name), channels)
    splits = read_listing(_listing(name), side, channels, seed, whole, unreadable)
    return replace(splits, name=name)


def open_test(
    spec: str, side: int, channels: int, classes: tuple[str, ...], whole: bool = False
) -> Images | ImageFiles:
    """Pictures to be judged by a network that has been trained on these classes.

    Of a named set, its test part; of a folder or CSV file, its test part if there is one, else all
    of it. Raises a ValueError when one of them cannot be read or is of another class.
    """
    name = resolve(spec)
    if name in READ or name.startswith(HUB) or _is_packed(name):
        splits = open_data(name, side, channels)
        found, images = splits.classes, splits.test
    else:
        found, files = _test(name)
        images = read_all(files, side, channels, whole)
    if unknown := set(found) - set(classes):
        raise ValueError(
            f"{spec} has the class {min(unknown)!r}, which the network was not trained on; "
            f"it knows {', '.join(classes)}"
        )
    order = torch.tensor([classes.index(name) for name in found])
    return replace(images, labels=order[images.labels])


def resolve(spec: str) -> str:
    """What `spec` means wherever one stands: the name of a set, or a whole path.

    Raises a ValueError that offers the nearest names when there is neither.
    """
    if spec in SETS or spec.startswith(HUB):
        return spec
    prefix = IMAGENET if spec.startswith(IMAGENET) else ""
    path = Path(spec.removeprefix(prefix)).expanduser()
    if path.is_dir():
        return prefix + str(path.resolve())
    if prefix:
        raise ValueError(f"there is no folder {path}; {IMAGENET} goes before the one with train")
    if path.suffix.lower() in (".csv", SUFFIX) and path.is_file():
        return str(path.resolve())
    if path.exists():
        raise ValueError(
            f"{spec} is a file; data is a folder that holds a folder for each class, a CSV file of "
            f"paths and labels, or what classicnets pack has written, ending with {SUFFIX}"
        )
    near = get_close_matches(spec, SETS, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there is {', '.join(SETS)}"
    raise ValueError(f"no data set and no folder is called {spec!r}; {hint}")


def _is_packed(name: str) -> bool:
    return name.endswith(SUFFIX) and Path(name).is_file()


def _listing(name: str) -> Listing:
    if name == "imagenette":
        return list_imagenette()
    if name.startswith(IMAGENET):
        return list_imagenet(Path(name.removeprefix(IMAGENET)))
    path = Path(name)
    return list_folder(path) if path.is_dir() else list_table(path)


def _test(name: str) -> tuple[tuple[str, ...], list[tuple[Path, int]]]:
    if name == "imagenette" or name.startswith(IMAGENET):
        listing = _listing(name)
        return listing.classes, listing.parts["test"]
    path = Path(name)
    return list_test(path) if path.is_dir() else list_test_table(path)
