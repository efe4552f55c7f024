"""A series of plates, drawn one after another, and writing them as files."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from classicnets.data.image_file import image_suffixes
from classicnets.support.errors import first_few, shell
from classicnets.support.files import write_atomic
from classicnets.support.names import encoded
from classicnets.support.plots import png
from classicnets.support.tables import html_text

from .page import Plate, Shown, page

Drawing = tuple[Figure, dict[str, Any]]  # and the arrays it was drawn from


@dataclass(frozen=True, repr=False)
class Plates:
    """The plates of a run; iterating draws one after another.

    One that cannot be drawn becomes a plate without a figure that gives the reason; if none can,
    iterating ends in a ValueError. `shown` are the images with their predictions, and `unreadable`
    holds why others of a folder were left out.
    """

    title: str
    subtitle: str
    steps: list[tuple[str, str, Callable[[], Drawing]]]
    shown: list[Shown]
    unreadable: list[str]

    def __len__(self) -> int:
        return len(self.steps)

    def __repr__(self) -> str:
        count = f"{len(self)} plate{'s' * (len(self) != 1)}"
        return f"{self.title}, {count}: {', '.join(name for name, *_ in self.steps)}"

    def _repr_html_(self) -> str:
        head = html_text(self.title, "h3") + html_text(self.subtitle, "p")
        return head + "".join(part._repr_html_() for part in (*self.shown, *self))

    def save(self, out: str | Path, npz: bool = False) -> list[Path]:
        """Draws the plates and writes them, as the function `save` does."""
        check_out(self, Path(out))  # before they are drawn
        return save(self, list(self), Path(out), npz)

    def __iter__(self) -> Iterator[Plate]:
        reasons = []
        for name, text, draw in self.steps:
            try:
                figure, values = draw()
            except (ValueError, OSError) as error:
                reasons.append(str(error))
                yield Plate(name, str(error))
            else:
                yield Plate(name, text, figure, {k: _array(v) for k, v in values.items()})
        if len(reasons) == len(self.steps):
            raise ValueError("; ".join(dict.fromkeys(reasons)))


def check_out(series: Plates, out: Path) -> None:
    """Raises a ValueError where the plates cannot be written to `out`; see `save`."""
    kind = out.suffix.lower()
    if kind in image_suffixes() | {".pdf", ".svg", ".eps", ".htm"} and kind != ".png":
        raise ValueError(f"plates are written as PNG files or one HTML page, not {kind}: {out}")
    if kind == ".png" and len(series) != 1:
        names = first_few([name for name, *_ in series.steps], 5)
        raise ValueError(
            f"{out} is one image, but there are {len(series)} plates: {names}; give a directory, "
            f"such as {shell(out.with_suffix(''))}, or ask for one plate"
        )


def save(series: Plates, plates: Sequence[Plate], out: Path, npz: bool = False) -> list[Path]:
    """Writes the plates as PNG files into the folder `out`, as one page if it ends in .html, or a
    single one as that file if it ends in .png.

    With `npz` also the arrays of each plate. Returns the paths of the images, or of the page.
    Raises a ValueError for several plates in one PNG file and for other image formats, and an
    OSError for a path that cannot be written.
    """
    check_out(series, out)
    kind = out.suffix.lower()
    folder = out.parent if kind in (".html", ".png") else out
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for plate in plates:
        file = out if kind == ".png" else folder / f"{plate.name}.png"
        if plate.figure is not None and kind != ".html":
            write_atomic(file, png(plate.figure))
            written.append(file)
        if npz and plate.arrays:
            write_atomic(file.with_suffix(".npz"), _npz(plate.arrays))
    if kind == ".html":
        text = page(series.title, series.subtitle, plates, series.shown)
        write_atomic(out, encoded(text))
        written.append(out)
    return written


def _npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    """As `np.savez_compressed`, which takes no array of the name `file`."""
    buffer = io.BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
    return buffer.getvalue()


def _array(value: Any) -> np.ndarray:
    return value.numpy() if isinstance(value, Tensor) else np.array(value)
