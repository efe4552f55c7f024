"""Initial values as the papers draw them: functions of a network and a generator.

Only weights of convolutions and fully connected layers and their biases are drawn; what other
layers learn (the scale and shift of batch normalisation) keeps the value it was built with.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn


@dataclass(frozen=True)
class AsBuilt:
    """The values that the network already has."""

    def __call__(self, network: nn.Module, generator: Generator) -> None:
        pass


@dataclass(frozen=True)
class Gaussian:
    """N(0, std); biases are zero, and one in the layers named in `ones`."""

    std: float
    ones: tuple[str, ...] = ()

    def __call__(self, network: nn.Module, generator: Generator) -> None:
        for name, layer in _weighted(network):
            nn.init.normal_(_weight(layer), std=self.std, generator=generator)
            _fill_bias(layer, 1.0 if name in self.ones else 0.0)


@dataclass(frozen=True)
class HeNormal:
    """N(0, 2 / fan-in), He et al., arXiv:1502.01852, equation 10; biases are zero."""

    def __call__(self, network: nn.Module, generator: Generator) -> None:
        for _, layer in _weighted(network):
            weight = _weight(layer)
            std = math.sqrt(2 / weight[0].numel())
            nn.init.normal_(weight, std=std, generator=generator)
            _fill_bias(layer, 0.0)


@dataclass(frozen=True)
class Glorot:
    """Uniform with variance 2 / (fan-in + fan-out), Glorot and Bengio 2010; biases are `bias`."""

    bias: float = 0.0

    def __call__(self, network: nn.Module, generator: Generator) -> None:
        for _, layer in _weighted(network):
            nn.init.xavier_uniform_(_weight(layer), generator=generator)
            _fill_bias(layer, self.bias)


@dataclass(frozen=True)
class LecunUniform:
    """U(-2.4 / F, 2.4 / F), F the number of inputs of a unit; biases are zero. LeCun et al. 1998.

    F of convolutions and fully connected layers follows from their weights. For parameters of other
    layers `fan_in` gives it by name: one number, or one for each entry along the first axis.
    """

    fan_in: tuple[tuple[str, tuple[int, ...]], ...] = ()

    def __call__(self, network: nn.Module, generator: Generator) -> None:
        for _, layer in _weighted(network):
            weight = _weight(layer)
            _draw(weight, weight[0].numel(), generator)
            _fill_bias(layer, 0.0)
        parameters = dict(network.named_parameters())
        for name, counts in self.fan_in:
            if name not in parameters:
                raise ValueError(f"the recipe draws {name}, which the network does not have")
            weight = parameters[name]
            _draw(weight, torch.tensor(counts).view(-1, *[1] * (weight.ndim - 1)), generator)
            _fill_bias(network.get_submodule(name.rpartition(".")[0]), 0.0)


Init = AsBuilt | Gaussian | HeNormal | Glorot | LecunUniform


def _weighted(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, layer in network.named_modules():
        if isinstance(layer, nn.modules.conv._ConvNd | nn.Linear):
            yield name, layer


def _weight(layer: nn.Module) -> Tensor:
    return layer.get_parameter("weight")


def _fill_bias(layer: nn.Module, value: float) -> None:
    if isinstance(bias := getattr(layer, "bias", None), nn.Parameter):
        nn.init.constant_(bias, value)


@torch.no_grad()
def _draw(weight: Tensor, fan_in: int | Tensor, generator: Generator) -> None:
    weight.uniform_(-2.4, 2.4, generator=generator).div_(fan_in)
