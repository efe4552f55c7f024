"""A trained network prepared for inference: the same function, faster.

Batch normalisation is folded into the convolution before it. On a CPU with oneDNN the convolution
also fuses the addition and the ReLU after it, and its weights are packed once. A network that is
not built from this package's parts is left as it is, since the order in which it calls its layers
is unknown.
"""

from functools import partial
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from classicnets.layers.wiring import Network, Residual
from classicnets.support.devices import DTYPES, network_device
from classicnets.support.modules import copy_network

from .execution import Execution, require_graphs
from .graph import GraphedCallable
from .step import backends_for

FUSED = ("_convolution_pointwise", "_linear_pointwise")  # torch.compile uses them on CPUs


class Inference(nn.Module):
    """A network in evaluation mode, optimized: float32 images (n, c, h, w) -> float32 scores.

    The network itself is not changed and shares its weights where they need not be packed; later
    changes of them have no effect here. Equal to it within rounding: of float32, or of bf16's 8
    bits. Only networks of this package's parts are recorded as CUDA graphs, and a graph does not
    run hooks again: a protocol that cuts maps into windows by a hook, and so gives more rows than
    images, needs `execution` without one. Raises a ValueError where there are no CUDA graphs.
    """

    def __init__(self, network: nn.Module, execution: Execution):
        super().__init__()
        self.execution = execution
        self.original = network.eval()
        self.optimized = shared_copy(network)
        device = network_device(network)
        if isinstance(network, Network) and execution.layout == "channels_last":
            fold_batch_norm(self.optimized)
            dtype = DTYPES[execution.precision]
            if device.type == "cpu" and _has_fused(dtype):
                _fuse(self.optimized, dtype)
            else:
                _convert(self.optimized, dtype)
        if execution.layout == "channels_last":
            self.optimized.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.scores = partial(_scores, self.optimized, execution)
        if execution.graph:
            require_graphs(device)
            if isinstance(network, Network):
                self.scores = GraphedCallable(self.scores)

    @torch.no_grad()
    def forward(self, x: Float32[Tensor, "n c h w"]) -> Float32[Tensor, "rows classes"]:
        with backends_for(x.numel()):
            try:
                return self.scores(x)[0]
            except RuntimeError:
                self.original(x)  # its error explains what is wrong with the images
                raise

    def _get_name(self) -> str:
        return type(self.original).__name__


def _scores(network: nn.Module, execution: Execution, x: Tensor) -> tuple[Tensor]:
    run = network.run if isinstance(network, Network) else network
    with execution.autocast(x.device):
        return (run(execution.to_layout(x)).float(),)


class FusedConv(nn.Module):
    """A convolution, an addition to its output and a ReLU, as one oneDNN operator."""

    def __init__(self, conv: nn.Conv2d, relu: bool, dtype: torch.dtype):
        super().__init__()
        self.weight = conv.weight.detach().to(dtype, memory_format=torch.channels_last)
        self.bias = None if conv.bias is None else conv.bias.detach().to(dtype)
        sizes = (conv.padding, conv.stride, conv.dilation)
        self.settings = (*(list(size) for size in sizes), conv.groups)
        self.relu = relu
        self.size: torch.Size | None = None  # of the maps that the weights are packed for

    def forward(
        self, x: Float[Tensor, "n c h w"], addend: Tensor | None = None
    ) -> Float[Tensor, "n maps y x"]:
        if x.shape[2:] != self.size:  # packed for others, they would be repacked at each call
            self.size = x.shape[2:]
            self.packed = torch.ops.mkldnn._reorder_convolution_weight(
                self.weight, *self.settings, list(x.shape)
            )
        x, then = x.to(self.weight.dtype), "relu" if self.relu else None
        weights = (self.packed, self.bias, *self.settings)
        if addend is None:
            return torch.ops.mkldnn._convolution_pointwise(x, *weights, then or "none", [], "")
        addend = addend.to(x.dtype).contiguous(memory_format=torch.channels_last)
        return torch.ops.mkldnn._convolution_pointwise(
            x, addend, *weights, "add", 1.0, then, [], None
        )


