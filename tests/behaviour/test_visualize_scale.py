"""Visualisations do not depend on the scale of scores, gradients and weights."""

import pytest
import torch
from matplotlib.image import AxesImage
from torch import nn

from classicnets.layers.wiring import chain
from classicnets.visualize import render
from classicnets.visualize.cam import Heatmap, cam, grad_cam, grad_cam_plus_plus
from classicnets.visualize.deconv import deconv
from classicnets.visualize.figure import overlay
from classicnets.visualize.filters import filters
from classicnets.visualize.gradients import (
    guided_backpropagation,
    integrated_gradients,
    saliency,
    smoothgrad,
)
from classicnets.visualize.health import health
from classicnets.visualize.predictions import embedding
from classicnets.visualize.probes import probes
from classicnets.visualize.tiles import around_grey

FACTORS = (1e-12, 1e-6, 1e6)


def averaging(weights: list[list[float]]) -> nn.Sequential:
    """Two channels, taken as they are, averaged, and weighted into scores."""
    network = chain(conv=nn.Conv2d(2, 2, 1, bias=False), pool=nn.AdaptiveAvgPool2d(1),
                    flatten=nn.Flatten(), fc=nn.Linear(2, len(weights), bias=False))  # fmt: skip
    network.conv.weight.data = torch.eye(2).view(2, 2, 1, 1)
    network.fc.weight.data = torch.tensor(weights)
    return network


@pytest.mark.parametrize("factor", [1e-4, 1.0, 1e4])
def test_grad_cam_plus_plus_is_equation_19_for_gradients_of_any_size(factor):
    image = torch.zeros(2, 14, 14)
    image[0, 0, 0], image[1, 13, 13] = 1.0, 0.6
    heat = grad_cam_plus_plus(averaging([[0.02 * factor, 0.04 * factor]]), image, 0, "conv").values
    # at each of 196 positions g / (2 + S g), with g a 196th of the weight and S the sum of the map
    first, second = (196 * g / (2 + total * g) for total, g in
                     ((1.0, 0.02 * factor / 196), (0.6, 0.04 * factor / 196)))  # fmt: skip
    assert (heat[0, 0] / heat[13, 13]).item() == pytest.approx(first * 1.0 / (second * 0.6))
    assert heat[0, 0].item() == pytest.approx(first)
    if factor == 1.0:
        assert (heat[0, 0] / heat[13, 13]).item() == pytest.approx(0.8333, abs=1e-4)


@pytest.mark.parametrize(
    ("total", "expected"),
    [(0.0, 1 / 2), (6.0, 1 / 8), (-1.0, 1 / 1), (-2.0, 0.0), (-3.0, 0.0)],
)
def test_a_position_whose_denominator_is_not_positive_adds_nothing(total, expected):
    # g is 1 at the four positions of map 0, whose values add up to S
    image = torch.zeros(2, 2, 2)
    image[0] = torch.tensor([[3.0, total - 3], [0, 0]])
    heat = grad_cam_plus_plus(averaging([[4.0, 0.0]]), image, 0, "conv").values
    weight = 4 * expected
    assert heat.flatten().tolist() == pytest.approx(
        [3 * weight, max(0, (total - 3) * weight), 0, 0]
    )


def test_positions_with_a_negative_gradient_add_nothing_to_grad_cam_plus_plus():
    heat = grad_cam_plus_plus(averaging([[-4.0, 4.0]]), torch.ones(2, 2, 2), 0, "conv").values
    assert heat.flatten().tolist() == pytest.approx([4 / (2 + 4)] * 4)


def small() -> nn.Sequential:
    torch.manual_seed(1)
    return chain(conv=nn.Conv2d(3, 4, 3), relu=nn.ReLU(), pool=nn.AdaptiveAvgPool2d(1),
                 flatten=nn.Flatten(), fc=nn.Linear(4, 5))  # fmt: skip


