"""For imbalanced classes: weights in the loss, and an order that has each class equally often.

Either gives the mean over the classes of each one's mean loss, in expectation.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Int64
from torch import Generator, Tensor


def class_weights(labels: Int64[Tensor, " n"], classes: Sequence[str]) -> tuple[float, ...]:
    """n / (k n_c) for each of the k classes, n_c images of n; the mean over the images is 1.

    As scikit-learn's "balanced". Raises a ValueError for a class without images.

    >>> class_weights(torch.tensor([0, 0, 0, 1]), ("cat", "dog"))
    (0.6666666666666666, 2.0)
    """
    counts = _counts(labels, classes)
    return tuple(len(labels) / (len(classes) * count) for count in counts)


def balanced_order(
    labels: Int64[Tensor, " n"], classes: Sequence[str], generator: Generator
) -> Int64[Tensor, " n"]:
    """Indices of as many images as there are labels, in random order, each class equally often.

    Where n is not a multiple of the number of classes, some classes, drawn at random, have one
    more. Within a class each image comes equally often, to within one. Raises a ValueError for a
    class without images.
    """
    counts = _counts(labels, classes)
    each, left = divmod(len(labels), len(classes))
    one_more = torch.randperm(len(classes), generator=generator) < left
    members = labels.argsort(stable=True).split(counts)
    drawn = [
        _draw(of_class, each + more, generator)
        for of_class, more in zip(members, one_more.tolist(), strict=True)
    ]
    return torch.cat(drawn)[torch.randperm(len(labels), generator=generator)]


def _draw(members: Tensor, count: int, generator: Generator) -> Tensor:
    """So many of these: all of them as often as they fit in, and then some, drawn at random."""
    passes = -(-count // len(members))
    orders = [torch.randperm(len(members), generator=generator) for _ in range(passes)]
    return members[torch.cat(orders)[:count]] if passes else members[:0]


def _counts(labels: Tensor, classes: Sequence[str]) -> list[int]:
    counts = torch.bincount(labels, minlength=len(classes)).tolist()
    if 0 in counts:
        name = classes[counts.index(0)]
        raise ValueError(f"class {name!r} has no images for training, so nothing can balance it")
    return counts
