"""The kinds of layers a design can hold: a written table of phrases and the modules they stand for.

A layer of another kind cannot be written in a design; a network that has one stays Python.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from classicnets.layers.lrn import LocalResponseNorm
from classicnets.models.lenet import PartialConv2d, Prototypes, Squash, Subsample
from classicnets.models.resnet import PadShortcut

Shape = tuple[int, ...]  # (maps, height, width), or (values,) after flattening
Values = Mapping[str, Any]

# what may follow the phrase of a layer: the words, the value that they set, and which value it is
# where the words have no {slot}
OPTIONS: dict[str, tuple[str, Any]] = {
    "at stride {}": ("stride", None),
    "stride {}": ("stride", None),
    "pad {}": ("pad", None),
    "groups {}": ("groups", None),
    "no bias": ("bias", False),
    "with bias": ("bias", True),
    "round up": ("up", True),
    "over {} maps": ("size", None),
    "alpha {}": ("alpha", None),
    "beta {}": ("beta", None),
    "k {}": ("k", None),
    "eps {}": ("eps", None),
}


@dataclass(frozen=True)
class Kind:
    """A kind of layer.

    `phrases` write it, the first one when a design is printed; their slots and the `options`, which
    have defaults, are its values. `build` makes the module for an input of a shape, and `values`
    reads them from a module. `short` names a layer that has no name of its own, together with the
    number of the layer before it if the kind `follows`.
    """

    name: str
    phrases: tuple[str, ...]
    short: str
    module: type[nn.Module]
    build: Callable[[Values, Shape], nn.Module]
    values: Callable[[Any], dict[str, Any]] = field(default=lambda m: {})
    options: dict[str, Any] = field(default_factory=dict, hash=False)
    count: str = ""  # the value that is a number of maps or classes
    follows: bool = False
    flat: bool = False  # reads values, not maps
    non_linear: bool = False

    def read(self, module: nn.Module) -> dict[str, Any] | None:
        """The values of a module; None where it is not, in all it has, a layer of this kind."""
        if type(module) is not self.module:
            return None
        values = self.values(module)
        return values if _usual(self, _inputs(module), **values) == _state(module) else None


@lru_cache(maxsize=1024)
def _usual(kind: Kind, inputs: int, **values: Any) -> dict[str, object]:
    """The state of a layer of a kind that has these values."""
    with torch.device("meta"):
        return _state(kind.build(values, (inputs,)))


def _inputs(module: nn.Module) -> int:
    """The maps or values that a module reads, 1 where any number will do."""
    for name in ("in_channels", "in_features", "num_features"):
        if hasattr(module, name):
            return int(getattr(module, name))
    return next((p.shape[0] for p in module.parameters()), 1)


def _state(module: nn.Module) -> dict[str, object]:
    """What distinguishes one layer from another of its class, apart from its weights."""
    plain = {
        name: _pair(value)
        for name, value in vars(module).items()
        if not name.startswith("_") and name not in ("training", "inplace")
    }
    tensors = {name: tuple(t.shape) for name, t in module.state_dict().items()}
    held = (name for name, value in module._parameters.items() if value is not None)
    return plain | tensors | {"parameters": tuple(held)}


def _pair(value: object) -> object:
    return (value, value) if type(value) is int else value


def _square(value: Any) -> Any:
    """(3, 3) as 3, as torch's own layers take it."""
    return value[0] if isinstance(value, tuple) and len(set(value)) == 1 else value


def _conv(v: Values, shape: Shape) -> nn.Module:
    window, stride, pad = (_square(v[name]) for name in ("window", "stride", "pad"))
    return nn.Conv2d(shape[0], v["maps"], window, stride, pad, groups=v["groups"], bias=v["bias"])


def _conv_values(m: nn.Conv2d) -> dict[str, Any]:
    return {
        "maps": m.out_channels,
        "window": m.kernel_size,
        "stride": m.stride,
        "pad": m.padding,
        "groups": m.groups,
        "bias": m.bias is not None,
    }


def _pool(module: Callable[..., nn.Module]) -> Callable[[Values, Shape], nn.Module]:
    def build(v: Values, shape: Shape) -> nn.Module:
        window, stride, pad = (_square(v[name]) for name in ("window", "stride", "pad"))
        return module(window, stride, pad, ceil_mode=v["up"])

    return build


def _pool_values(m: Any) -> dict[str, Any]:
    values = {"window": m.kernel_size, "stride": m.stride, "pad": m.padding}
    return {name: _pair(value) for name, value in values.items()} | {"up": m.ceil_mode}


def _response_norm(v: Values, shape: Shape) -> nn.Module:
    return LocalResponseNorm(v["size"], v["alpha"], v["beta"], v["k"])


