"""What the numbers of a part may be, said where the part is made."""

import math
from typing import Any


def bounded(part: Any, **bounds: tuple[float | int, float | int]) -> None:
    """Raises a ValueError for a field outside its bounds, both of them legal.

    >>> from types import SimpleNamespace
    >>> bounded(SimpleNamespace(share=1.5), share=(0, 1))
    Traceback (most recent call last):
    ValueError: share of SimpleNamespace must be 0 to 1, not 1.5
    """
    for name, (low, high) in bounds.items():
        value = getattr(part, name)
        if not low <= value <= high:  # nor is what is no number
            legal = f"at least {low:g}" if high == math.inf else f"{low:g} to {high:g}"
            raise ValueError(f"{name} of {type(part).__name__} must be {legal}, not {value}")
