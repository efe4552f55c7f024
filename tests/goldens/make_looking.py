"""Stores attributions by captum and grad-cam, for machines that have neither.

    python tests/goldens/make_looking.py        needs torch, captum and grad-cam, not classicnets

Weights and image come from the formula of make.py. Writes looking.json beside this file.
"""

import json
import runpy
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn

FILE = Path(__file__).with_name("looking.json")
LABEL = 2
SQUARE = 4
_formula = runpy.run_path(str(Path(__file__).with_name("make.py")))


def network() -> nn.Sequential:
    """A small network that all of them support; maps have the image's size up to the pool."""
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 12, 3, padding=1, groups=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(12 * 8 * 8, 5),
    )
    weights = {n: _formula["tensor"](n, tuple(t.shape)) for n, t in net.state_dict().items()}
    net.load_state_dict(weights)
    return net.eval()


def image() -> Tensor:
    """A batch of one 16x16 image; the formula depends on the name."""
    return _formula["values"]("small picture", (1, 3, 16, 16))


def attributions() -> dict[str, Tensor]:
    """Attributions of class LABEL to the image, each without the batch dimension."""
    from captum import attr
    from pytorch_grad_cam import GradCAMPlusPlus
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    net, x = network(), image()
    found = {
        "saliency": attr.Saliency(net).attribute(x.clone(), target=LABEL, abs=False),
        "guided_backpropagation": attr.GuidedBackprop(net).attribute(x.clone(), target=LABEL),
        "integrated_gradients": attr.IntegratedGradients(net).attribute(
            x.clone(), target=LABEL, n_steps=50
        ),
        "deconvolution": attr.Deconvolution(net[:5]).attribute(x.clone(), target=(7, 3, 5)),
        "occlusion": attr.Occlusion(lambda y: net(y).softmax(1)).attribute(
            x, (3, SQUARE, SQUARE), strides=(3, SQUARE, SQUARE), target=LABEL
        ),
        "grad_cam": attr.LayerGradCam(net, net[4]).attribute(
            x.clone(), target=LABEL, relu_attributions=True
        ),
    }
    with GradCAMPlusPlus(net, [net[1]]) as cam:
        plus = cam(x.clone(), [ClassifierOutputTarget(LABEL)])
    found["grad_cam_plus_plus"] = torch.from_numpy(plus)
    return {name: t.detach()[0].float() for name, t in found.items()}


def digest(values: Tensor) -> list[float]:
    """Every thirteenth value, the sum and the norm."""
    samples = [*values.flatten()[::13].tolist(), values.sum().item(), values.norm().item()]
    return [float(f"{x:.6g}") for x in samples]


def main() -> None:
    versions = {name: version(name) for name in ("torch", "captum", "grad-cam")}
    stored = {name: digest(values) for name, values in attributions().items()}
    FILE.write_text(json.dumps({"made with": versions, "attributions": stored}) + "\n")


if __name__ == "__main__":
    main()
