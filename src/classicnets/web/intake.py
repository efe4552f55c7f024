"""A folder or an archive of images on its way from a browser to a data set of the folder served.

All of it gathers in a hidden folder beside the data sets, which becomes one of them by a single
renaming, or is removed.
"""

import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from classicnets.support.errors import plain_reason
from classicnets.support.names import file_names

from .archive import Names, Parts, require_bytes, unpack
from .scratch import Scratch

LOOSE = "images"  # the name of a set that has none
NAMING = Lock()  # pages adopt in threads


class Intake:
    """What a page takes into `data`, a folder, piece by piece."""

    def __init__(self, data: Path):
        self.data = data
        self.scratch = Scratch(data)
        self._begin()

    def _begin(self) -> None:
        self.names, self.bytes = Names(), 0
        self.parts: Parts = ()
        self.written = 0  # bytes of the file that arrives
        self.complete = False

    def take(self, name: str, at: int, piece: bytes) -> None:
        """Writes a piece of a file: the first of a further one, or what follows in the last one.

        Raises a ValueError for a name or an amount that is refused and for a piece out of turn, and
        an OSError where it cannot be written; then all that came before is removed.
        """
        if self.complete:
            raise ValueError("what was sent before is still being read; send this afterwards")
        with self._or_nothing():
            if at == 0:
                self.parts, self.written = self.names.add(name), 0
            if at != self.written:
                raise ValueError(f"a piece of {name!r} is missing; send it again")
            self.bytes += len(piece)
            require_bytes(self.bytes)
            self.scratch.make()
            path = self._sent.joinpath(*self.parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                self.written += file.write(piece)

    @contextmanager
    def _or_nothing(self) -> Iterator[None]:
        """Removes all that came where something is refused or cannot be written."""
        try:
            yield
        except OSError as error:
            self.discard()
            raise OSError(f"the images cannot be kept: {plain_reason(error)}") from error
        except ValueError:
            self.discard()
            raise

    @property
    def _sent(self) -> Path:
        return self.scratch.place / "sent"

    def unpacked(self) -> Path:
        """The folder of the files that came, or of those in the archive that came.

        Raises a ValueError for an archive that is refused, and an OSError where the disk is full;
        then nothing is left.
        """
        self.complete = True
        with self._or_nothing():
            if not self.names.files:
                raise ValueError("no file was sent")
            path = self._sent.joinpath(*self.names.files[0])
            if len(self.names.files) > 1 or not is_archive(path):
                return self._sent
            folder = self.scratch.place / "unpacked"
            folder.mkdir()
            unpack(path, folder)
            return folder

    @property
    def wanted(self) -> str:
        """The name that the set has where it comes from: of its folder, or its archive."""
        (first, *rest), *_ = self.names.files
        name = first if rest else Path(first).stem if len(self.names.files) == 1 else LOOSE
        return file_names([name])[0] or LOOSE

    def adopt(self, folder: Path, taken: Collection[str]) -> Path:
        """Makes a data set of what is in `folder`, under a name that none has; the rest goes."""
        try:
            with NAMING:
                there = [one.name for one in self.data.iterdir()]
                path = self.data / _free(self.wanted, {*taken, *there})
                folder.rename(path)
            return path
        finally:
            self.discard()

    def reject(self, path: Path) -> None:
        """Removes a set that was adopted, after a renaming, so that nobody sees half of it."""
        rejected = Scratch(self.data)  # others may come in
        path.rename(rejected.make() / path.name)
        rejected.remove()

    def discard(self) -> None:
        """Removes what has come so far."""
        self._begin()
        self.scratch.remove()


def is_archive(path: Path) -> bool:
    """Whether a file is one by its name or its content."""
    return path.suffix.lower() == ".zip" or zipfile.is_zipfile(path)


def _free(name: str, taken: Collection[str]) -> str:
    """The name, or the name with a number."""
    same = {one.casefold() for one in taken}
    numbered = (f"{name}-{k}" if k > 1 else name for k in range(1, 10**6))
    return next(one for one in numbered if one.casefold() not in same)
