"""Third-party networks that work in place, hide operators or use odd layers."""

import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from classicnets import catalog
from classicnets.visualize.cam import grad_cam
from classicnets.visualize.deconv import deconv
from classicnets.visualize.features import feature_maps, receptive_boxes
from classicnets.visualize.filters import filters
from classicnets.visualize.gradients import guided_backpropagation, saliency
from classicnets.visualize.health import health
from classicnets.visualize.layers import find_calls, layer_outputs, stages_and_fc
from classicnets.visualize.occlusion import occlusion


class InPlace(nn.Module):
    """Calls F.relu, in place if asked to, as torchvision's GoogLeNet does."""

    def __init__(self, in_place: bool):
        super().__init__()
        torch.manual_seed(3)
        self.c1, self.c2, self.fc = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 8, 3), nn.Linear(8, 4)
        self.in_place = in_place

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.c1(x), inplace=self.in_place)
        x = F.relu(self.c2(x), inplace=self.in_place)
        return self.fc(x.mean((2, 3)))


def test_a_relu_in_place_changes_no_visualisation():
    image, labels = torch.randn(3, 12, 12), torch.tensor([0, 1, 2, 3])
    for method in (
        lambda net: feature_maps(net, image, ["c1", "c2"])[0].maps,
        lambda net: grad_cam(net, image, 1).values,
        lambda net: occlusion(net, image, 1).activity,
        lambda net: torch.tensor(
            [[h.activation, h.gradient, h.dead, h.response]
             for h in health(net, image.expand(4, -1, -1, -1), labels)]
        ),
    ):  # fmt: skip
        torch.testing.assert_close(method(InPlace(True)), method(InPlace(False)))


class Cut(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x.clone()
        y[y < 0] = 0
        return y


def _around(relu: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), relu,
                         nn.AdaptiveAvgPool2d(1), nn.Flatten())  # fmt: skip


def scripted() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scripting is deprecated, but still in use
        return torch.jit.script(nn.ReLU())


class Mapped(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.vmap(torch.relu)(x)


@pytest.mark.parametrize("hidden", [Cut(), scripted(), Mapped()], ids=["set", "script", "vmap"])
def test_a_hidden_relu_is_refused(hidden):
    with pytest.raises(ValueError, match=r"deconvnet|hides"):
        deconv(_around(hidden), torch.randn(3, 9, 9), "4")


@pytest.mark.parametrize("hidden", [scripted(), Mapped()], ids=["script", "vmap"])
def test_guided_backpropagation_refuses_a_partly_hidden_network(hidden):
    with pytest.raises(ValueError, match="hides"):
        guided_backpropagation(_around(hidden), torch.randn(3, 9, 9), 1)


def test_dead_filters_are_found_also_when_most_are_dead():
    conv = nn.Conv2d(3, 8, 3)
    with torch.no_grad():
        conv.weight.fill_(1)
        conv.weight[2:] = 0
    found = filters(nn.Sequential(conv))
    assert (found.dead, found.saturated) == ((2, 3, 4, 5, 6, 7), ())


def test_the_channels_of_a_filter_share_its_scale():
    conv = nn.Conv2d(2, 1, 1)
    with torch.no_grad():
        conv.weight[0, :, 0, 0] = torch.tensor([1.0, 0.01])
    assert filters(nn.Sequential(conv)).tiles().flatten().tolist() == pytest.approx([1, 0.505])


def test_negative_scores_do_not_count_as_dead_maps():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                        nn.Linear(4, 5))  # fmt: skip
    with torch.no_grad():
        net[0].weight[1] = 0
        net[0].bias[1] = -1
        net[4].bias.fill_(-100)
    conv, fc = health(net, torch.randn(4, 3, 8, 8), torch.arange(4))
    assert (conv.dead, fc.dead) == (0.25, 0)


def test_inference_tensors_are_accepted():
    with torch.inference_mode():
        image = torch.randn(3, 12, 12)
    assert saliency(InPlace(False), image, 0).shape == (3, 12, 12)


def test_fully_connected_layers_follow_the_stages():
    net, image = catalog.build("alexnet"), torch.zeros(3, 227, 227)
    assert stages_and_fc(net, image) == [
        "conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7",
    ]  # fmt: skip
    flat = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 7), nn.Linear(7, 2))
    assert stages_and_fc(flat, torch.zeros(3, 5, 5)) == ["2"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "layer", "position"),
    [("googlenet", "inception_3b", (5, 9)), ("resnet20", "conv3_x", (3, 8)),
     ("zfnet", "conv2", (12, 0))],
)  # fmt: skip
def test_receptive_boxes_of_branches_and_rounded_pools_are_the_support_of_the_gradient(
    name, layer, position
):
    entry = catalog.find(name)
    net = entry.build().eval().double()
    for where, pool in list(net.named_modules()):  # a maximum has one source, a mean all
        if isinstance(pool, nn.MaxPool2d):
            of, _, leaf = where.rpartition(".")
            mean = nn.AvgPool2d(pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode)
            setattr(net.get_submodule(of), leaf, mean)
    for p in net.parameters():  # no weight cancels another
        torch.nn.init.uniform_(p, 0.01, 0.02)
    x = torch.rand(1, *entry.input, dtype=torch.float64).requires_grad_()
    maps = layer_outputs(net, x, find_calls(net, x, [layer]))[layer]
    (gradient,) = torch.autograd.grad(maps[0, :, position[0], position[1]].sum(), x)
    rows, columns = (gradient[0].abs().sum((0, k)).nonzero()[:, 0] for k in (2, 1))
    box = receptive_boxes(net, entry.input, layer, torch.tensor(position))
    top, left, height, width = box.tolist()
    side = entry.input[1]
    assert (rows[0], rows[-1]) == (max(0, top), min(side, top + height) - 1)
    assert (columns[0], columns[-1]) == (max(0, left), min(side, left + width) - 1)
