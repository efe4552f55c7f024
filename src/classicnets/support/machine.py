"""What this process gets of the machine: its CPU cores, and the memory that malloc keeps for it."""

import ctypes
import os
from contextlib import suppress

# glibc's malloc.h: M_MMAP_MAX (no mmap for large blocks), M_TRIM_THRESHOLD (never trim) and
# M_ARENA_MAX (one heap, since each thread that reads images would keep the memory of one)
MALLOC_OPTIONS = {-4: 0, -1: -1, -8: 1}


def cpu_count() -> int:
    """The CPU cores that this process may use."""
    usable = getattr(os, "sched_getaffinity", None)  # respects containers' limits; Linux only
    return len(usable(0)) if usable else os.cpu_count() or 1


def keep_memory() -> None:
    """Makes malloc keep freed memory for the next step instead of returning it to the system.

    Otherwise each large block is returned and handed out again in pages of 4 KiB: 60,000 of them
    for the gradients of AlexNet. Does nothing where malloc is not glibc's.
    """
    with suppress(AttributeError, OSError, TypeError):
        malloc = ctypes.CDLL(None)
        for option, value in MALLOC_OPTIONS.items():
            malloc.mallopt(option, value)
