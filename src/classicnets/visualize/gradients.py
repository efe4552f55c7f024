"""How the score of a class depends on each pixel: four ways to ask."""

import re

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from . import backward
from .backward import Backwards
from .layers import chosen_class, prepared, scores_of, undisturbed

Picture = Float[Tensor, "c h w"]


def saliency(network: nn.Module, image: Picture, label: int | None = None) -> Picture:
    """The gradient of the score, d score / d pixel (Simonyan et al., arXiv:1312.6034).

    Of the likeliest class unless `label` is given; so for all in this file. Its largest absolute
    value over the channels is what that paper draws. Raises ValueError for a class out of range.
    """
    x = prepared(network, image[None])
    with undisturbed(network):
        return _gradient(network, x, _label(network, x, label))[0].float().cpu()


def guided_backpropagation(network: nn.Module, image: Picture, label: int | None = None) -> Picture:
    """The gradient, rectified at each rectifier also on its way back (arXiv:1412.6806).

    Raises a ValueError for a network without rectifiers, where it would be the plain gradient.
    """
    x = prepared(network, image[None])
    with undisturbed(network):
        label = _label(network, x, label)
        with Backwards({"relu": backward.guided}, backward.plain) as mode:
            gradient = _gradient(network, x, label, backward.UNRECTIFIED_NODES)
    if not mode.counts["relu"]:
        raise ValueError(
            f"guided backpropagation needs rectifiers, and {type(network).__name__} has none; "
            "here it would be the plain gradient"
        )
    return gradient[0].float().cpu()


def integrated_gradients(
    network: nn.Module,
    image: Picture,
    label: int | None = None,
    baseline: Picture | None = None,
    steps: int = 50,
    batch: int = 16,
) -> Picture:
    """The mean gradient on the way from `baseline` (zeros unless given), times the way.

    Sundararajan et al., arXiv:1703.01365; by Gauss-Legendre quadrature. The values add up to the
    difference of the two scores.
    """
    x = prepared(network, image[None])
    origin = torch.zeros_like(x) if baseline is None else prepared(network, baseline[None])
    points, weights = np.polynomial.legendre.leggauss(steps)
    at = torch.from_numpy((points + 1) / 2).to(x)[:, None, None, None]
    share = torch.from_numpy(weights / 2).to(x)[:, None, None, None]
    total = torch.zeros_like(x)
    with undisturbed(network):
        label = _label(network, x, label)
        for a, s in zip(at.split(batch), share.split(batch), strict=True):
            total += (s * _gradient(network, origin + a * (x - origin), label)).sum(0)
    return ((x - origin) * total)[0].float().cpu()


def smoothgrad(
    network: nn.Module,
    image: Picture,
    label: int | None = None,
    noise: float = 0.15,
    count: int = 25,
    batch: int = 16,
    generator: Generator | None = None,
) -> Picture:
    """The mean gradient over `count` copies of the image with Gaussian noise (arXiv:1706.03825).

    Its standard deviation is `noise` times the range of the image's values.
    """
    x = prepared(network, image[None])
    std = noise * (x.max() - x.min())
    total = torch.zeros_like(x)
    draw = generator or Generator().manual_seed(0)
    with undisturbed(network):
        label = _label(network, x, label)
        for start in range(0, count, batch):
            n = min(batch, count - start)
            blurred = x + std * torch.randn(n, *x.shape[1:], generator=draw).to(x)
            total += _gradient(network, blurred, label).sum(0)
    return (total[0] / count).float().cpu()


def _label(network: nn.Module, x: Tensor, label: int | None) -> int:
    with torch.no_grad():
        return chosen_class(scores_of(network, x)[0], label)


def _gradient(
    network: nn.Module, x: Tensor, label: int, passed: re.Pattern[str] | None = None
) -> Tensor:
    pixels = x.detach().requires_grad_()
    scores = scores_of(network, pixels.clone())
    if passed is not None:
        backward.require_all_met(scores, passed)
    return torch.autograd.grad(scores[:, label].sum(), pixels)[0]
