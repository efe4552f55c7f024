"""Commands, run as a user types them."""

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def run_in() -> Callable[[Path, Sequence[str], int], subprocess.CompletedProcess]:
    """Runs a command in a directory, without standard input, on so many columns."""

    def run(desk: Path, command: Sequence[str], columns: int) -> subprocess.CompletedProcess:
        return subprocess.run(
            command,
            cwd=desk,
            env={**os.environ, "COLUMNS": str(columns)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run
