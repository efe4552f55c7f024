"""The filters of a layer, and which of them are dead or saturated."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from .layers import get_layer, named_layers
from .tiles import fraction_of

DEAD = 0.05  # of the median filter's root mean square
SATURATED = 3.0
COMPUTING = (WeightNorm, SpectralNorm, BasePruningMethod)  # hooks that compute a weight


@dataclass(frozen=True)
class Filters:
    """The kernels (maps, channels, k, k) of a layer, and the root mean square of each filter.

    `dead` filters have less than a twentieth of the median root mean square of the living ones,
    `saturated` filters more than three times as much: the two faults that ZFNet's section 4.1 finds
    in AlexNet's first layer. The paper gives no thresholds.
    """

    layer: str
    weights: Float[Tensor, "maps channels y x"]
    rms: Float[Tensor, " maps"]
    dead: tuple[int, ...]
    saturated: tuple[int, ...]

    def tiles(self, shared_scale: bool = False) -> Float[Tensor, "tiles colours y x"]:
        """The kernels as images in [0, 1], where zero is middle grey.

        One colour image a filter where it reads three channels, else one grey image a channel. Each
        filter uses the whole range, unless all have a `shared_scale`.
        """
        w = self.weights
        largest = w.abs().amax() if shared_scale else w.abs().amax(dim=(1, 2, 3), keepdim=True)
        shades = fraction_of(w, largest) / 2 + 0.5
        return shades if w.shape[1] == 3 else shades.flatten(0, 1)[:, None]


def filters(network: nn.Module, layer: str | None = None) -> Filters:
    """The filters of this layer, or of the first convolution.

    Raises ValueError for an unknown layer, and for one without kernels.

    >>> filters(nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU())).weights.shape
    torch.Size([8, 3, 5, 5])
    """
    modules = {"": network, **named_layers(network)}
    names = [name for name, module in modules.items() if _kernels(module) is not None]
    if not names:
        raise ValueError(f"{type(network).__name__} has no layer with filters")
    name = names[0] if layer is None else layer
    module = modules[name] if layer is None else get_layer(network, name)
    w = _kernels(module)
    if w is None:
        kind = type(module).__name__
        raise ValueError(f"{layer} is a {kind} without filters; choose from {', '.join(names)}")
    w = w.float().cpu()
    rms = w.flatten(1).square().mean(dim=1).sqrt()
    median = rms[rms > DEAD * rms.max()].median()  # of the living ones
    return Filters(
        name,
        w,
        rms,
        tuple((rms < DEAD * median).nonzero()[:, 0].tolist()),
        tuple((rms > SATURATED * median).nonzero()[:, 0].tolist()),
    )


def has_filters(network: nn.Module, layer: str) -> bool:
    """Whether `filters` supports this layer. Raises a ValueError for an unknown one."""
    return _kernels(get_layer(network, layer)) is not None


def _kernels(module: nn.Module) -> Tensor | None:
    """The kernels (maps, channels, y, x) of a convolution, or None for another layer.

    A layer with kernels for some pairs of maps only, such as LeNet-5's C3, has one channel each.
    """
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, COMPUTING):  # it holds the weight of the last forward pass, or none
            hook(module, ())
    w = getattr(module, "weight", None)
    if not isinstance(w, Tensor) or w.ndim not in (3, 4) or not hasattr(module, "kernel_size"):
        return None
    return w.detach()[:, None] if w.ndim == 3 else w.detach()
