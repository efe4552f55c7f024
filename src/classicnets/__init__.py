"""The classic convolutional networks exactly as published: read, train, evaluate, look inside.

import classicnets as cn

network = cn.build("alexnet", classes=10)
print(cn.show(network, (3, 227, 227)))
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# The public names by the module they are defined in; nothing is imported before it is used.
# docs/generate.py writes the builders of networks.
_PUBLIC = {
    "api.compare": ("compare",),
    "api.evaluate": ("evaluate",),
    "api.pack": ("pack",),
    "api.plan": ("plan",),
    "api.predict": ("predict",),
    "api.resume": ("resume",),
    "api.runs": ("load",),
    "api.see": ("see",),
    "api.show": ("show",),
    "api.speed": ("speed",),
    "api.train": ("train",),
    "catalog": ("build", "find", "names"),
    "data.sets": ("open_data",),
    "layers.lrn": ("LocalResponseNorm",),
    "layers.wiring": ("Concat", "Network", "Residual", "chain"),
    "measure.report": ("Report",),
    "models.alexnet": ("alexnet", "alexnet_merged"),
    "models.googlenet": ("googlenet", "googlenet_naive"),
    "models.lenet": ("lenet5",),
    "models.resnet": ("plain", "plain_cifar", "resnet", "resnet_cifar"),
    "models.vgg": ("vgg", "vgg_d_gap"),
    "models.zfnet": ("zfnet", "zfnet_wide"),
    "training.recipe": ("Recipe",),
}
_MODULE = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = sorted(_MODULE)

if TYPE_CHECKING:
    from .api.compare import compare as compare
    from .api.evaluate import evaluate as evaluate
    from .api.pack import pack as pack
    from .api.plan import plan as plan
    from .api.predict import predict as predict
    from .api.resume import resume as resume
    from .api.runs import load as load
    from .api.see import see as see
    from .api.show import show as show
    from .api.speed import speed as speed
    from .api.train import train as train
    from .catalog import build as build, find as find, names as names
    from .data.sets import open_data as open_data
    from .layers.lrn import LocalResponseNorm as LocalResponseNorm
    from .layers.wiring import (
        Concat as Concat,
        Network as Network,
        Residual as Residual,
        chain as chain,
    )
    from .measure.report import Report as Report
    from .models.alexnet import alexnet as alexnet, alexnet_merged as alexnet_merged
    from .models.googlenet import googlenet as googlenet, googlenet_naive as googlenet_naive
    from .models.lenet import lenet5 as lenet5
    from .models.resnet import (
        plain as plain,
        plain_cifar as plain_cifar,
        resnet as resnet,
        resnet_cifar as resnet_cifar,
    )
    from .models.vgg import vgg as vgg, vgg_d_gap as vgg_d_gap
    from .models.zfnet import zfnet as zfnet, zfnet_wide as zfnet_wide
    from .training.recipe import Recipe as Recipe


def __getattr__(name: str) -> object:
    if name not in _MODULE:
        raise AttributeError(f"module 'classicnets' has no attribute {name!r}")
    return getattr(import_module(f"classicnets.{_MODULE[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULE])
