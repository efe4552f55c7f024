"""Filters as they were learnt, and how many of them are dead or saturated."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from .layers import layer_named

DEAD = 0.05  # of the median filter's root mean square
SATURATED = 3.0


@dataclass(frozen=True)
class Filters:
    """The windows (maps, channels, k, k) of a layer.

    `dead` are filters with hardly any weight, less than a twentieth of the root mean square of the
    median one that lives, and `saturated` those with more than three times as much: the two faults
    that ZFNet's section 4.1 finds in AlexNet's first layer. The paper gives no threshold.
    """

    layer: str
    weights: Float[Tensor, "maps channels y x"]
    rms: Float[Tensor, " maps"]
    dead: tuple[int, ...]
    saturated: tuple[int, ...]

    def pictures(self, jointly: bool = False) -> Float[Tensor, "pictures colours y x"]:
        """Values in [0, 1], zero as middle grey: a picture a filter, or one for each of its maps.

        In colour where the filters read three channels. Each filter uses the whole range, or
        `jointly` all of them share one.
        """
        w = self.weights
        largest = w.abs().amax() if jointly else w.abs().amax(dim=(1, 2, 3), keepdim=True)
        shades = w / (2 * largest.clamp(min=1e-12)) + 0.5
        return shades if w.shape[1] == 3 else shades.flatten(0, 1)[:, None]


def filters(network: nn.Module, layer: str | None = None) -> Filters:
    """The filters of this layer, or of the first that convolves.

    Raises ValueError for an unknown layer, or one without windows.

    >>> filters(nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU())).weights.shape
    torch.Size([8, 3, 5, 5])
    """
    layers = {
        name: window
        for name, module in network.named_modules()
        if (window := _windows(module)) is not None
    }
    if layer is not None and layer not in layers:
        kind = type(layer_named(network, layer)).__name__
        raise ValueError(f"{layer} is a {kind} without filters; {', '.join(layers)} have some")
    if not layers:
        raise ValueError(f"{type(network).__name__} has no layer with filters")
    name = layer or next(iter(layers))
    w = layers[name].float().cpu()
    rms = w.flatten(1).square().mean(dim=1).sqrt()
    usual = rms[rms > DEAD * rms.max()].median()  # of those that are alive
    return Filters(
        name,
        w,
        rms,
        tuple((rms < DEAD * usual).nonzero()[:, 0].tolist()),
        tuple((rms > SATURATED * usual).nonzero()[:, 0].tolist()),
    )


def has_filters(network: nn.Module, layer: str) -> bool:
    """Whether `filters` can show this layer. Raises a ValueError for an unknown one."""
    return _windows(layer_named(network, layer)) is not None


def _windows(module: nn.Module) -> Tensor | None:
    """The windows (maps, channels, y, x) of a layer that has its own.

    One with a kernel for some pairs of maps only has a window of one channel for each of them.
    """
    w = getattr(module, "weight", None)
    if not isinstance(w, Tensor) or w.ndim not in (3, 4) or not hasattr(module, "kernel_size"):
        return None
    return w.detach()[:, None] if w.ndim == 3 else w.detach()
