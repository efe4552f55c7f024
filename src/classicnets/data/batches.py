"""A data set a batch at a time."""

from collections.abc import Iterator

from jaxtyping import Int64, UInt8
from torch import Tensor

from .images import Images


def batches(
    images: Images, order: Int64[Tensor, " m"], size: int
) -> Iterator[tuple[UInt8[Tensor, "n c h w"], Int64[Tensor, " n"]]]:
    """Pictures and labels in this order; the last batch may be smaller."""
    for indices in order.to(images.labels.device).split(size):
        yield images[indices], images.labels[indices]
