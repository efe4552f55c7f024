import contextlib
import io
import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from classicnets.cli import main


class Result(NamedTuple):
    """The exit status of a command, and what it printed."""

    status: int
    out: str
    err: str


@pytest.fixture(scope="session")
def run_cli() -> Callable[..., Result]:
    """Runs a command in this process, which saves an import of torch each time."""

    def run(*words: object, stdin: str = "") -> Result:
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setattr(sys, "argv", ["classicnets", *map(str, words)])
            patch.setattr(sys, "stdin", io.StringIO(stdin))
            with pytest.raises(SystemExit) as end:
                main()
        return Result(int(end.value.code or 0), out.getvalue(), err.getvalue())

    return run
