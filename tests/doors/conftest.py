import contextlib
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

import classicnets as cn
from classicnets.cli import main


class Result(NamedTuple):
    """The exit status of a command, and what it printed."""

    status: int
    out: str
    err: str


@pytest.fixture(scope="session")
def run_cli() -> Callable[..., Result]:
    """Runs a command in this process, which saves an import of torch each time."""

    def run(*words: object, stdin: str | None = "") -> Result:
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setattr(sys, "argv", ["classicnets", *map(str, words)])
            patch.setattr(sys, "stdin", None if stdin is None else io.StringIO(stdin))
            with pytest.raises(SystemExit) as end:
                main()
        return Result(int(end.value.code or 0), out.getvalue(), err.getvalue())

    return run


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Path:
    """LeNet-5 after an epoch on the digits."""
    out = tmp_path_factory.mktemp("runs") / "lenet5"
    cn.train("lenet5", epochs=1, out=out).finish()
    return out
