"""Reads MATLAB files in a process of their own, since a damaged one can crash SciPy's reader.

As a program: `python matlab.py FILE NAME...` writes the arrays as an .npz to standard output.
"""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np

MEMORY = 2**32  # bytes that the process may allocate; SVHN needs a quarter
TIMEOUT = 300  # seconds


def read_mat(path: Path, *names: str) -> list[np.ndarray]:
    """The arrays of these names in a file of MATLAB 4 to 7.2; `a.b` is the field b of a structure.

    Raises a ValueError when they cannot be read.
    """
    command = [sys.executable, "-P", __file__, str(path), *names]
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=TIMEOUT, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"it could not be read in {TIMEOUT} seconds") from None
    if done.returncode < 0:
        raise ValueError(f"SciPy's reader crashed with signal {-done.returncode}")
    if done.returncode:
        lines = done.stderr.decode(errors="replace").splitlines() or ["unknown reason"]
        raise ValueError(lines[-1])
    arrays = np.load(io.BytesIO(done.stdout), allow_pickle=False)
    return [arrays[name] for name in names]


def _main(path: str, *names: str) -> None:
    from scipy.io import loadmat  # only the process of its own needs it

    _limit_memory()
    loaded = loadmat(path, variable_names=[name.partition(".")[0] for name in names])
    arrays = {}
    for name in names:
        variable, _, field = name.partition(".")
        array = loaded[variable]
        arrays[name] = np.array([x.item() for x in array[field].flat]) if field else array
        if arrays[name].dtype.hasobject:
            raise ValueError(f"{name} is not an array of numbers or words")
    np.savez(sys.stdout.buffer, **arrays)


def _limit_memory() -> None:
    try:
        import resource  # noqa: PLC0415  # not on every platform
    except ImportError:
        return
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    soft = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


if __name__ == "__main__":
    try:
        _main(*sys.argv[1:])
    except Exception as error:  # a damaged file makes SciPy raise nearly anything
        sys.exit(f"{type(error).__name__}: {error}".partition("\n")[0])
