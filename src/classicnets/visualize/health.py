"""Signal health: the standard deviations of activations, gradients and weights, layer by layer."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from .deconv import as_maps
from .layers import Batch, as_input, class_scores, frozen, output_hooks


@dataclass(frozen=True)
class LayerHealth:
    """Standard deviations of a layer's output, of the loss's gradient there, and of its weights.

    `dead` is the fraction of its maps, or units, for which the ReLU right behind it is 0 for every
    image; 0 where there is no ReLU. `response` is the standard deviation before the next ReLU:
    behind the layer's own batch normalisation if it has one, else `activation` (He et al., Fig. 7).
    """

    name: str
    activation: float
    gradient: float
    weight: float
    dead: float
    response: float


def health(network: nn.Module, images: Batch, labels: Int64[Tensor, " n"]) -> list[LayerHealth]:
    """Every layer with weights, in running order, for these images and their true classes.

    Batch normalisation uses the statistics of these images, as in training, but dropout is off and
    nothing is learnt. The loss is cross-entropy.
    """
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    layers = dict(network.named_modules())
    observed = {n: layer for n, layer in layers.items() if _weighs(layer) or _normalises(layer)}
    outputs: dict[str, Tensor] = {}
    clones: list[Tensor] = []  # passed on in place of the outputs, which no layer may overwrite
    relu_inputs = _ReluInputs()
    x = as_input(network, images).requires_grad_()

    def record(name: str, out: Tensor) -> Tensor:
        outputs[name] = out
        clones.append(out.clone())
        return clones[-1]

    try:
        with frozen(network), output_hooks(observed, record), relu_inputs:
            for layer in observed.values():
                layer.training = _normalises(layer)
            scores = class_scores(network, x.clone())
            loss = F.cross_entropy(scores.float(), labels.to(scores.device))
            gradients = torch.autograd.grad(loss, list(outputs.values()))
    finally:
        for buffer, values in buffers:
            buffer.copy_(values)
    order = list(outputs)
    before_relu = {n for n, t in zip(order, clones, strict=True) if id(t) in relu_inputs.ids}
    found = []
    for (name, out), gradient in zip(outputs.items(), gradients, strict=True):
        if _normalises(layers[name]):
            continue
        after = order[order.index(name) + 1 :][:1]
        last = after[0] if after and _normalises(layers[after[0]]) else name
        response = outputs[last]
        silent = (as_maps(response).amax(dim=(0, 2, 3)) <= 0).float().mean().item()
        found.append(
            LayerHealth(
                name,
                out.float().std().item(),
                gradient.float().std().item(),
                _largest(layers[name]).detach().float().std().item(),
                silent if last in before_relu else 0.0,
                response.float().std().item(),
            )
        )
    return found


class _ReluInputs(TorchFunctionMode):
    """While active, records the ids of the tensors that ReLU reads."""

    def __init__(self):
        super().__init__()
        self.ids: set[int] = set()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict | None = None
    ) -> Any:
        if getattr(func, "__name__", "").strip("_") == "relu":
            self.ids |= {id(t) for t in (*args, *(kwargs or {}).values())}
        return func(*args, **(kwargs or {}))


def _normalises(layer: nn.Module) -> bool:
    return isinstance(layer, nn.modules.batchnorm._BatchNorm)


def _weighs(layer: nn.Module) -> bool:
    leaf = next(layer.children(), None) is None
    return leaf and any(p.ndim > 1 for p in layer.parameters())


def _largest(layer: nn.Module) -> Tensor:
    return max(layer.parameters(), key=Tensor.numel)
