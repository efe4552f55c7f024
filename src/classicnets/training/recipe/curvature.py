"""The diagonal of the Hessian, Gauss-Newton approximated: LeCun et al. 1998, appendix C.

For a weight u_ij from x_j to the sum a_i, d2E/du_ij^2 = x_j^2 d2E/da_i^2; for the input x_j,
d2E/dx_j^2 = sum_i u_ij^2 d2E/da_i^2, times f'(a)^2 through a non-linearity x = f(a). The terms with
f'' and off-diagonal terms are dropped, so nothing is negative. In a layer of such sums this is the
ordinary backward pass of the same layer with squared parameters and inputs.
"""

import math
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, grad, vjp

from classicnets.support.hooks import temporary_hooks
from classicnets.support.modules import evaluation_mode

PLAIN_CHAINS = "curvature is estimated along plain chains of layers"
NEARLY = 1e-2, 1e-5  # relative, absolute; some GPUs multiply with reduced precision


def curvature(network: nn.Module, x: Float[Tensor, "n ..."]) -> dict[str, Tensor]:
    """Parameter name -> d2E/dw^2, the mean over these images, never negative.

    A shared parameter has the sum over its uses. E is the penalty of the right class (equation 8)
    where the scores are negated squared distances, otherwise the cross-entropy; neither needs
    labels. Layers may be convolutional, fully connected, element-wise, flattening and pooling.
    Raises a ValueError that names the first layer of another kind.
    """
    with evaluation_mode(network):
        return _curvature(network, x)


def _curvature(network: nn.Module, x: Tensor) -> dict[str, Tensor]:
    path, scores = _path(network, x)
    names = {layer: name for name, layer in network.named_modules()}
    second = _penalty_curvature(*path[-1])
    if (second > 0).all():
        path.pop()
    else:
        p = scores.softmax(1)
        second = p * (1 - p)
    second = second / len(x)
    found: dict[str, Tensor] = {}
    for layer, inputs in reversed(path):
        own, second = _back(layer, inputs, second, names[layer])
        for key, value in own.items():
            name = f"{names[layer]}.{key}".lstrip(".")
            found[name] = found.get(name, 0) + value
    return found


def _path(network: nn.Module, x: Tensor) -> tuple[list[tuple[nn.Module, Tensor]], Tensor]:
    """The layers in order, each with its input, and the scores."""
    seen: list[tuple[nn.Module, Tensor, Tensor]] = []

    def note(layer: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
        seen.append((layer, args[0], out))

    leaves = [layer for layer in network.modules() if not list(layer.children())]
    with temporary_hooks(layer.register_forward_hook(note) for layer in leaves), torch.no_grad():
        scores = network(x)
    for (before, _, out), (layer, inputs, _) in pairwise(seen):
        if inputs is not out:
            pair = f"{type(layer).__name__} does not read what {type(before).__name__} gives"
            raise ValueError(f"{PLAIN_CHAINS}, and in {type(network).__name__} {pair}")
    if not seen or seen[-1][2] is not scores:
        raise ValueError(f"{PLAIN_CHAINS}, and {type(network).__name__} does not end with a layer")
    return [(layer, inputs) for layer, inputs, _ in seen], scores


def _penalty_curvature(layer: nn.Module, x: Tensor) -> Tensor:
    """d2/dx_j^2 of a negated score, the mean over the classes: 0 for linear scores."""

    def penalty(x: Tensor) -> Tensor:
        return -layer(x).mean(1).sum()

    return vjp(grad(penalty), x)[1](torch.ones_like(x))[0]


def _back(
    layer: nn.Module, x: Tensor, second: Tensor, name: str
) -> tuple[dict[str, Tensor], Tensor]:
    """From d2E/d(outputs)^2 to d2E/d(parameters)^2 and d2E/d(inputs)^2."""
    squares = {key: p.detach().square() for key, p in layer.named_parameters()}
    if _adds_weighted_inputs(layer, x[:1], squares):
        back = vjp(lambda p, x: functional_call(layer, p, x), squares, x.square())[1]
        return back(second)
    back = vjp(layer, x)[1]
    if isinstance(layer, nn.MaxPool2d):
        return {}, back(second)[0]
    if isinstance(layer, nn.AvgPool2d):  # a sum in which each input has the weight 1 / area
        side = layer.kernel_size
        return {}, back(second)[0] / (side**2 if isinstance(side, int) else math.prod(side))
    if not squares and _is_element_wise(layer, x[:1]):
        slope = back(torch.ones_like(x))[0]
        return {}, slope.square() * second
    raise ValueError(f"{PLAIN_CHAINS}, and not through {name}, a {type(layer).__name__}")


def _adds_weighted_inputs(layer: nn.Module, x: Tensor, squares: dict[str, Tensor]) -> bool:
    """Whether each output is a bias plus a sum of inputs, each times one parameter or 1.

    Then the layer is linear apart from its bias, and squaring its parameters squares its slopes.
    """
    zero, spike, probe = _probes(x)
    with torch.no_grad():
        bias = layer(zero)
        linear = torch.allclose(layer(-probe / 2) - bias, (bias - layer(probe)) / 2, *NEARLY)
        square = functional_call(layer, squares, spike) - functional_call(layer, squares, zero)
        return linear and torch.allclose((layer(spike) - bias).square(), square, *NEARLY)


def _is_element_wise(layer: nn.Module, x: Tensor) -> bool:
    """Whether a change of one input changes no other output."""
    _, spike, probe = _probes(x)
    with torch.no_grad():
        before, after = layer(probe), layer(probe + spike)
    return before.shape == x.shape and bool((before == after).masked_fill(spike > 0, True).all())


def _probes(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs like x: all zero, zero but for a 1 in the middle, and drawn from N(0, 1)."""
    zero, spike = x.new_zeros(x.shape), x.new_zeros(x.shape)
    spike.view(-1)[x.numel() // 2] = 1
    return zero, spike, torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).to(x)
