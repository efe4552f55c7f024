"""Signal health: the standard deviations of activations, gradients and weights, layer by layer."""

from dataclasses import dataclass
from typing import Any

from jaxtyping import Int64
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from .deconv import as_maps
from .forward import Batch, as_input, class_scores, differentiate, frozen
from .layers import find_calls, is_leaf, layers_with_state, named_layers, output_hooks


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
    layers = named_layers(network)
    names = layers_with_state(network, images[0])
    observed = [n for n in names if _weighs(layers[n]) or _normalises(layers[n])]
    if not observed:
        raise ValueError(f"{type(network).__name__} has no layer with weights")
    calls = find_calls(network, images, observed)
    outputs: dict[str, Tensor] = {}
    clones: dict[str, Tensor] = {}  # passed on, so that no layer overwrites the outputs
    x = as_input(network, images).requires_grad_()

    def record(name: str, out: Any) -> Tensor | None:
        if not isinstance(out, Tensor):
            return None
        outputs[name], clones[name] = out, out.clone()
        return clones[name]

    before_relu = _BeforeRelu(clones)
    try:
        with frozen(network), output_hooks(network, calls, record), before_relu:
            for name in observed:
                layers[name].training = _normalises(layers[name])
            scores = class_scores(network, x.clone())
            loss = F.cross_entropy(scores.float(), labels.to(scores.device))
            of_outputs = differentiate(loss, list(outputs.values()))
    finally:
        for buffer, values in buffers:
            buffer.copy_(values)
    order = list(outputs)
    found = []
    for (name, out), gradient in zip(outputs.items(), of_outputs, strict=True):
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
                _weight(layers[name]).detach().float().std().item(),
                silent if last in before_relu.names else 0.0,
                response.float().std().item(),
            )
        )
    return found


class _BeforeRelu(TorchFunctionMode):
    """While active, records which of these tensors ReLU reads, by name."""

    def __init__(self, tensors: dict[str, Tensor]):
        super().__init__()
        self.tensors = tensors
        self.names: set[str] = set()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict | None = None
    ) -> Any:
        if getattr(func, "__name__", "").strip("_") == "relu":
            read = {id(t) for t in (*args, *(kwargs or {}).values())}
            self.names |= {name for name, t in self.tensors.items() if id(t) in read}
        return func(*args, **(kwargs or {}))


def _normalises(layer: nn.Module) -> bool:
    return isinstance(layer, nn.modules.batchnorm._BatchNorm)


def _weighs(layer: nn.Module) -> bool:
    return is_leaf(layer) and any(p.ndim > 1 for p in layer.parameters())


def _weight(layer: nn.Module) -> Tensor:
    """The weight as it is computed from its parameters, or else the largest parameter."""
    weight = getattr(layer, "weight", None)
    return weight if isinstance(weight, Tensor) else max(layer.parameters(), key=Tensor.numel)
