"""What one training step needs to hold at once."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes of one training step. Workspaces of single operators come on top and go again."""

    weights: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.optimizer + self.activations


def training_memory(
    parameters: Iterable[nn.Parameter], saved_bytes: int, optimizer_copies: int
) -> TrainingMemory:
    """Memory for these parameters and `saved_bytes` kept for the backward pass.

    The optimizer holds `optimizer_copies` values a weight: 1 for momentum, 2 for Adam. Frozen
    parameters have neither gradient nor state.
    """
    sizes = [(p.numel() * p.element_size(), p.requires_grad) for p in parameters]
    trained = sum(size for size, trains in sizes if trains)
    return TrainingMemory(
        weights=sum(size for size, _ in sizes),
        gradients=trained,
        optimizer=optimizer_copies * trained,
        activations=saved_bytes,
    )
