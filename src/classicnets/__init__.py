"""The classic convolutional networks exactly as published: read, train, evaluate, look inside.

import classicnets as cn

network = cn.build("alexnet", classes=10)
print(cn.show(network, (3, 227, 227)))
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# the networks of the catalogue and their families; docs/generate.py writes them here and below
# fmt: off
_BUILDERS = (
    "alexnet", "alexnet_merged", "googlenet", "googlenet_naive", "inception_v1", "lenet5", "plain",
    "plain110", "plain18", "plain20", "plain32", "plain34", "plain44", "plain56", "plain_cifar",
    "resnet", "resnet101", "resnet101_v15", "resnet110", "resnet1202", "resnet152", "resnet152_v15",
    "resnet18", "resnet20", "resnet32", "resnet34", "resnet34_a", "resnet34_b", "resnet34_c",
    "resnet44", "resnet50", "resnet50_v15", "resnet56", "resnet_cifar", "resnet_v15", "vgg",
    "vgg11", "vgg13", "vgg16", "vgg19", "vgg_a", "vgg_a_lrn", "vgg_b", "vgg_c", "vgg_d",
    "vgg_d_gap", "vgg_e", "zfnet", "zfnet_wide",
)
# fmt: on

# The public names by the module they are defined in; nothing is imported before it is used.
_PUBLIC = {
    "api.compare": ("compare",),
    "api.design": ("design",),
    "api.diff": ("diff",),
    "api.evaluate": ("evaluate",),
    "api.experiment": ("experiment",),
    "api.export": ("export",),
    "api.pack": ("pack",),
    "api.plan": ("plan",),
    "api.predict": ("predict",),
    "api.pretrained": ("import_weights", "list_weights"),
    "api.push": ("push",),
    "api.resume": ("resume",),
    "api.runs": ("load",),
    "api.see": ("see",),
    "api.show": ("show",),
    "api.speed": ("speed",),
    "api.suggest": ("apply_move", "suggest"),
    "api.train": ("train",),
    "builders": _BUILDERS,
    "catalog": ("build", "find", "list_models", "names"),
    "data.sets": ("open_data",),
    "layers.lrn": ("LocalResponseNorm",),
    "layers.wiring": ("Aside", "Concat", "Network", "Residual", "chain"),
    "measure.report": ("Report",),
    "studies.index": ("study",),
    "training.recipe": ("Recipe",),
}
_MODULE = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = sorted(_MODULE)

# what users of timm, torchvision, fastai and Ultralytics type, and the call here
_INSTEAD = {
    **dict.fromkeys(("create_model", "get_model", "models"), 'build("resnet50", classes=10)'),
    **dict.fromkeys(("load_model", "load_learner"), 'load("runs/digits")'),
    **dict.fromkeys(("YOLO", "vision_learner"), 'train("resnet20", "photos").finish()'),
}

if TYPE_CHECKING:
    from .api.compare import compare as compare
    from .api.design import design as design
    from .api.diff import diff as diff
    from .api.evaluate import evaluate as evaluate
    from .api.experiment import experiment as experiment
    from .api.export import export as export
    from .api.pack import pack as pack
    from .api.plan import plan as plan
    from .api.predict import predict as predict
    from .api.pretrained import import_weights as import_weights, list_weights as list_weights
    from .api.push import push as push
    from .api.resume import resume as resume
    from .api.runs import load as load
    from .api.see import see as see
    from .api.show import show as show
    from .api.speed import speed as speed
    from .api.suggest import apply_move as apply_move, suggest as suggest
    from .api.train import train as train
    from .builders import Builder
    from .catalog import (
        build as build,
        find as find,
        list_models as list_models,
        names as names,
    )
    from .data.sets import open_data as open_data
    from .layers.lrn import LocalResponseNorm as LocalResponseNorm
    from .layers.wiring import (
        Aside as Aside,
        Concat as Concat,
        Network as Network,
        Residual as Residual,
        chain as chain,
    )
    from .measure.report import Report as Report
    from .models.resnet import (
        plain as plain,
        plain_cifar as plain_cifar,
        resnet as resnet,
        resnet_cifar as resnet_cifar,
    )
    from .models.vgg import vgg as vgg
    from .studies.index import study as study
    from .training.recipe import Recipe as Recipe

    alexnet: Builder
    alexnet_merged: Builder
    googlenet: Builder
    googlenet_naive: Builder
    inception_v1: Builder
    lenet5: Builder
    plain110: Builder
    plain18: Builder
    plain20: Builder
    plain32: Builder
    plain34: Builder
    plain44: Builder
    plain56: Builder
    resnet101: Builder
    resnet101_v15: Builder
    resnet110: Builder
    resnet1202: Builder
    resnet152: Builder
    resnet152_v15: Builder
    resnet18: Builder
    resnet20: Builder
    resnet32: Builder
    resnet34: Builder
    resnet34_a: Builder
    resnet34_b: Builder
    resnet34_c: Builder
    resnet44: Builder
    resnet50: Builder
    resnet50_v15: Builder
    resnet56: Builder
    vgg11: Builder
    vgg13: Builder
    vgg16: Builder
    vgg19: Builder
    vgg_a: Builder
    vgg_a_lrn: Builder
    vgg_b: Builder
    vgg_c: Builder
    vgg_d: Builder
    vgg_d_gap: Builder
    vgg_e: Builder
    zfnet: Builder
    zfnet_wide: Builder


def __getattr__(name: str) -> object:
    if name not in _MODULE:
        raise AttributeError(f"module 'classicnets' has no attribute {name!r}{_instead(name)}")
    return getattr(import_module(f"classicnets.{_MODULE[name]}"), name)


def _instead(name: str) -> str:
    """The call that this package has in place of another's, or the nearest name."""
    if name.startswith("_"):  # Python and notebooks look for many such
        return ""
    if name in _INSTEAD:
        return f"; write classicnets.{_INSTEAD[name]}"
    near = import_module("difflib").get_close_matches(name, __all__)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULE])
