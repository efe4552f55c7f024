"""Attributions equal captum's and grad-cam's, wherever both are defined.

Neither is needed to run the package. What they say is stored, made by
tests/goldens/make_looking.py, and compared always; where they import they are also asked in person.
"""

import importlib
import json
import runpy
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from classicnets.visualize.cam import grad_cam, grad_cam_plus_plus
from classicnets.visualize.deconv import deconv, reconstruct
from classicnets.visualize.features import strongest
from classicnets.visualize.gradients import (
    guided_backpropagation,
    integrated_gradients,
    saliency,
)
from classicnets.visualize.occlusion import occlusion

GOLDENS = Path(__file__).parents[1] / "goldens"
ORACLE = SimpleNamespace(**runpy.run_path(str(GOLDENS / "make_looking.py")))
STORED = json.loads(ORACLE.FILE.read_text())["attributions"]

pytestmark = pytest.mark.agreement


def ours(name: str) -> Tensor:
    network, x, label = ORACLE.network(), ORACLE.picture()[0], ORACLE.LABEL
    gradients = {
        "saliency": saliency,
        "guided_backpropagation": guided_backpropagation,
        "integrated_gradients": integrated_gradients,
    }
    if name in gradients:
        return gradients[name](network, x, label)
    if name == "deconvolution":  # captum begins with a gradient of one, we with the activation
        maps, places = torch.tensor([7]), torch.tensor([[3, 5]])
        pictures, _ = reconstruct(network, x[None], "4", maps, places)
        with torch.no_grad():
            return pictures[0] / network[:5](x[None])[0, 7, 3, 5]
    if name == "occlusion":
        side = ORACLE.SQUARE
        found = occlusion(network, x, label, size=side, step=side)
        drop = found.before[0] - found.probability
        return drop.repeat_interleave(side, 0).repeat_interleave(side, 1).expand(3, -1, -1)
    if name == "grad_cam":
        return grad_cam(network, x, label, "4").heat[None]
    heat = grad_cam_plus_plus(network, x, label, "1").heat
    return (heat - heat.min()) / (1e-7 + (heat - heat.min()).max())  # as grad-cam gives it


@pytest.mark.parametrize("name", STORED)
def test_what_they_have_said_is_what_we_say(name):
    said = torch.tensor(STORED[name])
    assert said[:-2].abs().max() > 1e-4
    torch.testing.assert_close(torch.tensor(ORACLE.digest(ours(name))), said, rtol=2e-4, atol=2e-5)


@pytest.fixture(scope="module")
def live():
    for oracle in ("captum", "pytorch_grad_cam"):
        try:
            importlib.import_module(oracle)
        except Exception as error:
            pytest.skip(f"{oracle} does not import: {error}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ORACLE.asked()


@pytest.mark.slow
def test_it_works_on_torchvisions_googlenet_where_captum_gives_the_plain_gradient():
    try:
        torchvision = importlib.import_module("torchvision")
    except Exception as error:
        pytest.skip(f"torchvision does not import: {error}")
    network = torchvision.models.googlenet(init_weights=False).eval()
    image = torch.rand(3, 224, 224)
    found = deconv(network, image, "inception4a", count=2)  # its rectifiers are functions
    assert found.applied == {"relu": 3 + 3 * 6, "max_pool2d": 3 + 3}
    plain, guided = saliency(network, image, 5), guided_backpropagation(network, image, 5)
    assert not torch.allclose(plain, guided)
    assert grad_cam(network, image, 5).layer == "inception5b"
    assert strongest(network, image[None], "inception3a", [0]).windows[0, 0, 2:].max() < 224


@pytest.mark.parametrize("name", STORED)
def test_what_they_say_is_what_we_say(name, live):
    torch.testing.assert_close(ours(name), live[name], rtol=1e-4, atol=1e-6)
