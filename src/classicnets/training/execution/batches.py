"""The batches of an epoch: how many images each needs, and where those left over go."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from classicnets.support.meta import meta_copy, needs_values
from classicnets.support.modules import image_dtype
from classicnets.training.recipe.loss import Scores, main_head

PASSES = 3  # of a network that may choose its way at random


def batch_sizes(images: int, batch: int, smallest: int) -> list[int]:
    """Batches of `batch` images; what is left over joins the one before if it is too small.

    >>> batch_sizes(13, 6, 1), batch_sizes(13, 6, 2)
    ([6, 6, 1], [6, 7])
    """
    full, left = divmod(images, batch)
    sizes = [batch] * full
    if left >= smallest or not full:
        sizes.append(left)
    else:
        sizes[-1] += left
    return sizes


def images_needed(network: nn.Module, shape: tuple[int, int, int], classes: int) -> int:
    """How many images of `shape` (c, h, w) the network needs to train on: 1, or 2 where it does
    not take a single one, as batch normalisation of one value per map does not.
    """
    normalises = any(isinstance(m, _BatchNorm) and m.training for m in network.modules())
    try:
        twin = meta_copy(network)
    except ValueError:
        return 1 + normalises
    try:
        with torch.no_grad():
            scores = main_head(_pass(twin, (1, *shape)))
    except Exception as error:  # anything can happen in your own network
        return 1 + normalises if needs_values(error) else 2
    return 1 if tuple(scores.shape) == (1, classes) else 2


def leaves_out_parameters(
    network: nn.Module, shape: tuple[int, int, int], loss: Callable[[Scores, Tensor], Tensor]
) -> bool:
    """Whether a training step may not use all parameters: the loss of one of some passes does not
    depend on them, or cannot be followed without values.
    """
    try:
        twin = meta_copy(network)
        trained = [p for p in twin.parameters() if p.requires_grad]
        labels = torch.zeros(2, dtype=torch.long, device="meta")
        for _ in range(PASSES):
            value = loss(_pass(twin, (2, *shape)), labels)
            if any(g is None for g in torch.autograd.grad(value, trained, allow_unused=True)):
                return True
    except Exception:  # anything can happen in your own network, or in your own loss
        return True
    return False


def _pass(twin: nn.Module, shape: tuple[int, ...]) -> Scores:
    """The scores in training mode, on the meta device."""
    if not twin.training:
        twin.train()
    with torch.device("meta"):
        return twin(torch.empty(shape, dtype=image_dtype(twin)))
