"""Attribution of a class score to pixels.

Saliency, guided backpropagation, integrated gradients and SmoothGrad explain class `label`, by
default the most likely one, and raise ValueError for a class out of range.
"""

import re

import numpy as np
import torch
from torch import Generator, Tensor, nn

from . import backward
from .backward import BackwardRules
from .forward import Image, as_input, class_scores, differentiate, frozen, target_class


def saliency(network: nn.Module, image: Image, label: int | None = None) -> Image:
    """The gradient of the score, d score / d pixel (Simonyan et al., arXiv:1312.6034).

    That paper draws its largest absolute value over the channels.
    """
    x = as_input(network, image[None])
    with frozen(network):
        return _gradient(network, x, _label(network, x, label))[0].float().cpu()


def guided_backpropagation(network: nn.Module, image: Image, label: int | None = None) -> Image:
    """The gradient with ReLU applied in the backward pass too, at each ReLU (arXiv:1412.6806).

    Raises a ValueError for a network without ReLU, where it would be the plain gradient.
    """
    x = as_input(network, image[None])
    with frozen(network):
        label = _label(network, x, label)
        with BackwardRules({"relu": backward.guided}, backward.gradient) as mode:
            gradient = _gradient(network, x, label, backward.NODES_BUT_RELU)
    if not mode.counts["relu"]:
        raise ValueError(
            f"guided backpropagation needs a ReLU, and {type(network).__name__} has none"
        )
    return gradient[0].float().cpu()


def integrated_gradients(
    network: nn.Module,
    image: Image,
    label: int | None = None,
    baseline: Image | None = None,
    steps: int = 50,
    batch: int = 16,
) -> Image:
    """The mean gradient on the line from `baseline` (zeros) to the image, times their difference.

    Sundararajan et al., arXiv:1703.01365; by Gauss-Legendre quadrature. The values add up to the
    difference of the two scores.
    """
    x = as_input(network, image[None])
    origin = torch.zeros_like(x) if baseline is None else as_input(network, baseline[None])
    points, weights = np.polynomial.legendre.leggauss(steps)
    at = torch.from_numpy((points + 1) / 2).to(x)[:, None, None, None]
    step_weights = torch.from_numpy(weights / 2).to(x)[:, None, None, None]
    total = torch.zeros_like(x)
    with frozen(network):
        label = _label(network, x, label)
        for a, s in zip(at.split(batch), step_weights.split(batch), strict=True):
            total += (s * _gradient(network, origin + a * (x - origin), label)).sum(0)
    return ((x - origin) * total)[0].float().cpu()


def smoothgrad(
    network: nn.Module,
    image: Image,
    label: int | None = None,
    noise: float = 0.15,
    count: int = 25,
    batch: int = 16,
    generator: Generator | None = None,
) -> Image:
    """The mean gradient over `count` copies of the image with Gaussian noise (arXiv:1706.03825).

    The standard deviation of the noise is `noise` times the range of the image's values.
    """
    x = as_input(network, image[None])
    std = noise * (x.max() - x.min())
    total = torch.zeros_like(x)
    rng = generator or Generator().manual_seed(0)
    with frozen(network):
        label = _label(network, x, label)
        for start in range(0, count, batch):
            n = min(batch, count - start)
            noisy = x + std * torch.randn(n, *x.shape[1:], generator=rng).to(x)
            total += _gradient(network, noisy, label).sum(0)
    return (total[0] / count).float().cpu()


def _label(network: nn.Module, x: Tensor, label: int | None) -> int:
    with torch.no_grad():
        return target_class(class_scores(network, x)[0], label)


def _gradient(
    network: nn.Module, x: Tensor, label: int, allowed: re.Pattern[str] | None = None
) -> Tensor:
    pixels = x.detach().requires_grad_()
    scores = class_scores(network, pixels.clone())
    if allowed is not None:
        backward.require_known_nodes(scores, allowed)
    return differentiate(scores[:, label].sum(), [pixels])[0]
