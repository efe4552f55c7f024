"""The benchmarked networks: from this package, and with the same weights in plain torch.nn."""

import copy
from collections import OrderedDict
from collections.abc import Callable

import environment
import torch
from harness import Cost
from torch import Tensor, nn
from torch.nn import functional as F

from classicnets import catalog
from classicnets.layers.lrn import LocalResponseNorm
from classicnets.layers.wiring import Concat, Network, Residual
from classicnets.measure import measure
from classicnets.models.googlenet import GoogLeNet
from classicnets.models.lenet import PartialConv2d, Prototypes, Squash, Subsample
from classicnets.models.resnet import PadShortcut
from classicnets.training.recipe.init import HeNormal


def our_network(name: str) -> nn.Module:
    """A network of the catalogue with the same weights in every process.

    He's initial values keep the signal's variance over depth; outputs that vanish would agree
    between any two networks.
    """
    torch.manual_seed(0)
    network = catalog.build(name)
    HeNormal()(network, torch.Generator().manual_seed(0))
    return network


def random_batch(name: str, batch: int, classes: int = 10) -> tuple[Tensor, Tensor]:
    """Noise in the input size of the network, and random labels."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(batch, *catalog.find(name).input, generator=generator)
    labels = torch.randint(classes, (batch,), generator=generator)
    return x.to(environment.device), labels.to(environment.device)


def inference_cost(name: str, batch: int) -> Cost:
    """FLOP, two per multiply-add, and no bytes: on a CPU arithmetic dominates."""
    return [(2.0 * batch * catalog.find(name).macs, 0.0)]


def training_cost(name: str, batch: int) -> Cost:
    """FLOP of a training step, as `classicnets show` counts its multiply-adds."""
    entry = catalog.find(name)
    with torch.device("meta"):
        report = measure(entry.build(), entry.input)
    return [(2.0 * batch * report.training_macs, 0.0)]


def plain_torch(module: nn.Module) -> nn.Module:
    """The same layers and weights in torch.nn alone, as they are usually written."""
    if convert := CONVERTERS.get(type(module)):
        return convert(module)
    assert type(module).__module__.startswith("torch.nn."), f"no converter for {type(module)}"
    return _sequence(module) if isinstance(module, nn.Sequential) else copy.deepcopy(module)


def with_weights_of(network: nn.Module, other: nn.Module) -> nn.Module:
    """`other`, a peer package's network, with these weights; both list them in execution order."""
    pairs = zip(network.state_dict().values(), other.state_dict().values(), strict=True)
    for source, target in pairs:
        target.copy_(source.view_as(target))
    return other


def stride_first(network: nn.Module) -> nn.Module:
    """A peer's ResNet with the stride in the first 1x1 convolution of a block, as published."""
    for block in network.modules():
        if type(block).__name__ == "Bottleneck":
            block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride
    return network


class Branches(nn.Module):
    def __init__(self, module: Concat):
        super().__init__()
        self.branches = nn.ModuleList(plain_torch(branch) for branch in module.children())

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


class Block(nn.Module):
    def __init__(self, module: Residual):
        super().__init__()
        self.body, self.shortcut = plain_torch(module.body), plain_torch(module.shortcut)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


class Padding(nn.Module):
    def __init__(self, module: PadShortcut):
        super().__init__()
        self.added, self.stride = module.added, module.stride

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.added))


class Heads(nn.Module):
    """GoogLeNet: the two auxiliary classifiers are computed in training only."""

    def __init__(self, module: GoogLeNet):
        super().__init__()
        self.stages = nn.ModuleDict({name: plain_torch(m) for name, m in module.named_children()})

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        heads = []
        for name, stage in self.stages.items():
            if not name.startswith("aux"):
                x = stage(x)
            elif self.training:
                heads.append(stage(x))
        return (x, *heads) if self.training else x


class Tanh(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(x * 2 / 3)


class Averages(nn.Module):
    def __init__(self, module: Subsample):
        super().__init__()
        self.coefficient = nn.Parameter(module.coefficient.detach().clone())
        self.bias = nn.Parameter(module.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        return 4 * F.avg_pool2d(x, 2) * self.coefficient + self.bias


class Masked(nn.Module):
    """C3 as a dense convolution whose weights are multiplied by a mask of zeros and ones."""

    def __init__(self, module: PartialConv2d):
        super().__init__()
        k = module.kernel_size[0]
        shape = module.out_channels * module.in_channels, k, k
        kernels, full = module.kernels, (module.out_channels, module.in_channels, k, k)
        weight = torch.zeros(shape).index_copy(0, kernels, module.weight.detach())
        self.weight = nn.Parameter(weight.view(full))
        self.bias = nn.Parameter(module.bias.detach().clone())
        self.register_buffer("mask", torch.zeros(shape).index_fill(0, kernels, 1).view(full))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.mask, self.bias)


class Distances(nn.Module):
    def __init__(self, module: Prototypes):
        super().__init__()
        self.register_buffer("centres", module.centres.clone())

    def forward(self, x: Tensor) -> Tensor:
        return -((x.unsqueeze(1) - self.centres) ** 2).sum(-1)


def _sequence(module: nn.Module) -> nn.Module:
    return nn.Sequential(OrderedDict((name, plain_torch(m)) for name, m in module.named_children()))


def _normalisation(module: LocalResponseNorm) -> nn.Module:
    alpha = module.alpha * module.size  # torch divides it by the window size
    return nn.LocalResponseNorm(module.size, alpha, module.beta, module.k)


CONVERTERS: dict[type, Callable] = {
    Network: _sequence,
    GoogLeNet: Heads,
    Concat: Branches,
    Residual: Block,
    PadShortcut: Padding,
    LocalResponseNorm: _normalisation,
    Squash: lambda _: Tanh(),
    Subsample: Averages,
    PartialConv2d: Masked,
    Prototypes: Distances,
}