class FusedLinear(nn.Module):
    """A fully connected layer and a ReLU as one oneDNN operator."""

    def __init__(self, linear: nn.Linear, relu: bool, dtype: torch.dtype):
        super().__init__()
        self.weight = linear.weight.detach().to(dtype)
        self.bias = None if linear.bias is None else linear.bias.detach().to(dtype)
        self.then = "relu" if relu else "none"
        self.rows = 0  # that the weights are packed for

    def forward(self, x: Float[Tensor, "n features"]) -> Float[Tensor, "n units"]:
        if not self.rows:
            self.rows = len(x)
            self.packed = torch.ops.mkldnn._reorder_linear_weight(self.weight, self.rows)
        x = x.to(self.weight.dtype)
        return torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, self.then, [], "")


class FusedResidual(nn.Module):
    """A residual block whose last convolution adds the shortcut and applies the ReLU."""

    def __init__(self, body: nn.Sequential, last: FusedConv, shortcut: nn.Module):
        super().__init__()
        self.body, self.last, self.shortcut = body, last, shortcut

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n maps y x"]:
        return self.last(self.body(x), self.shortcut(x))


def _has_fused(dtype: torch.dtype) -> bool:
    """Whether torch has these operators, which are private and may disappear, for this CPU."""
    if not torch.backends.mkldnn.is_available():
        return False
    has_all = all(hasattr(torch.ops.mkldnn, name) for name in FUSED)
    return has_all and (dtype == torch.float32 or torch.ops.mkldnn._is_mkldnn_bf16_supported())


def shared_copy(network: nn.Module) -> nn.Module:
    """A copy of the modules that shares parameters and buffers."""
    held: dict[int, Any] = {id(b): b.detach() for b in network.buffers()}
    held |= {id(p): nn.Parameter(p.detach(), requires_grad=False) for p in network.parameters()}
    return copy_network(network, held)


def fold_batch_norm(module: nn.Module) -> None:
    """Folds batch normalisation into the convolution before it."""
    for chain in (m for m in module.modules() if isinstance(m, nn.Sequential)):
        for (name, layer), (after, norm) in pairwise(list(chain.named_children())):
            if type(layer) is nn.Conv2d and type(norm) is nn.BatchNorm2d:
                setattr(chain, name, fuse_conv_bn_eval(layer, norm))
                setattr(chain, after, nn.Identity())


def _convert(module: nn.Module, dtype: torch.dtype) -> None:
    """Converts weights to the precision they are used in, once instead of for each batch."""
    for layer in module.modules():
        if type(layer) in (nn.Conv2d, nn.Linear):
            for name, p in layer.named_parameters(recurse=False):
                setattr(layer, name, nn.Parameter(p.detach().to(dtype), requires_grad=False))


def _fuse(module: nn.Module, dtype: torch.dtype) -> None:
    """Replaces convolutions and fully connected layers, with what follows, by fused operators."""
    for chain in [m for m in module.modules() if isinstance(m, nn.Sequential)]:
        _without_identities(chain)
        layers = list(chain.named_children())
        for (name, layer), (after, follower) in pairwise([*layers, ("", nn.Identity())]):
            relu = type(follower) is nn.ReLU
            if type(layer) is nn.Conv2d and not isinstance(layer.padding, str):
                setattr(chain, name, FusedConv(layer, relu, dtype))
            elif type(layer) is nn.Linear:
                setattr(chain, name, FusedLinear(layer, relu, dtype))
            else:
                continue
            if relu:
                setattr(chain, after, nn.Identity())
    for holder in list(module.modules()):
        for name, block in list(holder.named_children()):
            if isinstance(block, Residual) and (fused := _fused_block(block)):
                setattr(holder, name, fused)


def _fused_block(block: Residual) -> FusedResidual | None:
    body = block.body
    if not isinstance(body, nn.Sequential) or type(block.relu) is not nn.ReLU:
        return None
    name, last = list(body.named_children())[-1]
    if not isinstance(last, FusedConv) or last.relu:
        return None
    delattr(body, name)
    last.relu = True
    return FusedResidual(body, last, block.shortcut)


def _without_identities(chain: nn.Sequential) -> None:
    for name, layer in list(chain.named_children()):
        if type(layer) is nn.Identity:
            delattr(chain, name)
