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
    "Recipe": "training.recipe",
    "Report": "measure.report",
    "Residual": "layers.wiring",
    "alexnet": "models.alexnet",
    "alexnet_merged": "models.alexnet",
    "build": "catalog",
    "chain": "layers.wiring",
    "compare": "verbs.compare",
    "evaluate": "verbs.judge",
    "find": "catalog",
    "googlenet": "models.googlenet",
    "googlenet_naive": "models.googlenet",
    "lenet5": "models.lenet",
    "load": "verbs.judge",
    "names": "catalog",
    "open_data": "data.sets",
    "pack": "verbs.pack",
    "plain": "models.resnet",
    "plain_cifar": "models.resnet",
    "predict": "verbs.judge",
    "resnet": "models.resnet",
    "resnet_cifar": "models.resnet",
    "resume": "verbs.train",
    "see": "verbs.see",
    "show": "verbs.read",
    "speed": "verbs.speed",
    "train": "verbs.train",
    "vgg": "models.vgg",
    "vgg_d_gap": "models.vgg",
    "zfnet": "models.zfnet",
    "zfnet_wide": "models.zfnet",
}

__all__ = sorted(_HOME)

if TYPE_CHECKING:
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
    from classicnets.training.recipe import Recipe as Recipe
    from classicnets.verbs.compare import compare as compare
    from classicnets.verbs.judge import evaluate as evaluate
    from classicnets.verbs.judge import load as load
    from classicnets.verbs.judge import predict as predict
    from classicnets.verbs.pack import pack as pack
    from classicnets.verbs.read import show as show
    from classicnets.verbs.see import see as see
    from classicnets.verbs.speed import speed as speed
    from classicnets.verbs.train import resume as resume
    from classicnets.verbs.train import train as train


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'classicnets' has no attribute {name!r}")
    return getattr(import_module(f"classicnets.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