ATTRIBUTIONS = {
    "Grad-CAM": lambda n, x: grad_cam(n, x, 1).values,
    "CAM": lambda n, x: cam(n, x, 1).values,
    "saliency": lambda n, x: saliency(n, x, 1),
    "guided": lambda n, x: guided_backpropagation(n, x, 1),
    "integrated": lambda n, x: integrated_gradients(n, x, 1),
    "SmoothGrad": lambda n, x: smoothgrad(n, x, 1),
    "deconv": lambda n, x: deconv(n, x, "fc", [1]).reconstructions[0],
}


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("name", ATTRIBUTIONS)
def test_an_attribution_grows_with_the_last_layer_and_is_drawn_the_same(name, factor):
    image, network, scaled = torch.rand(3, 9, 9), small(), small()
    for parameter in scaled.fc.parameters():
        parameter.data *= factor
    one, other = (ATTRIBUTIONS[name](n, image) for n in (network, scaled))
    assert one.abs().max() > 0
    if name == "deconv":  # of an activation, which is scaled as well
        factor = factor * factor
    torch.testing.assert_close(other / factor, one, rtol=1e-3, atol=1e-6)
    draw = around_grey if one.ndim != 2 else lambda heat: overlay(heat, image)
    torch.testing.assert_close(draw(other), draw(one), rtol=1e-3, atol=0.02)


@pytest.mark.parametrize("factor", FACTORS)
def test_cam_is_refused_for_another_head_at_any_scale(factor):
    network = chain(conv=nn.Conv2d(3, 4, 3), relu=nn.ReLU(), pool=nn.AdaptiveMaxPool2d(1),
                    flatten=nn.Flatten(), fc=nn.Linear(4, 5))  # fmt: skip
    for parameter in network.fc.parameters():
        parameter.data *= factor
    with pytest.raises(ValueError, match="CAM is not defined"):
        cam(network, torch.rand(3, 9, 9), 1)


@pytest.mark.parametrize("factor", FACTORS)
def test_filters_are_drawn_and_counted_the_same_at_any_scale(factor):
    network = small()
    network.conv.weight.data[2] *= 0.01
    one = filters(network)
    network.conv.weight.data *= factor
    other = filters(network)
    assert one.dead == other.dead == (2,)
    for shared in (False, True):
        torch.testing.assert_close(one.tiles(shared), other.tiles(shared))


@pytest.mark.parametrize("factor", FACTORS)
def test_health_probes_and_embedding_do_not_depend_on_the_unit(factor):
    network, scaled = small(), small()
    scaled.conv.weight.data *= factor
    scaled.conv.bias.data *= factor
    images, labels = torch.rand(40, 3, 9, 9), torch.arange(40) % 5
    one, other = (health(n, images, labels)[0] for n in (network, scaled))
    assert other.activation / factor == pytest.approx(one.activation, rel=1e-4)
    assert other.dead == one.dead
    split = (images, labels), (images, labels)
    assert probes(network, *split, ["relu"]) == probes(scaled, *split, ["relu"])
    features = torch.randn(20, 6)
    torch.testing.assert_close(
        embedding(features * factor) / factor, embedding(features), rtol=1e-3, atol=1e-3
    )


def images_of(figure) -> list[AxesImage]:
    return [image for ax in figure.axes for image in ax.images]


def test_weak_and_sparse_attributions_are_visible():
    image, sparse = torch.rand(3, 20, 20), torch.zeros(3, 20, 20)
    sparse[0, 4, 5] = 1e-9  # one pixel of 400, so that the 99th percentile is 0
    drawn = images_of(render.gradients_figure({"saliency": sparse}, image))[1]
    assert drawn.norm(drawn.get_array()).max() == 1
    heat = torch.zeros(5, 5)
    faint, bright = (
        images_of(render.heatmap_figure([Heatmap("CAM", "x", 0, values)], image, ["a"]))[1]
        for values in (heat.index_put((torch.tensor(2), torch.tensor(2)), torch.tensor(value))
                       for value in (1e-20, 1.0))
    )  # fmt: skip
    assert abs(faint.get_array() - bright.get_array()).max() < 1e-5


def test_an_attribution_of_a_large_image_is_drawn():
    wide = torch.rand(1, 2, 2**23 + 1)  # more values than torch's quantile takes
    assert images_of(render.gradients_figure({"saliency": wide}, wide))