_POOL: dict[str, Any] = {"stride": (1, 1), "pad": (0, 0), "up": False}
_CONV: dict[str, Any] = {"stride": (1, 1), "pad": (0, 0), "groups": 1, "bias": True}
_LRN: dict[str, Any] = {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 2.0}

KINDS = (
    Kind(
        "conv",
        ("{maps} {window} filters", "{maps} {window} filter", "{maps} {window}"),
        "conv",
        nn.Conv2d,
        _conv,
        _conv_values,
        options=_CONV,
        count="maps",
    ),
    Kind(
        "conv by table",
        ("{maps} {window} filters by table",),
        "conv",
        PartialConv2d,
        lambda v, shape: PartialConv2d(v["table"], _square(v["window"])),
        lambda m: {"maps": m.out_channels, "window": m.kernel_size, "table": m.table},
    ),
    Kind(
        "max pool",
        ("{window} max pool", "{window} max pooling"),
        "pool",
        nn.MaxPool2d,
        _pool(nn.MaxPool2d),
        _pool_values,
        options=_POOL,
    ),
    Kind(
        "average pool",
        ("{window} average pool", "{window} avg pool", "{window} average pooling"),
        "average",
        nn.AvgPool2d,
        _pool(nn.AvgPool2d),
        _pool_values,
        options=_POOL,
    ),
    Kind(
        "global average",
        ("global average", "global average pool", "global average pooling"),
        "average",
        nn.AdaptiveAvgPool2d,
        lambda v, shape: nn.AdaptiveAvgPool2d(1),
    ),
    Kind("subsample", ("subsample",), "S", Subsample, lambda v, shape: Subsample(shape[0])),
    Kind(
        "fc",
        ("{width} neurons", "{width} neuron"),
        "fc",
        nn.Linear,
        lambda v, shape: nn.Linear(shape[0], v["width"], bias=v["bias"]),
        lambda m: {"width": m.out_features, "bias": m.bias is not None},
        options={"bias": True},
        count="width",
        flat=True,
    ),
    Kind(
        "prototypes",
        ("{classes} prototypes",),
        "output",
        Prototypes,
        lambda v, shape: Prototypes(v["classes"]),
        lambda m: {"classes": len(m.centres)},
        count="classes",
        flat=True,
        non_linear=True,
    ),
    Kind("relu", ("relu",), "relu", nn.ReLU, lambda v, s: nn.ReLU(), follows=True, non_linear=True),
    Kind(
        "squash",
        ("squash",),
        "squash",
        Squash,
        lambda v, s: Squash(),
        follows=True,
        non_linear=True,
    ),
    Kind(
        "batch norm",
        ("batch norm", "batch normalisation", "batch normalization"),
        "bn",
        nn.BatchNorm2d,
        lambda v, shape: nn.BatchNorm2d(shape[0], v["eps"]),
        lambda m: {"eps": m.eps},
        options={"eps": 1e-5},
        follows=True,
    ),
    Kind(
        "response norm caffe",
        ("response norm caffe",),
        "norm",
        LocalResponseNorm,
        lambda v, shape: LocalResponseNorm(convention="caffe"),
    ),
    Kind(
        "response norm",
        ("response norm", "local response norm", "normalization layer", "normalisation layer"),
        "norm",
        LocalResponseNorm,
        _response_norm,
        lambda m: {name: getattr(m, name) for name in _LRN},
        options=_LRN,
    ),
    Kind(
        "dropout",
        ("dropout {p}",),
        "drop",
        nn.Dropout,
        lambda v, shape: nn.Dropout(v["p"]),
        lambda m: {"p": m.p},
        follows=True,
    ),
    Kind("flatten", ("flatten",), "flatten", nn.Flatten, lambda v, shape: nn.Flatten()),
    Kind(
        "zero maps",
        ("add {maps} zero maps",),
        "pad",
        PadShortcut,
        lambda v, shape: PadShortcut(v["maps"], _square(v["stride"])),
        lambda m: {"maps": m.added, "stride": _pair(m.stride)},
        options={"stride": (1, 1)},
    ),
)
BY_NAME = {kind.name: kind for kind in KINDS}
WITH_WEIGHTS = ("conv", "conv by table", "subsample", "fc", "prototypes")  # the layers that count
EVERY = {"conv": ("conv", "conv by table"), "subsample": ("subsample",), "fc": ("fc",)}


def kind_of(module: nn.Module) -> tuple[Kind, dict[str, Any]] | None:
    """The kind of a layer and its values, or None where no kind has all that it has."""
    for kind in KINDS:
        values = kind.read(module)
        if values is not None:
            return kind, values
    return None
