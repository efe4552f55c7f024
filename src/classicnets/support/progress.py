"""How far long work below the command line has come."""

from collections.abc import Callable
from contextvars import ContextVar

# called with what is being done, how much is done, and the total
progress: ContextVar[Callable[[str, int, int], None]] = ContextVar(
    "progress", default=lambda name, done, total: None
)
