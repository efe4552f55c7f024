"""Dense evaluation: a network applied at every position of a larger image (VGG, section 3.2).

The first fully connected layer slides over the feature maps, and the later ones act as 1x1
convolutions. The network is not rebuilt: at its nn.Flatten, every position becomes a row.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from classicnets.support.hooks import temporary_hooks


@dataclass(frozen=True)
class DenseHead:
    """The layer that flattens the feature maps, and the size (h, w) of the maps at crop size.

    Without an nn.Flatten the network must accept images of any size, and gives one score vector.
    """

    flatten: nn.Flatten | None
    window: tuple[int, int] = (1, 1)

    @classmethod
    def of(cls, network: nn.Module, x: Float[Tensor, "n c h w"]) -> "DenseHead":
        """The head of a network whose crops have the size of `x`.

        Raises a ValueError when the fully connected layers cannot slide over larger maps.
        """
        calls: list[tuple[nn.Flatten, torch.Size]] = []

        def record(layer: nn.Module, args: tuple[Any, ...]) -> None:
            assert isinstance(layer, nn.Flatten)
            calls.append((layer, args[0].shape))

        flattens = (layer for layer in network.modules() if isinstance(layer, nn.Flatten))
        with temporary_hooks(layer.register_forward_pre_hook(record) for layer in flattens):
            network(x)
        if not calls:
            _require_any_size(network, x)
            return cls(None)
        (flatten, shape), *more = calls
        if more or len(shape) != 4 or (flatten.start_dim, flatten.end_dim) != (1, -1):
            raise ValueError(
                f"{_refusal(network)}: it does not flatten its maps once into a row for each image"
            )
        return cls(flatten, (shape[2], shape[3]))


def dense_scores(
    network: nn.Module, head: DenseHead, x: Float[Tensor, "n c h w"]
) -> Float[Tensor, "n classes y x"]:
    """Class scores at each position of the head's window; 1x1 for images of the crop size.

    >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 5))
    >>> head = DenseHead.of(net, torch.zeros(1, 1, 4, 4))
    >>> dense_scores(net, head, torch.zeros(3, 1, 6, 9)).shape
    torch.Size([3, 5, 3, 6])
    """
    if head.flatten is None:
        return network(x)[:, :, None, None]
    positions: list[torch.Size] = []

    def unfold(_layer: nn.Module, args: tuple[Any, ...], _row: Tensor) -> Tensor:
        h, w = head.window
        patches = args[0].unfold(2, h, 1).unfold(3, w, 1).permute(0, 2, 3, 1, 4, 5)
        positions.append(patches.shape[:3])
        return patches.flatten(3).flatten(0, 2)

    with head.flatten.register_forward_hook(unfold):
        rows = network(x)
    return rows.unflatten(0, positions[0]).permute(0, 3, 1, 2)


def _require_any_size(network: nn.Module, x: Tensor) -> None:
    try:
        network(x.repeat(1, 1, 2, 2))
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"{_refusal(network)}: it takes one size only, and has no nn.Flatten before its fully "
            "connected layers"
        ) from error


def _refusal(network: nn.Module) -> str:
    return f"{network._get_name()} cannot be evaluated densely"
