"""Commands, run as a user types them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def run_in(run_cli) -> Callable[[Path, Sequence[str], int], Any]:
    """Runs a command of classicnets in a directory, in this process, on so many columns.

    Without standard input. tests/doors has tests that start processes.
    """

    def run(desk: Path, command: Sequence[str], columns: int) -> Any:
        program, *words = command
        assert program == "classicnets"
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(desk)
            patch.setenv("COLUMNS", str(columns))
            return run_cli(*words)

    return run
