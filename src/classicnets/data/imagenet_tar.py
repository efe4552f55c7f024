"""ImageNet as it is downloaded: tar files that are read where they lie, without being unpacked.

ILSVRC2012_img_train.tar holds a tar file for each class, ILSVRC2012_img_val.tar the images alone,
whose labels are in the development kit, ILSVRC2012_devkit_t12.tar.gz.
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from zlib import error as DamagedError

import torch

from classicnets.support.errors import first_few, plain_reason
from classicnets.support.files import open_regular
from classicnets.support.names import as_text
from classicnets.support.progress import progress

from .decode import TASK, read_sizes
from .download import gunzip
from .imagenet import SYNSETS, TRUTH, label_flat
from .members import Members
from .shard_index import ShardIndex, kept_index, sized
from .tar import Archive, Entry, entries

TRAIN, VAL = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
KIT = "ILSVRC2012_devkit_t12.tar.gz"
SPLITS = ("train", "test")  # of the two files; the papers report their errors on the second


def is_downloaded(root: Path) -> bool:
    """Whether this folder holds the tar files, and not what is in them."""
    return (root / TRAIN).is_file() and not (root / "train").is_dir()


def index_imagenet(root: Path) -> ShardIndex:
    """The index of both files, kept in the cache.

    Raises a ValueError where one is missing or damaged, and where there are no labels.
    """
    if not (root / VAL).is_file():
        raise ValueError(f"{root} has no {VAL} beside {TRAIN}")
    archives = list(sized([Archive(as_text(root.resolve() / name)) for name in (TRAIN, VAL)]))
    return kept_index(archives, lambda: _scan(root, archives))


def _scan(root: Path, archives: list[Archive]) -> ShardIndex:
    train = list(_classes(root / TRAIN))
    classes = tuple(sorted({name for name, _ in train}))
    labels = {name: k for k, name in enumerate(classes)}
    rows = [(0, entry.offset, entry.length, labels[name]) for name, entry in train]
    found = {Path(entry.name).name: entry for entry in _entries(root / VAL)}
    labelled = _labels(root, classes)
    if missing := [name for name, _ in labelled if name not in found]:
        raise ValueError(f"{root / VAL} lacks {first_few(missing)} of the images that have labels")
    rows += [(1, found[name].offset, found[name].length, label) for name, label in labelled]
    table = torch.tensor(rows)
    sizes, _ = read_sizes(Members(archives, table[:, :3]), task=TASK)
    return ShardIndex(tuple(archives), SPLITS, classes, torch.cat([table, sizes], 1))


def _classes(path: Path) -> Iterator[tuple[str, Entry]]:
    """The class and place of each training image."""
    inner = _entries(path)
    for done, entry in enumerate(inner, 1):
        name, ending = Path(entry.name).stem, Path(entry.name).suffix
        if ending != ".tar":
            raise ValueError(f"{path} has {entry.name!r}, not a tar file for each class")
        for image in _entries(path, entry.offset, entry.offset + entry.length):
            yield name, image
        progress.get()("reading shards", done, len(inner))


def _entries(path: Path, start: int = 0, end: int | None = None) -> list[Entry]:
    try:
        with open_regular(path) as file:
            return list(entries(file, start, end))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {plain_reason(error)}") from error


def _labels(root: Path, classes: tuple[str, ...]) -> list[tuple[str, int]]:
    """Name -> label of the images in VAL, by the development kit or Kaggle's solution."""
    if not (root / KIT).is_file():
        return [(Path(path).name, label) for path, label in label_flat(root, classes)]
    with TemporaryDirectory() as folder:
        place = Path(folder, "data")
        place.mkdir()
        _unpack_kit(root / KIT, place)
        return [(Path(path).name, label) for path, label in label_flat(Path(folder), classes)]


def _unpack_kit(path: Path, folder: Path) -> None:
    """Writes the two files of the kit that tell the labels."""
    try:
        content = gunzip(path)
        for entry in entries(content):
            name = Path(entry.name).name
            if name in (Path(TRUTH).name, Path(SYNSETS).name):
                content.seek(entry.offset)
                (folder / name).write_bytes(content.read(entry.length))
    except (OSError, EOFError, ValueError, DamagedError) as error:
        raise ValueError(f"{path} cannot be read: {plain_reason(error)}") from error
