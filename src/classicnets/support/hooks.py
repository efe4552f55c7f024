"""Module hooks that are removed again, also after an error."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from torch.utils.hooks import RemovableHandle


@contextmanager
def temporary_hooks(handles: Iterable[RemovableHandle]) -> Iterator[None]:
    """Removes these hooks at the end of the `with` block.

    >>> from torch import nn, zeros
    >>> layer, calls = nn.ReLU(), []
    >>> with temporary_hooks([layer.register_forward_hook(lambda *_: calls.append(1))]):
    ...     _ = layer(zeros(1))
    >>> _ = layer(zeros(1)); len(calls)
    1
    """
    with ExitStack() as stack:
        for handle in handles:
            stack.enter_context(handle)
        yield
