"""The networks of the catalogue as functions, `resnet50(classes=10)`, and their families."""

import inspect
from collections.abc import Callable
from functools import cache, partial, update_wrapper
from typing import Any, Protocol

from .catalog import ALIASES, CATALOG, Entry
from .layers.wiring import Network
from .support.arguments import SIZES, as_ours


class Builder(Protocol):
    """A function that builds a network, with the paper's classes and channels by default.

    The two may also be spelled `num_classes`, and `in_chans` or `in_channels`.
    """

    def __call__(self, classes: int = ..., channels: int = ..., **spelled: int) -> Network: ...


ENTRIES = CATALOG | {alias: CATALOG[name] for alias, name in ALIASES.items()}
FAMILIES = {
    entry.build.func.__name__: entry.build.func
    for entry in CATALOG.values()
    if isinstance(entry.build, partial)
}


def __getattr__(name: str) -> Any:
    if name in ENTRIES or name in FAMILIES:
        return _builder(name)
    raise AttributeError(f"no builder {name!r}")


@cache
def _builder(name: str) -> Callable[..., Network]:
    entry = ENTRIES.get(name)
    make: Any = entry.build if entry else FAMILIES[name]
    parameters = inspect.signature(make).parameters
    takes = [p for p in parameters if p in SIZES or entry is None]

    def build(*args: Any, **options: Any) -> Network:
        return make(**as_ours(name, args, options, takes))

    update_wrapper(build, make)
    build.__name__ = build.__qualname__ = name
    build.__module__, build.__doc__ = __name__, _text(entry) if entry else make.__doc__
    shown = [parameters[p].replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD) for p in takes]
    vars(build)["__signature__"] = inspect.Signature(shown, return_annotation=Network)
    return build


def _text(entry: Entry) -> str:
    paper, (c, h, w) = entry.paper, entry.input
    assert paper is not None
    return (
        f"{entry.name} of {paper.authors}, {paper.year}: images (n, {c}, {h}, {w}) -> scores.\n\n"
        f"{entry.params:,} parameters with the paper's classes and channels.\n"
    )
