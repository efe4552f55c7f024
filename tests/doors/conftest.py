import pytest

from classicnets.cli import main


@pytest.fixture
def typed(capsys, monkeypatch):
    """The exit status of a command, and what it printed, run in this process."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["classicnets", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), *capsys.readouterr()

    return run
