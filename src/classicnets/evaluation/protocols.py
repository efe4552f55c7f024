"""How a network is shown the pictures at test time: a written table, name -> protocol.

A protocol maps a network in evaluation mode, pictures, and how they are cut and scaled, to scores
(n, classes) on the CPU.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from classicnets.data.batches import batches
from classicnets.data.images import Images
from classicnets.data.pixels import Scaling
from classicnets.data.views import centre

Protocol = Callable[[nn.Module, Images, int, Scaling, int], Tensor]


@torch.no_grad()
def single(
    network: nn.Module, images: Images, crop: int, scaling: Scaling, batch: int
) -> Float[Tensor, "n classes"]:
    """One view of each picture: the square of `crop` pixels in its centre."""
    order = torch.arange(len(images))
    views = (centre(x, crop) for x, _ in batches(images, order, batch))
    return torch.cat([network(scaling(x)).float().cpu() for x in views])


PROTOCOLS: dict[str, Protocol] = {"single": single}


def protocol(name: str) -> Protocol:
    """The protocol of this name. Raises a ValueError that lists them when there is none."""
    if name not in PROTOCOLS:
        raise ValueError(f"there is no protocol {name!r}; there is {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
