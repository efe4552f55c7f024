"""The light models of onnx 1.23.2, structures of Caffe's model zoo without its weights, have the
same layers as the networks that released weights are for."""

from collections import Counter
from pathlib import Path

import onnx
import onnx.numpy_helper
import pytest
import torch
from torch import nn

from classicnets import catalog
from classicnets.layers.lrn import LocalResponseNorm

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"
NETWORKS = {
    "alexnet-bvlc.net": "light_bvlc_alexnet",
    "googlenet": "light_inception_v1",
    "vgg_e": "light_vgg19",
    "resnet50_v15": "light_resnet50",
}


def theirs(model: onnx.ModelProto) -> Counter:
    """Convolutions, fully connected layers and response normalisation."""
    dims = {i.name: tuple(onnx.numpy_helper.to_array(i)) for i in model.graph.initializer}
    given = {"ConstantOfShape": 0, "Reshape": 1}  # which input is the shape
    shapes = {
        node.output[0]: dims[node.input[given[node.op_type]]]
        for node in model.graph.node
        if node.op_type in given
    }
    found: Counter = Counter()
    for node in model.graph.node:
        has = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "Conv":
            stride, pads = tuple(has["strides"]), tuple(has.get("pads", (0, 0)))[:2]
            found[shapes[node.input[1]], stride, pads, has.get("group", 1)] += 1
        elif node.op_type == "Gemm":
            found[shapes[node.input[1]]] += 1
        elif node.op_type == "LRN":  # which divides alpha by the window
            alpha = round(has["alpha"] / has["size"], 9)
            found[has["size"], alpha, round(has["beta"], 6), has["bias"]] += 1
    return found


def ours(network: nn.Module) -> Counter:
    found: Counter = Counter()
    for name, layer in network.named_modules():
        if name.startswith("aux"):  # of training only
            continue
        if isinstance(layer, nn.Conv2d):
            shape = tuple(layer.weight.shape)
            found[shape, layer.stride, layer.padding, layer.groups] += 1
        elif isinstance(layer, nn.Linear):
            found[tuple(layer.weight.shape)] += 1
        elif isinstance(layer, LocalResponseNorm):
            found[layer.size, round(layer.alpha, 9), layer.beta, layer.k] += 1
    return found


@pytest.mark.agreement
@pytest.mark.parametrize("name", NETWORKS)
def test_the_layers_are_those_of_the_model_zoo(name):
    with torch.device("meta"):
        network = catalog.find(name).build()
    assert ours(network) == theirs(onnx.load(LIGHT / f"{NETWORKS[name]}.onnx"))


@pytest.mark.agreement
@pytest.mark.parametrize(("paper", "light"), [("alexnet", "alexnet-bvlc.net"),
                                              ("resnet50", "resnet50_v15")])  # fmt: skip
def test_the_papers_own_differ_from_them(paper, light):
    with torch.device("meta"):
        network = catalog.find(paper).build()
    assert ours(network) != theirs(onnx.load(LIGHT / f"{NETWORKS[light]}.onnx"))
