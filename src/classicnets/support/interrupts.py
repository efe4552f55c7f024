"""Ctrl-C before a command has begun to work. Imports nothing that takes time."""

import os
import signal

MESSAGE = b"classicnets: interrupted; unfinished work is not saved\n"
STATUS = 130


def end_at_once(number: int, frame: object) -> None:
    """Ends the process with a line. An import that an exception interrupts may fail in any way."""
    os.write(2, MESSAGE)
    os._exit(STATUS)


def guard_start() -> None:
    """Makes Ctrl-C end the process at once, unless it is ignored or handled already."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, end_at_once)


def guard_work() -> None:
    """Makes Ctrl-C raise a KeyboardInterrupt again, so that what it interrupts can clean up."""
    if signal.getsignal(signal.SIGINT) is end_at_once:
        signal.signal(signal.SIGINT, signal.default_int_handler)
