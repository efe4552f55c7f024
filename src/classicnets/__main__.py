"""The command `classicnets`, also as `python -m classicnets`."""

from classicnets.support.interrupts import guard_start


def main() -> None:
    """Runs the command line; from its first import on Ctrl-C ends in one line."""
    guard_start()
    from classicnets.cli import main  # noqa: PLC0415

    main()


if __name__ == "__main__":
    main()
