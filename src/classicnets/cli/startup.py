"""What makes a command start faster."""

import gc
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


def import_torch() -> None:
    """Imports torch a quarter faster: garbage is not looked for among what stays to the end."""
    if "torch" not in sys.modules:
        gc.disable()
        importlib.import_module("torch")
        gc.freeze()
        gc.enable()


@contextmanager
def without_compiler() -> Iterator[None]:
    """Keeps torch from importing `torch._dynamo`, which takes more than a second.

    A forward pass on the meta device imports it only to call its `disable`. The stand-in answers
    that call; any other attribute of it imports the real module, but for its file.
    """
    name = "torch._dynamo"
    if name in sys.modules:
        yield
        return
    disabled: list[Any] = []

    def disable(function: Any, *args: Any, **kwargs: Any) -> Any:
        disabled.append(function)
        return function

    def from_real_module(attribute: str) -> Any:
        if attribute == "__file__":  # which `inspect` asks of every module
            raise AttributeError(attribute)
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]
        return getattr(importlib.import_module(name), attribute)

    stand_in = ModuleType(name)
    vars(stand_in).update(disable=disable, __getattr__=from_real_module)
    sys.modules[name] = stand_in
    try:
        yield
    finally:
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]
        for function in disabled:
            vars(function).pop("__dynamo_disable", None)
