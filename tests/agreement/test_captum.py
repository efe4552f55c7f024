"""Attributions equal captum's and grad-cam's, wherever both are defined.

Neither is needed to run the package. Their stored results, written by
tests/goldens/make_looking.py, are always compared; live results are compared too where they are
installed.
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
from classicnets.visualize.features import strongest_activations
from classicnets.visualize.gradients import (
    guided_backpropagation,
    integrated_gradients,
    saliency,
)
from classicnets.visualize.occlusion import occlusion

GOLDENS = Path(__file__).parents[1] / "goldens"
ORACLE = SimpleNamespace(**runpy.run_path(str(GOLDENS / "make_looking.py")))
STORED = json.loads(ORACLE.FILE.read_text())["attributions"]

# grad-cam adds 1e-6 to the denominator 2 g^2 + S g^3 of Grad-CAM++, which equation 19 does not;
# with the gradients of this network (about 0.05) it moves the heat by up to 5e-4
GRAD_CAM_EPSILON = {"grad_cam_plus_plus": {"rtol": 1e-3, "atol": 3e-4}}

pytestmark = pytest.mark.agreement


def ours(name: str) -> Tensor:
    network, x, label = ORACLE.network(), ORACLE.image()[0], ORACLE.LABEL
    gradients = {
        "saliency": saliency,
        "guided_backpropagation": guided_backpropagation,
        "integrated_gradients": integrated_gradients,
    }
    if name in gradients:
        return gradients[name](network, x, label)
    if name == "deconvolution":  # captum starts from a gradient of one, deconv from the activation
        maps, positions = torch.tensor([7]), torch.tensor([[3, 5]])
        reconstructions, _ = reconstruct(network, x[None], "4", maps, positions)
        with torch.no_grad():
            return reconstructions[0] / network[:5](x[None])[0, 7, 3, 5]
    if name == "occlusion":
        side = ORACLE.SQUARE
        found = occlusion(network, x, label, size=side, stride=side)
        drop = found.whole_probability - found.probability
        return drop.repeat_interleave(side, 0).repeat_interleave(side, 1).expand(3, -1, -1)
    if name == "grad_cam":
        return grad_cam(network, x, label, "4").values[None]
    values = grad_cam_plus_plus(network, x, label, "1").values
    return (values - values.min()) / (1e-7 + (values - values.min()).max())  # as grad-cam does


@pytest.mark.parametrize("name", STORED)
def test_attributions_equal_the_stored_ones(name):
    stored = torch.tensor(STORED[name])
    assert stored[:-2].abs().max() > 1e-4
    digest = torch.tensor(ORACLE.digest(ours(name)))
    tolerance = GRAD_CAM_EPSILON.get(name, {"rtol": 2e-4, "atol": 2e-5})
    torch.testing.assert_close(digest, stored, **tolerance)


@pytest.fixture(scope="module")
def live():
    for oracle in ("captum", "pytorch_grad_cam"):
        try:
            importlib.import_module(oracle)
        except Exception as error:
            pytest.skip(f"{oracle} does not import: {error}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ORACLE.attributions()


@pytest.mark.slow
def test_torchvisions_googlenet_is_supported_where_captum_gives_the_plain_gradient():
    try:
        torchvision = importlib.import_module("torchvision")
    except Exception as error:
        pytest.skip(f"torchvision does not import: {error}")
    network = torchvision.models.googlenet(init_weights=False).eval()
    image = torch.rand(3, 224, 224)
    found = deconv(network, image, "inception4a", count=2)  # its ReLUs are functions
    assert found.applied == {"relu": 3 + 3 * 6, "max_pool2d": 3 + 3}
    plain, guided = saliency(network, image, 5), guided_backpropagation(network, image, 5)
    assert not torch.allclose(plain, guided)
    assert grad_cam(network, image, 5).layer == "inception5b"
    assert (
        strongest_activations(network, image[None], "inception3a", [0]).boxes[0, 0, 2:].max() < 224
    )


@pytest.mark.parametrize("name", STORED)
def test_attributions_equal_the_live_ones(name, live):
    tolerance = GRAD_CAM_EPSILON.get(name, {"rtol": 1e-4, "atol": 1e-6})
    torch.testing.assert_close(ours(name), live[name], **tolerance)
