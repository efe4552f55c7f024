"""Opens data sets by name or path, for training or evaluation."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path

import torch

from classicnets.support.errors import first_few, option, suggest, warn_skipped
from classicnets.support.names import HUB, as_path, as_text

from .csv_list import list_table
from .files import list_folders
from .folder import list_folder
from .hub import read_hub
from .imagenet import VALIDATION, list_imagenet, list_imagenette
from .imagenet_tar import index_imagenet, is_downloaded
from .images import Splits
from .listing import UNREADABLE, Listing, TestImages, digest_of, facts_of, read_listing, read_test
from .packed import SUFFIX, read_packed
from .published import PUBLISHED
from .shard_index import Parts, ShardIndex
from .shards import ENDING, open_shards, resolve_shards, shards_in
from .splitting import SIZES
from .synthetic import shapes
from .tar import WEB
from .tar_images import tar_digest, tar_splits, tar_test

IMAGENET = "imagenet:"
ARCHIVES = (".zip", ".gz", ".tgz", ".7z", ".rar", ".bz2", ".xz")
SYNTHETIC = 600  # images in `synthetic`

READERS: dict[str, Callable[[int, int, int], Splits]] = {
    **PUBLISHED,
    "synthetic": lambda side, channels, seed: shapes(SYNTHETIC, side, channels, seed),
}
SETS = (*READERS, "imagenette")
_kept: ContextVar[dict[tuple, Splits] | None] = ContextVar("kept", default=None)


@contextmanager
def keep_data() -> Iterator[None]:
    """Within it, data that are opened again in the same way are not read again."""
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def open_data(
    spec: str | Path,
    side: int,
    channels: int,
    seed: int = 0,
    whole: bool = False,
    unreadable: str = "skip",
    allow_missing_classes: bool = False,
) -> Splits:
    """The data set of this name, or in this folder, CSV file, packed file or shards.

    Images of a folder or CSV file become squares of `side` pixels in memory. They stay in their
    files where they need too much memory or, with `whole`, where crops need more than the centre
    square. Published sets of small images and packed files keep their size. Unreadable files are
    skipped and named in `skipped`, or refused if `unreadable` is "refuse", which also compares
    shards with the sums of their index; of more than 200,000 files on disk only the headers are
    read. `seed` decides missing splits, independently of a run's seed. Validation and test images
    must have every class unless `allow_missing_classes`. Raises a ValueError for unknown data, with
    the nearest names, and for data that cannot be trained on, and an OSError when a download fails.
    Skipped files are also a warning.
    """
    _require_choice(unreadable)
    asked = (resolve(spec), side, channels, seed, whole, unreadable, allow_missing_classes)
    if (kept := _kept.get()) is None:
        return _open(*asked)
    if asked not in kept:
        kept[asked] = _open(*asked)
    return kept[asked]


def _open(
    name: str, side: int, channels: int, seed: int, whole: bool, unreadable: str, missing: bool
) -> Splits:
    if name in READERS:
        return READERS[name](side, channels, seed)
    if name.startswith(HUB):
        splits = read_hub(name.removeprefix(HUB), side, channels, seed, missing)
    elif _is_packed(name):
        splits = read_packed(Path(as_path(name)), channels)
    elif _is_in_tar(name):
        index, parts, sizes = _open_tar(name, channels, unreadable)
        about = side, channels, seed, whole, unreadable, missing
        splits = tar_splits(index, parts, name, *about, sizes)
        warn_skipped(splits.skipped)
    else:
        splits = read_listing(_listing(name), side, channels, seed, whole, unreadable, missing)
        splits = replace(splits, name=name)
        warn_skipped(splits.skipped)
    return splits.require_labels(1, missing)


def open_test(
    spec: str | Path,
    side: int,
    channels: int,
    classes: tuple[str, ...],
    whole: bool = False,
    unreadable: str = "skip",
) -> TestImages:
    """Images to evaluate a network that was trained on these classes.

    Of a named set, its test split; of a folder or CSV file, its test split if it has one, else all
    images. Unreadable files are as in `open_data`. Raises a ValueError for an unknown class, and
    when no image can be read.
    """
    _require_choice(unreadable)
    name = resolve(spec)
    if name in READERS or name.startswith(HUB) or _is_packed(name):
        splits = open_data(name, side, channels, allow_missing_classes=True)
        found, test = splits.classes, TestImages(splits.test, which="the test part of")
    elif _is_in_tar(name):
        index, parts, _ = _open_tar(name, channels, unreadable)
        found, test = index.classes, tar_test(index, parts, side, channels, whole, unreadable)
        warn_skipped(test.skipped)
    else:
        listing = _listing(name, test=True)
        found, test = listing.classes, read_test(listing, side, channels, whole, unreadable)
        warn_skipped(test.skipped)
    labels = {name: k for k, name in enumerate(classes)}
    if unknown := [repr(name) for name in found if name not in labels]:
        noun = "class" if len(unknown) == 1 else "classes"
        raise ValueError(
            f"{spec} has the {noun} {first_few(unknown)}, which the network was not trained on; "
            f"it knows {first_few(classes, 20)}"
        )
    order = torch.tensor([labels[name] for name in found])
    return test._replace(images=replace(test.images, labels=order[test.images.labels]))


def fingerprint_of(spec: str) -> str:
    """The `digest` of the data in a folder or a CSV file, without reading the images; else ""."""
    name = resolve(spec)
    if name in READERS or name.startswith(HUB) or _is_packed(name):
        return ""
    if _is_in_tar(name):
        index, parts, _ = _open_tar(name)
        return tar_digest(index, parts)
    listing = _listing(name)
    return digest_of(listing, facts_of(listing))


def is_gone(name: str) -> bool:
    """Whether `resolve` once gave this name for a folder or file that is there no longer.

    Those of a published run are never there: they have their last name only.
    """
    if name in SETS or name.startswith((HUB, *WEB)):
        return False
    if name.endswith(ENDING):
        name = name.rpartition("/")[0]
    path = Path(as_path(name.removeprefix(IMAGENET)))
    return not path.is_absolute() or not path.exists()


def resolve(spec: str | Path) -> str:
    """The name of a data set as it is, or a path made absolute, the same in every locale.

    Raises a ValueError that offers the nearest names when there is neither.
    """
    spec = str(spec)
    if spec in SETS or spec.startswith(HUB):
        return spec
    if spec.endswith(ENDING) and not spec.startswith(IMAGENET):
        return resolve_shards(spec)
    prefix = IMAGENET if spec.startswith(IMAGENET) else ""
    path = Path(as_path(spec.removeprefix(prefix))).expanduser()
    if path.is_dir():
        if not prefix and not list_folders(path) and (names := shards_in(path)):
            whole = IMAGENET + spec if is_downloaded(path) else f"{spec.rstrip('/')}/{names}"
            raise ValueError(f"{spec} holds tar files; write {option('data', whole)}")
        return prefix + as_text(path.resolve())
    if prefix:
        raise ValueError(
            f"no such folder: {path}; {IMAGENET} must be followed by the folder that has train"
        )
    if path.suffix.lower() in (".csv", ".tsv", SUFFIX) and path.is_file():
        return as_text(path.resolve())
    if path.exists():
        unpack = "unpack it; " * (path.suffix.lower() in ARCHIVES)
        raise ValueError(
            f"{spec} is a file that cannot be read as data; {unpack}data is a folder with a "
            f"folder for each class, a CSV file of paths and labels, a {SUFFIX} file of "
            f"classicnets pack, or shards ({ENDING})"
        )
    there = suggest(spec, [*SETS, "imagenet:PATH", "hf:NAME", "the path of a folder or file"])
    raise ValueError(f"unknown data set or path {as_text(spec)!r}; {there}")


def _require_choice(unreadable: str) -> None:
    if unreadable not in UNREADABLE:
        raise ValueError(f"unreadable must be {' or '.join(UNREADABLE)}, not {unreadable!r}")


def _is_packed(name: str) -> bool:
    return name.endswith(SUFFIX) and Path(as_path(name)).is_file()


def _is_in_tar(name: str) -> bool:
    """Whether these are shards, or ImageNet as it is downloaded."""
    if name.startswith(IMAGENET):
        return is_downloaded(Path(as_path(name.removeprefix(IMAGENET))))
    return name.endswith(ENDING)


def _open_tar(
    name: str, channels: int = 0, unreadable: str = ""
) -> tuple[ShardIndex, Parts, Mapping[str, float | int]]:
    """The index, the rows of each split, and the sizes of those that are to be split off."""
    if name.startswith(IMAGENET):
        index = index_imagenet(Path(as_path(name.removeprefix(IMAGENET))))
        return index, index.parts(range(2)), {"validation": VALIDATION}
    return *open_shards(name, channels, unreadable == "refuse"), SIZES


def _listing(name: str, test: bool = False) -> Listing:
    if name == "imagenette":
        return list_imagenette()
    if name.startswith(IMAGENET):
        return list_imagenet(Path(as_path(name.removeprefix(IMAGENET))))
    path = Path(as_path(name))
    return list_folder(path, test) if path.is_dir() else list_table(path, test)
