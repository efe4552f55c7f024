"""The public function `pack`, which writes a data set into one file."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from classicnets.data.packed import SUFFIX, write_packed
from classicnets.data.sets import open_data
from classicnets.support.arguments import answering
from classicnets.support.errors import warn_skipped


@dataclass(frozen=True)
class Packed:
    """The numbers of images and classes in a packed file, its size, and why files were skipped."""

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
) -> Packed:
    """Writes the centre squares of all images of `data`, by split, to the new file `out`.

    `progress` is called with the images done and their total. `unreadable` files are skipped, or an
    error ("refuse"). With `allow_missing_classes` validation and test images may lack classes.
    Raises a ValueError when the file exists or the data cannot be read, and an OSError when the
    file cannot be written.
    """
    path = Path(out).expanduser()
    if path.suffix != SUFFIX:
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
    skipped = write_packed(splits, path, side, progress)
    warn_skipped(skipped[len(splits.skipped) :])  # `open_data` has warned of the others
    more = len(skipped) - len(splits.skipped)
    images, classes = sum(splits.sizes) - more, len(splits.classes)
    return Packed(images, classes, path.stat().st_size, (*skipped, *splits.left_out))
