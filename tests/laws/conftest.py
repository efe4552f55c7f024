"""What autograd itself says of a network."""

from collections.abc import Callable

import pytest
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks


@pytest.fixture(scope="session")
def bytes_saved() -> Callable[[nn.Module, Tensor], int]:
    """The bytes that autograd saves for the backward pass, without those of the network itself."""

    def count(network: nn.Module, image: Tensor) -> int:
        own = {t.untyped_storage().data_ptr() for t in (*network.parameters(), *network.buffers())}
        saved: dict[int, Tensor] = {}  # keeps the tensors alive, so that addresses stay unique

        def save(t: Tensor) -> Tensor:
            saved.setdefault(t.untyped_storage().data_ptr(), t)
            return t

        with saved_tensors_hooks(save, lambda t: t):
            network(image)
        return sum(t.untyped_storage().nbytes() for ptr, t in saved.items() if ptr not in own)

    return count
