"""The batches of an epoch: how many images each needs, and where those left over go."""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from classicnets.support.meta import image_dtype, meta_copy, needs_values
from classicnets.training.recipe.loss import main_head


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
    if not twin.training:
        twin.train()
    try:
        with torch.no_grad(), torch.device("meta"):
            scores = main_head(twin(torch.empty(1, *shape, dtype=image_dtype(twin))))
    except Exception as error:  # anything can happen in your own network
        return 1 + normalises if needs_values(error) else 2
    return 1 if tuple(scores.shape) == (1, classes) else 2
