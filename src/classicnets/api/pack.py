"""The public function `pack`, which writes a data set into one file, or into shards."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from classicnets.data.packed import SUFFIX, write_packed
from classicnets.data.sets import open_data
from classicnets.data.shard_writer import write_shards
from classicnets.support.arguments import answering
from classicnets.support.errors import warn_skipped


@dataclass(frozen=True)
class Packed:
    """The numbers of images and classes in a packed file or shards, their size, and why files were
    skipped.
    """

    images: int
    classes: int
    bytes: int
    skipped: tuple[str, ...]


@answering()
def pack(
    data: str | Path,
    out: str | Path,
    side: int = 256,
    channels: int = 3,
    progress: Callable[[int, int], None] = lambda done, total: None,
    allow_missing_classes: bool = False,
    unreadable: str = "skip",
    shards: int | None = None,
) -> Packed:
    """Writes the centre squares of all images of `data`, by split, to the new file `out`.

    With `shards`, the number of those for training, the images as they are go into tar files in the
    new folder `out`, with an index. `progress` is called with the images done and their total.
    `unreadable` files are skipped, or an error ("refuse"). With `allow_missing_classes` validation
    and test images may lack classes. Raises a ValueError when the file exists or the data cannot be
    read, and an OSError when the file cannot be written.
    """
    path = Path(out).expanduser()
    if shards is not None and shards < 1:
        raise ValueError(f"shards must be at least 1, not {shards}")
    if shards is None and path.suffix != SUFFIX:
        raise ValueError(f"the name of a packed file must end with {SUFFIX}, not {out}")
    if path.exists():
        raise ValueError(f"{out} already exists; choose another name")
    if not path.parent.is_dir():
        raise ValueError(f"no such folder: {path.parent}")
    if side < 1 or channels not in (1, 3):
        raise ValueError(f"side must be at least 1 and channels 1 or 3, not {side=}, {channels=}")
    splits = open_data(
        data,
        side,
        channels,
        whole=True,
        unreadable=unreadable,
        allow_missing_classes=allow_missing_classes,
    )
    if shards is not None:
        index = write_shards(splits, path, shards, progress)
        size = sum(archive.bytes for archive in index.archives)
        others = (*splits.skipped, *splits.left_out)
        return Packed(len(index.rows), len(splits.classes), size, others)
    skipped = write_packed(splits, path, side, progress)
    warn_skipped(skipped[len(splits.skipped) :])  # `open_data` has warned of the others
    more = len(skipped) - len(splits.skipped)
    images, classes = sum(splits.sizes) - more, len(splits.classes)
    return Packed(images, classes, path.stat().st_size, (*skipped, *splits.left_out))
