"""Files that are either the old one or the new one, never half of one."""

import os
from pathlib import Path


def write(path: Path, content: bytes) -> None:
    """The content at this path, or what stood there before if anything fails on the way.

    Raises an OSError that names the file, as when the disk is full.
    """
    partial = path.with_name(path.name + ".part")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(f"cannot write {path}: {error.strerror}") from error
        raise
