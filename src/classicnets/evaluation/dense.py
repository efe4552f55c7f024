"""A network at every position of a larger picture: its fully connected layers as convolutions.

VGG, section 3.2: what the first of them reads is a window that slides over the maps, and the others
are convolutions of 1x1. Written as such a network is not changed: where it flattens its maps, every
position of the window becomes a row.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from classicnets.support.hooks import temporary_hooks


@dataclass(frozen=True)
class Window:
    """Where a network flattens its maps, and the size they have then at its usual input.

    A network without an nn.Flatten has a window of all the picture, and must take any size.
    """

    flatten: nn.Flatten | None
    size: tuple[int, int] = (1, 1)

    @classmethod
    def of(cls, network: nn.Module, x: Float[Tensor, "n c h w"]) -> "Window":
        """The window of a network for images of this size.

        Raises a ValueError when the fully connected layers cannot be slid over larger ones.
        """
        met: list[tuple[nn.Flatten, torch.Size]] = []

        def meet(layer: nn.Module, args: tuple[Any, ...]) -> None:
            assert isinstance(layer, nn.Flatten)
            met.append((layer, args[0].shape))

        flattens = (layer for layer in network.modules() if isinstance(layer, nn.Flatten))
        with temporary_hooks(layer.register_forward_pre_hook(meet) for layer in flattens):
            network(x)
        if not met:
            _require_any_size(network, x)
            return cls(None)
        (flatten, shape), *more = met
        if more or len(shape) != 4 or (flatten.start_dim, flatten.end_dim) != (1, -1):
            raise ValueError(
                f"{_unable(network)}: it does not flatten its maps once, into a row for each image"
            )
        return cls(flatten, (shape[2], shape[3]))


def scores_over(
    network: nn.Module, window: Window, x: Float[Tensor, "n c h w"]
) -> Float[Tensor, "n classes y x"]:
    """A network's scores at each position of its window, one for images of its usual size.

    >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 5))
    >>> scores_over(net, Window.of(net, torch.zeros(1, 1, 4, 4)), torch.zeros(3, 1, 6, 9)).shape
    torch.Size([3, 5, 3, 6])
    """
    if window.flatten is None:
        return network(x)[:, :, None, None]
    places: list[torch.Size] = []

    def spread(_layer: nn.Module, args: tuple[Any, ...], _row: Tensor) -> Tensor:
        h, w = window.size
        patches = args[0].unfold(2, h, 1).unfold(3, w, 1).permute(0, 2, 3, 1, 4, 5)
        places.append(patches.shape[:3])
        return patches.flatten(3).flatten(0, 2)

    with window.flatten.register_forward_hook(spread):
        rows = network(x)
    return rows.unflatten(0, places[0]).permute(0, 3, 1, 2)


def _require_any_size(network: nn.Module, x: Tensor) -> None:
    try:
        network(x.repeat(1, 1, 2, 2))
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"{_unable(network)}: it takes one size only, and has no nn.Flatten before its fully "
            "connected layers"
        ) from error


def _unable(network: nn.Module) -> str:
    return f"{network._get_name()} cannot be applied to whole pictures"
