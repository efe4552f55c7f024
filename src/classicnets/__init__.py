"""The classic convolutional networks exactly as published: read, train, evaluate, look inside.

import classicnets as cn

network = cn.build("alexnet", classes=10)
print(cn.show(network, (3, 227, 227)))
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# The public vocabulary: name -> where it lives. Nothing is imported before it is used.
_HOME = {
    "Concat": "layers.wiring",
    "LocalResponseNorm": "layers.lrn",
    "Network": "layers.wiring",
    "Recipe": "training.recipe.recipe",
    "Report": "measure.report",
    "Residual": "layers.wiring",
    "alexnet": "models.alexnet",
    "alexnet_merged": "models.alexnet",
    "build": "catalog",
    "chain": "layers.wiring",
    "compare": "api.compare",
    "evaluate": "api.evaluate",
    "find": "catalog",
    "googlenet": "models.googlenet",
    "googlenet_naive": "models.googlenet",
    "lenet5": "models.lenet",
    "load": "api.runs",
    "names": "catalog",
    "open_data": "data.sets",
    "pack": "api.pack",
    "plain": "models.resnet",
    "plain_cifar": "models.resnet",
    "predict": "api.predict",
    "resnet": "models.resnet",
    "resnet_cifar": "models.resnet",
    "resume": "api.resume",
    "see": "api.see",
    "show": "api.show",
    "speed": "api.speed",
    "train": "api.train",
    "vgg": "models.vgg",
    "vgg_d_gap": "models.vgg",
    "zfnet": "models.zfnet",
    "zfnet_wide": "models.zfnet",
}

__all__ = sorted(_HOME)

if TYPE_CHECKING:
    from classicnets.api.compare import compare as compare
    from classicnets.api.evaluate import evaluate as evaluate
    from classicnets.api.pack import pack as pack
    from classicnets.api.predict import predict as predict
    from classicnets.api.resume import resume as resume
    from classicnets.api.runs import load as load
    from classicnets.api.see import see as see
    from classicnets.api.show import show as show
    from classicnets.api.speed import speed as speed
    from classicnets.api.train import train as train
    from classicnets.catalog import build as build
    from classicnets.catalog import find as find
    from classicnets.catalog import names as names
    from classicnets.data.sets import open_data as open_data
    from classicnets.layers.lrn import LocalResponseNorm as LocalResponseNorm
    from classicnets.layers.wiring import Concat as Concat
    from classicnets.layers.wiring import Network as Network
    from classicnets.layers.wiring import Residual as Residual
    from classicnets.layers.wiring import chain as chain
    from classicnets.measure.report import Report as Report
    from classicnets.models.alexnet import alexnet as alexnet
    from classicnets.models.alexnet import alexnet_merged as alexnet_merged
    from classicnets.models.googlenet import googlenet as googlenet
    from classicnets.models.googlenet import googlenet_naive as googlenet_naive
    from classicnets.models.lenet import lenet5 as lenet5
    from classicnets.models.resnet import plain as plain
    from classicnets.models.resnet import plain_cifar as plain_cifar
    from classicnets.models.resnet import resnet as resnet
    from classicnets.models.resnet import resnet_cifar as resnet_cifar
    from classicnets.models.vgg import vgg as vgg
    from classicnets.models.vgg import vgg_d_gap as vgg_d_gap
    from classicnets.models.zfnet import zfnet as zfnet
    from classicnets.models.zfnet import zfnet_wide as zfnet_wide
    from classicnets.training.recipe.recipe import Recipe as Recipe


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'classicnets' has no attribute {name!r}")
    return getattr(import_module(f"classicnets.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
