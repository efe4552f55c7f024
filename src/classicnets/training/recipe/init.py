"""Initial values as the papers draw them: functions of a network and a generator.

Only weights of convolutions and fully connected layers and their biases are drawn; what other
layers learn (the scale and shift of batch normalisation) keeps the value it was built with, and so
do frozen parameters. A parametrized weight is assigned through its parametrization.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from classicnets.support.errors import check_range, one_line
from classicnets.support.names import as_path
from classicnets.support.tensors import find_difference, find_not_finite, map_tensors


@dataclass(frozen=True)
class AsBuilt:
    """Keeps the values that the network already has."""

    def __call__(self, network: nn.Module, generator: Generator) -> None:
        pass


@dataclass(frozen=True)
class Gaussian:
    """N(0, std); biases are zero, and `bias` in the layers named in `bias_layers`."""

    std: float
    bias_layers: tuple[str, ...] = ()
    bias: float = 1.0

    def __post_init__(self):
        check_range(self, std=(0, math.inf))

    def __call__(self, network: nn.Module, generator: Generator) -> None:
        for name, layer in _weighted(network):
            with _weight(name, layer, generator) as weight:
                nn.init.normal_(weight, std=self.std, generator=generator)
            _fill_bias(layer, self.bias if name in self.bias_layers else 0.0)


@dataclass(frozen=True)
class HeNormal:
    """N(0, 2 / fan-in), He et al., arXiv:1502.01852, equation 10; biases are zero."""

    def __call__(self, network: nn.Module, generator: Generator) -> None:
        for name, layer in _weighted(network):
            with _weight(name, layer, generator) as weight:
                std = math.sqrt(2 / weight[0].numel())
                nn.init.normal_(weight, std=std, generator=generator)
            _fill_bias(layer, 0.0)


@dataclass(frozen=True)
class Glorot:
    """Uniform with variance 2 / (fan-in + fan-out), Glorot and Bengio 2010; biases are `bias`."""

    bias: float = 0.0

    def __call__(self, network: nn.Module, generator: Generator) -> None:
        for name, layer in _weighted(network):
            with _weight(name, layer, generator) as weight:
                nn.init.xavier_uniform_(weight, generator=generator)
            _fill_bias(layer, self.bias)


@dataclass(frozen=True)
class LecunUniform:
    """U(-2.4 / F, 2.4 / F), F the number of inputs of a unit; biases are zero. LeCun et al. 1998.

    F of convolutions and fully connected layers follows from their weights. For parameters of other
    layers `fan_in` gives it by name: one number, or one for each entry along the first axis.
    """

    fan_in: tuple[tuple[str, tuple[int, ...]], ...] = ()

    def __call__(self, network: nn.Module, generator: Generator) -> None:
        for name, layer in _weighted(network):
            with _weight(name, layer, generator) as weight:
                _draw(weight, weight[0].numel(), generator)
            _fill_bias(layer, 0.0)
        parameters = dict(network.named_parameters())
        for name, counts in self.fan_in:
            if name not in parameters:
                raise ValueError(f"the recipe initialises {name}, which the network does not have")
            weight = parameters[name]
            counts = torch.tensor(counts).view(-1, *[1] * (weight.ndim - 1))
            _draw(weight, counts, generator)
            _fill_bias(network.get_submodule(name.rpartition(".")[0]), 0.0)


Random = AsBuilt | Gaussian | HeNormal | Glorot | LecunUniform


@dataclass(frozen=True)
class FromRun:
    """Weights learnt in another run; what is not taken from it is initialised by `rest`.

    `layers` names the layers to take, by default all but those that are `new`, such as the last one
    of a network for other classes. Simonyan and Zisserman, arXiv:1409.1556v6,
    section 3.1, start deeper networks from the first four convolutions and the three fully
    connected layers of A. Counted in the deeper networks the first four would not fit, so they are
    taken by their names in A: conv1_1, conv2_1, conv3_1 and conv3_2, and fc6, fc7, fc8.

    Raises a ValueError when the run has no weights, or a layer is missing in either network or has
    another shape.
    """

    run: str
    layers: tuple[str, ...] | None = None
    rest: Random = AsBuilt()
    new: tuple[str, ...] = ()

    def __call__(self, network: nn.Module, generator: Generator) -> None:
        path = Path(as_path(self.run)) / "weights.safetensors"
        try:
            learnt = map_tensors(path)
        except FileNotFoundError:
            raise ValueError(f"no weights at {path}") from None
        own = network.state_dict()
        taken = list(own | learnt)
        if self.layers is not None:
            taken = [n for layer in self.layers for n in _of_layer(layer, own)]
        new = {n for layer in self.new for n in _of_layer(layer, own)}
        taken = [n for n in taken if n not in new]
        there, here = ({n: t[n] for n in taken if n in t} for t in (learnt, own))
        name, difference = find_difference(there, here)
        if name:
            raise ValueError(f"{self.run} cannot give {name}, which {difference}")
        if name := find_not_finite(there, here):
            raise ValueError(f"{self.run} cannot give {name}, which holds NaN or infinite values")
        self.rest(network, generator)
        network.load_state_dict(there, strict=False)


Init = Random | FromRun


def _of_layer(layer: str, own: Mapping[str, Tensor]) -> list[str]:
    names = [name for name in own if name.startswith(f"{layer}.")]
    if not names:
        raise ValueError(f"the recipe takes {layer} from a run, but the network has no such layer")
    return names


def _weighted(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The convolutions and fully connected layers whose weights are trained."""
    for name, layer in network.named_modules():
        if isinstance(layer, nn.modules.conv._ConvNd | nn.Linear):
            named = [(n, p) for n, p in layer.named_parameters() if not n.endswith("bias")]
            if any(p.requires_grad for _, p in named):
                yield name, layer


@contextmanager
def _weight(name: str, layer: nn.Module, generator: Generator) -> Iterator[Tensor]:
    """The weight to draw into; one that is computed from other parameters is assigned afterwards.

    Raises a ValueError for one that cannot be assigned.
    """
    if isinstance(weight := getattr(layer, "weight", None), nn.Parameter):
        yield weight
        return
    assert isinstance(weight, Tensor)
    drawn = torch.empty_like(weight.detach())
    yield drawn
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            # an orthogonal matrix is completed at random
            torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
            _assign(layer, drawn)
    except Exception as error:  # a parametrization of your own may do anything
        raise ValueError(
            f"initial values cannot be assigned to {name}.weight, which is computed from other "
            f"parameters ({one_line(error)}); keep those it has with init=AsBuilt()"
        ) from error


def _assign(layer: nn.Module, value: Tensor) -> None:
    own = dict(layer.named_parameters(recurse=False))
    if is_parametrized(layer, "weight"):
        layer.weight = value  # pyright: ignore[reportArgumentType]
    elif "weight_g" in own:  # torch.nn.utils.weight_norm: g v / |v|
        own["weight_v"].copy_(value)
        axes = [axis for axis, size in enumerate(own["weight_g"].shape) if size == 1]
        own["weight_g"].copy_(torch.linalg.vector_norm(value, dim=axes or None, keepdim=bool(axes)))
    else:  # torch.nn.utils.spectral_norm and prune
        own["weight_orig"].copy_(value)


def _fill_bias(layer: nn.Module, value: float) -> None:
    bias = getattr(layer, "bias", None)
    if isinstance(bias, nn.Parameter) and bias.requires_grad:
        nn.init.constant_(bias, value)


@torch.no_grad()
def _draw(weight: Tensor, divisor: int | Tensor, generator: Generator) -> None:
    weight.uniform_(-2.4, 2.4, generator=generator).div_(divisor)
