"""A trained network that is shown many pictures and learns no more: the same function, faster.

Normalisation by fixed figures is one more factor and one more number to add, which the convolution
before it can bring along. On a processor with oneDNN a convolution also takes the addition and the
rectifier after it while its results are in the cache, and its weights lie ready in the order in
which they are read. A network that is not put together from this package's parts is left as it is:
nobody knows in which order it calls its layers.
"""

import copy
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from classicnets.layers.wiring import Network, Residual

from .graph import Graph
from .step import Execution, require_graph, suited_to

FUSED = ("_convolution_pointwise", "_linear_pointwise")  # what torch.compile uses on a processor
KINDS = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Inference(nn.Module):
    """A network in evaluation mode as it is best executed: fp32 images (n, c, h, w) -> fp32 scores.

    The network itself is left as it is, and shares its weights where they need not be laid out
    anew; later changes of them do not arrive. Equal to it within rounding: of float32, or in bf16
    of 8 binary digits. There are more rows than images where a hook cuts them into windows, which
    a recording as a CUDA graph, if `execution` has one, would not do again; only networks of this
    package's parts are recorded. Raises a ValueError where there are no CUDA graphs.
    """

    def __init__(self, network: nn.Module, execution: Execution):
        super().__init__()
        self.execution = execution
        self.plain = network.eval()
        self.quick = _alike(network)
        at = next(network.parameters(), torch.empty(0)).device
        if isinstance(network, Network) and execution.layout == "channels_last":
            _normalise(self.quick)
            kind = KINDS[execution.precision]
            if at.type == "cpu" and _has_fused():
                _fuse(self.quick, kind)
            else:
                _convert(self.quick, kind)
        if execution.layout == "channels_last":
            self.quick.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.scores = partial(_scores, self.quick, execution)
        if execution.graph:
            require_graph(at)
            if isinstance(network, Network):
                self.scores = Graph(self.scores)

    @torch.no_grad()
    def forward(self, x: Float32[Tensor, "n c h w"]) -> Float32[Tensor, "rows classes"]:
        with suited_to(x.numel()):
            try:
                return self.scores(x)[0]
            except RuntimeError:
                self.plain(x)  # which says better what is wrong with them
                raise

    def _get_name(self) -> str:
        return type(self.plain).__name__


def _scores(quick: nn.Module, execution: Execution, x: Tensor) -> tuple[Tensor]:
    run = quick.run if isinstance(quick, Network) else quick
    with execution.casting(x.device):
        return (run(execution.laid(x)).float(),)


class FusedConv(nn.Module):
    """A convolution, what is added to its results, and a rectifier, as one operator of oneDNN."""

    def __init__(self, conv: nn.Conv2d, rectified: bool, kind: torch.dtype):
        super().__init__()
        self.weight = conv.weight.detach().to(kind, memory_format=torch.channels_last)
        self.bias = None if conv.bias is None else conv.bias.detach().to(kind)
        sizes = (conv.padding, conv.stride, conv.dilation)
        self.settings = (*(list(size) for size in sizes), conv.groups)
        self.rectified = rectified
        self.size: torch.Size | None = None  # of the maps for which the weights are laid out

    def forward(
        self, x: Float[Tensor, "n c h w"], added: Tensor | None = None
    ) -> Float[Tensor, "n maps y x"]:
        if x.shape[2:] != self.size:  # laid out for others, they would be laid out anew each time
            self.size = x.shape[2:]
            self.laid = torch.ops.mkldnn._reorder_convolution_weight(
                self.weight, *self.settings, list(x.shape)
            )
        x, then = x.to(self.weight.dtype), "relu" if self.rectified else None
        weights = (self.laid, self.bias, *self.settings)
        if added is None:
            return torch.ops.mkldnn._convolution_pointwise(x, *weights, then or "none", [], "")
        added = added.to(x.dtype).contiguous(memory_format=torch.channels_last)
        return torch.ops.mkldnn._convolution_pointwise(
            x, added, *weights, "add", 1.0, then, [], None
        )


class FusedLinear(nn.Module):
    """A fully connected layer and a rectifier as one operator of oneDNN."""

    def __init__(self, linear: nn.Linear, rectified: bool, kind: torch.dtype):
        super().__init__()
        self.weight = linear.weight.detach().to(kind)
        self.bias = None if linear.bias is None else linear.bias.detach().to(kind)
        self.then = "relu" if rectified else "none"
        self.rows = 0  # for which the weights are laid out

    def forward(self, x: Float[Tensor, "n features"]) -> Float[Tensor, "n units"]:
        if not self.rows:
            self.rows = len(x)
            self.laid = torch.ops.mkldnn._reorder_linear_weight(self.weight, self.rows)
        x = x.to(self.weight.dtype)
        return torch.ops.mkldnn._linear_pointwise(x, self.laid, self.bias, self.then, [], "")


class FusedResidual(nn.Module):
    """A residual block whose last convolution adds the shortcut and rectifies the sum."""

    def __init__(self, body: nn.Sequential, last: FusedConv, shortcut: nn.Module):
        super().__init__()
        self.body, self.last, self.shortcut = body, last, shortcut

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n maps y x"]:
        return self.last(self.body(x), self.shortcut(x))


def _has_fused() -> bool:
    """Whether torch was built with these operators, which are its own and may go again."""
    return torch.backends.mkldnn.is_available() and all(
        hasattr(torch.ops.mkldnn, name) for name in FUSED
    )


def _alike(network: nn.Module) -> nn.Module:
    """Other modules around the same numbers."""
    held: dict[int, Any] = {id(b): b.detach() for b in network.buffers()}
    held |= {id(p): nn.Parameter(p.detach(), requires_grad=False) for p in network.parameters()}
    return copy.deepcopy(network, held)


def _normalise(module: nn.Module) -> None:
    """Folds normalisation into the convolutions before it."""
    for chain in (m for m in module.modules() if isinstance(m, nn.Sequential)):
        for (name, layer), (after, norm) in pairwise(list(chain.named_children())):
            if type(layer) is nn.Conv2d and type(norm) is nn.BatchNorm2d:
                setattr(chain, name, fuse_conv_bn_eval(layer, norm))
                setattr(chain, after, nn.Identity())


def _convert(module: nn.Module, kind: torch.dtype) -> None:
    """Brings weights to the precision in which they are used, once and not for each batch."""
    for layer in module.modules():
        if type(layer) in (nn.Conv2d, nn.Linear):
            for name, p in layer.named_parameters(recurse=False):
                setattr(layer, name, nn.Parameter(p.detach().to(kind), requires_grad=False))


def _fuse(module: nn.Module, kind: torch.dtype) -> None:
    """Replaces convolutions and full layers, with what follows them, by fused operators."""
    for chain in [m for m in module.modules() if isinstance(m, nn.Sequential)]:
        _without_identities(chain)
        layers = list(chain.named_children())
        for (name, layer), (after, follower) in pairwise([*layers, ("", nn.Identity())]):
            rectified = type(follower) is nn.ReLU
            if type(layer) is nn.Conv2d and not isinstance(layer.padding, str):
                setattr(chain, name, FusedConv(layer, rectified, kind))
            elif type(layer) is nn.Linear:
                setattr(chain, name, FusedLinear(layer, rectified, kind))
            else:
                continue
            if rectified:
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
    if not isinstance(last, FusedConv) or last.rectified:
        return None
    delattr(body, name)
    last.rectified = True
    return FusedResidual(body, last, block.shortcut)


def _without_identities(chain: nn.Sequential) -> None:
    for name, layer in list(chain.named_children()):
        if type(layer) is nn.Identity:
            delattr(chain, name)
