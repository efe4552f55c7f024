"""Python files that the user names: the only code from outside that runs."""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from .errors import one_line


def run_file(path: Path) -> ModuleType:
    """The module of a Python file. Raises a ValueError when it is missing or fails."""
    if not path.is_file():
        raise ValueError(f"no such file: {path}")
    spec = importlib.util.spec_from_file_location(f"classicnets file {path.stem}", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look up their annotations there
    with guarded(path, f"{path} does not run"):
        spec.loader.exec_module(module)
    return module


@contextmanager
def guarded(path: Path, complaint: str) -> Iterator[None]:
    """Runs a file's code as if in its folder; any failure becomes a ValueError."""
    folder = str(path.parent.resolve())
    sys.path.insert(0, folder)
    try:
        yield
    except (Exception, SystemExit) as error:
        raise ValueError(f"{complaint}: {one_line(error)}") from error
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
