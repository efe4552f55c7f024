"""The command `classicnets`, also as `python -m classicnets`."""

from classicnets.support.interrupts import guard_start


def main() -> None:
    """Runs the command line; from its first import on Ctrl-C ends in one line.

    Before, Python answers with its own traceback, for some hundredths of a second: while the
    interpreter starts and imports `site`, in the script that pip installs, and in the import above,
    which the package's own must not shorten by handling signals of programs that import it.
    """
    guard_start()
    from classicnets.cli import main  # noqa: PLC0415

    main()


if __name__ == "__main__":
    main()
