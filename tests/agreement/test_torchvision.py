"""Networks that torchvision builds as published: ours give the same scores with the same weights.

torchvision does not import with every build of torch. Its scores are therefore stored, created by
tests/goldens/make.py, and always compared; where it imports, it is also run.
"""

import importlib
import json
import re
import runpy
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from classicnets import catalog

GOLDENS = Path(__file__).parents[1] / "goldens"
ORACLE = SimpleNamespace(**runpy.run_path(str(GOLDENS / "make.py")))
STORED = json.loads(ORACLE.FILE.read_text())["networks"]

# ours -> torchvision's
NETWORKS = {"vgg_a": "vgg11", "vgg_b": "vgg13", "vgg_d": "vgg16", "vgg_e": "vgg19",
            "resnet18": "resnet18", "resnet34": "resnet34", "resnet50": "resnet50"}  # fmt: skip

pytestmark = [pytest.mark.agreement, pytest.mark.slow]


def torchvision_name(key: str, network: nn.Module) -> str:
    """The key of torchvision's state dict that corresponds to one of ours."""
    stages = [name for name, _ in network.named_children()]
    if "fc6" in stages:  # VGG: numbered stages
        stage, _, tensor = key.partition(".")
        number, flat = stages.index(stage), stages.index("flatten")
        part = f"features.{number}" if number < flat else f"classifier.{number - flat - 1}"
        return f"{part}.{tensor}"
    key = re.sub(
        r"^conv(\d)_x\.conv\d_(\d+)\.", lambda m: f"layer{int(m[1]) - 1}.{int(m[2]) - 1}.", key
    )
    key = key.replace("shortcut.conv.", "downsample.0.").replace("shortcut.bn.", "downsample.1.")
    return key.replace("body.", "")


def _scores(name: str) -> torch.Tensor:
    with torch.device("meta"):
        network = catalog.find(name).build()
    weights = {
        key: ORACLE.tensor(torchvision_name(key, network), tuple(value.shape))
        for key, value in network.state_dict().items()
    }
    network.load_state_dict(weights, assign=True)
    with torch.no_grad():
        return network.eval()(ORACLE.picture())


@pytest.mark.parametrize("name", NETWORKS)
def test_the_scores_equal_those_stored_from_torchvision(name):
    stored = STORED[NETWORKS[name]]
    scores = _scores(name)
    largest = scores.abs().max().item()
    assert scores[0, ::20].tolist() == pytest.approx(stored["scores"], rel=0, abs=1e-4 * largest)
    assert scores.norm().item() == pytest.approx(stored["norm"], rel=1e-4)
    assert scores.sum().item() == pytest.approx(stored["sum"], abs=1e-4 * 1000 * largest)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_scores_equal_torchvisions_where_it_imports(name):
    try:
        importlib.import_module("torchvision")
    except Exception as error:
        pytest.skip(f"torchvision does not import ({error}); its stored scores are compared")
    theirs, ours = ORACLE.torchvision_scores(NETWORKS[name]), _scores(name)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * theirs.abs().max().item())


def test_the_stored_scores_differ_between_networks():
    norms = sorted(stored["norm"] for stored in STORED.values())
    assert all(b > 1.001 * a for a, b in pairwise(norms))


def test_a_stride_in_another_layer_would_be_found():
    network = catalog.find("resnet50").build()
    weights = {
        key: ORACLE.tensor(torchvision_name(key, network), tuple(value.shape))
        for key, value in network.state_dict().items()
    }
    network.load_state_dict(weights)
    first = network.conv3_x.conv3_1.body
    first.conv1.stride, first.conv2.stride = (1, 1), (2, 2)
    with torch.no_grad():
        norm = network.eval()(ORACLE.picture()).norm().item()
    assert norm != pytest.approx(STORED["resnet50"]["norm"], rel=1e-3)
