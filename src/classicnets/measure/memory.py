"""The memory of one training step."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes needed at once in a training step, without the workspaces of single operators."""

    weights: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.optimizer + self.activations


def training_memory(
    parameters: Iterable[Tensor], saved_bytes: int, optimizer_copies: int
) -> TrainingMemory:
    """The memory for these parameters and `saved_bytes` of activations saved for backward.

    The optimizer stores `optimizer_copies` values per weight: 1 for momentum, 2 for Adam. Frozen
    parameters have neither gradients nor optimizer state.
    """
    sizes = [(p.numel() * p.element_size(), p.requires_grad) for p in parameters]
    trained = sum(size for size, requires_grad in sizes if requires_grad)
    return TrainingMemory(
        weights=sum(size for size, _ in sizes),
        gradients=trained,
        optimizer=optimizer_copies * trained,
        activations=saved_bytes,
    )
