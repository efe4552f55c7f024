"""The verb that packs a data set into one file."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from classicnets.data.packed import SUFFIX, write_packed
from classicnets.data.sets import open_data


@dataclass(frozen=True)
class Packed:
    """What has been packed, and why the rest has not."""

    pictures: int
    classes: int
    bytes: int
    skipped: tuple[str, ...]


def pack(
    data: str,
    out: str | Path,
    side: int = 256,
    channels: int = 3,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> Packed:
    """Writes the centre squares of all pictures of `data`, in their parts, to the new file `out`.

    `tell` is called with the pictures done, and their number. Raises a ValueError when there is
    such a file already, or the data cannot be read, and an OSError when it cannot be written.
    """
    path = Path(out).expanduser()
    if path.suffix != SUFFIX:
        raise ValueError(f"{out} must end with {SUFFIX}, by which packed files are known")
    if path.exists():
        raise ValueError(f"{out} is there already; choose another name")
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {path.parent} to write to")
    if side < 1 or channels not in (1, 3):
        raise ValueError(
            f"squares have at least one pixel and 1 or 3 channels, not {side=}, {channels=}"
        )
    splits = open_data(data, side, channels, whole=True)
    skipped = write_packed(splits, path, side, tell)
    unreadable = len(skipped) - len(splits.skipped)
    return Packed(sum(splits.sizes) - unreadable, len(splits.classes), path.stat().st_size, skipped)
