"""Visualisations equal arrays worked out by hand, and leave the network unchanged."""

from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from classicnets.layers.wiring import chain
from classicnets.measure import measure
from classicnets.models.lenet import lenet5
from classicnets.models.resnet import plain_cifar, resnet_cifar
from classicnets.visualize.cam import cam, grad_cam, grad_cam_plus_plus
from classicnets.visualize.deconv import deconv
from classicnets.visualize.features import (
    cut_patch,
    feature_maps,
    receptive_boxes,
    strongest_activations,
)
from classicnets.visualize.filters import filters
from classicnets.visualize.gradients import (
    guided_backpropagation,
    integrated_gradients,
    saliency,
    smoothgrad,
)
from classicnets.visualize.health import health
from classicnets.visualize.invariance import invariance, transform
from classicnets.visualize.occlusion import occlusion
from classicnets.visualize.predictions import Predictions, embedding, predict_all
from classicnets.visualize.probes import probes


def test_dead_and_saturated_filters_are_counted():
    layer = nn.Conv2d(3, 10, 5)
    layer.weight.data[:] = torch.where(torch.rand_like(layer.weight) > 0.5, 1.0, -1.0)
    layer.weight.data[4] *= 0.04
    layer.weight.data[7] *= 4
    found = filters(nn.Sequential(nn.Identity(), layer))
    assert (found.layer, found.dead, found.saturated) == ("1", (4,), (7,))
    assert found.rms[[0, 4, 7]].tolist() == pytest.approx([1, 0.04, 4])


def test_filters_have_a_scale_of_their_own_or_a_shared_one():
    layer = nn.Conv2d(3, 2, 1, bias=False)
    layer.weight.data = torch.tensor([[1.0, 0, -1], [4, 0, -2]])[:, :, None, None]
    found = filters(nn.Sequential(layer))
    assert found.tiles().flatten(1).tolist() == [[1, 0.5, 0], [1, 0.5, 0.25]]
    assert found.tiles(shared_scale=True).flatten(1).tolist() == [
        [0.625, 0.5, 0.375],
        [1, 0.5, 0.25],
    ]


def test_the_order_of_maps_begins_with_the_strongest():
    network = chain(conv=nn.Conv2d(1, 3, 1, bias=False), relu=nn.ReLU())
    network.conv.weight.data = torch.tensor([1.0, 3, -1])[:, None, None, None]
    image = torch.tensor([[[1.0, 2], [0, -5]]])
    of_conv, of_relu = feature_maps(network, image, ["conv", "relu"])
    assert of_relu.maps.tolist() == [[[1, 2], [0, 0]], [[3, 6], [0, 0]], [[0, 0], [0, 5]]]
    assert of_conv.order == of_relu.order == (1, 2, 0)


def field_by_gradient(network, size, layer, position) -> list[int]:
    """The box of pixels that a unit depends on, by a gradient through positive weights."""
    for parameter in network.parameters():
        parameter.data.abs_().add_(0.01)
    image = torch.rand(1, *size, requires_grad=True)
    out = dict(feature_layers(network, image))[layer]
    (gradient,) = torch.autograd.grad(out[0, 0, *position], image)
    y, x = gradient[0].sum(0).nonzero().T
    return [y.min().item(), x.min().item(), y.max().item() + 1, x.max().item() + 1]


def feature_layers(network, x):
    for name, layer in network.named_children():
        x = layer(x)
        yield name, x


@pytest.mark.parametrize("position", [(0, 0), (3, 2), (5, 6)])
def test_a_receptive_box_is_the_support_of_the_gradient(position):
    network = chain(
        conv1=nn.Conv2d(2, 3, 5, stride=2, padding=1),
        relu1=nn.ReLU(),
        pool=nn.AvgPool2d(3, stride=2),
        conv2=nn.Conv2d(3, 2, 3, padding=1),
    )
    box = receptive_boxes(network, (2, 33, 37), "conv2", torch.tensor(position))
    top, left, h, w = box.tolist()
    support = field_by_gradient(network, (2, 33, 37), "conv2", position)
    assert [max(0, top), max(0, left), min(33, top + h), min(37, left + w)] == support


def test_the_receptive_box_of_a_stage_is_the_receptive_field_that_measure_reports():
    row = measure(resnet_cifar(20), (3, 32, 32)).folded().layers
    field = {layer.name: layer.receptive_field for layer in row}
    for name in ("conv1", "conv2_x", "conv3_x"):
        box = receptive_boxes(resnet_cifar(20), (3, 32, 32), name, torch.tensor([2, 2]))
        assert box[2:].tolist() == [field[name]] * 2


def test_an_unknown_receptive_field_is_the_whole_image():
    network = chain(
        conv=nn.Conv2d(1, 2, 3), norm=nn.GroupNorm(1, 2), up=nn.Upsample(scale_factor=2)
    )
    assert receptive_boxes(network, (1, 9, 8), "up", torch.tensor([3, 3])).tolist() == [0, 0, 9, 8]


def test_the_strongest_activations_do_not_depend_on_the_batch_size():
    network = chain(conv=nn.Conv2d(1, 4, 3), relu=nn.ReLU())
    images = torch.randn(30, 1, 8, 8)
    peaks = network.conv(images).detach().flatten(2).amax(2)
    for batch in (7, 64):
        found = strongest_activations(network, images, "conv", [2, 0], count=5, batch=batch)
        for row, number in enumerate((2, 0)):
            order = peaks[:, number].argsort(descending=True)[:5]
            assert found.images[row].tolist() == order.tolist()
            for i, value, box in zip(order, found.values[row], found.boxes[row], strict=True):
                patch = cut_patch(images[i], box)
                assert network.conv(patch)[number].item() == pytest.approx(value.item(), abs=1e-5)


def test_a_patch_is_filled_beyond_the_image():
    image = torch.ones(1, 4, 4)
    assert cut_patch(image, torch.tensor([-1, 2, 3, 3]), 0.5).tolist() == [
        [[0.5, 0.5, 0.5], [1, 1, 0.5], [1, 1, 0.5]]
    ]


def test_occlusion_equals_that_worked_out_by_hand():
    network = chain(conv=nn.Conv2d(1, 2, 1, bias=False), flatten=nn.Flatten(), sum=nn.Linear(32, 2))
    network.conv.weight.data = torch.tensor([[[[1.0]]], [[[0.5]]]])
    network.sum.weight.data = torch.zeros(2, 32)
    network.sum.weight.data[1, 5] = 2.0  # class 1 depends on pixel (1, 1) alone
    network.sum.bias.data.zero_()
    image = torch.arange(1.0, 17).view(1, 4, 4)
    found = occlusion(network, image, size=2, stride=2, layer="conv")
    assert (found.label, found.whole_predicted, found.map, found.tops) == (1, 1, 0, (0, 2))
    p = torch.tensor([0.0, 12]).softmax(0)[1].item()
    assert found.probability.tolist() == [pytest.approx([0.5, p]), pytest.approx([p, p])]
    assert found.predicted.tolist() == [[0, 1], [1, 1]]
    assert found.activity.tolist() == [[136 - 14, 136 - 22], [136 - 46, 136 - 54]]
    assert (found.whole_probability, found.whole_activity) == pytest.approx((p, 136))


def test_the_square_stays_inside_the_image_and_reaches_its_border():
    found = occlusion(lenet5(), torch.rand(1, 32, 32), size=10, stride=8)
    assert found.tops == found.lefts == (0, 8, 16, 22)


def test_grad_cam_equals_that_worked_out_by_hand():
    network = chain(
        conv=nn.Conv2d(1, 2, 1, bias=False), flatten=nn.Flatten(), fc=nn.Linear(8, 2, bias=False)
    )
    network.conv.weight.data = torch.tensor([[[[1.0]]], [[[-1.0]]]])
    network.fc.weight.data = torch.tensor([[1.0, 2, 3, 2, 0, 0, 0, -4], [0.0] * 8])
    # mean gradients 2 and -1; 2 * x - 1 * (-x) = 3 x, rectified
    image = torch.tensor([[[1.0, -1], [2, 0]]])
    assert grad_cam(network, image, 0, "conv").values.tolist() == [[3, 0], [6, 0]]
    # alpha = g^2 / (2 g^2 + g^3 sum x), the sums 2 and -2
    first = sum(g * g**2 / (2 * g**2 + 2 * g**3) for g in (1, 2, 3, 2))
    expected = torch.tensor([[1.0, 0], [2, 0]]) * first
    torch.testing.assert_close(grad_cam_plus_plus(network, image, 0, "conv").values, expected)


def test_cam_is_grad_cam_where_the_network_ends_in_global_average_pooling():
    network, image = resnet_cifar(20), torch.rand(3, 32, 32)
    plain, by_gradient = cam(network, image, 3), grad_cam(network, image, 3)
    assert plain.layer == by_gradient.layer == "conv4_x"
    torch.testing.assert_close(plain.values.relu(), by_gradient.values * 64, rtol=1e-4, atol=1e-6)
    score = network.eval()(image[None])[0, 3]
    assert (plain.values.mean() + network.fc.bias[3]).item() == pytest.approx(
        score.item(), rel=1e-4
    )


def test_cam_is_refused_with_the_reason():
    with pytest.raises(
        ValueError, match=r"CAM is not defined for Network.*global average pooling.*use Grad-CAM"
    ):
        cam(lenet5(), torch.rand(1, 32, 32))


def test_integrated_gradients_add_up_to_the_difference_of_the_scores():
    network, image, origin = lenet5().double(), torch.rand(1, 32, 32), torch.rand(1, 32, 32)
    found = integrated_gradients(network, image, 4, origin, steps=100)
    with torch.no_grad():
        here, there = network(torch.stack([image, origin]).double())[:, 4]
    assert found.double().sum().item() == pytest.approx((here - there).item(), rel=1e-4)


def test_smoothgrad_without_noise_is_the_gradient():
    network, image = resnet_cifar(20), torch.rand(3, 32, 32)
    smooth = smoothgrad(network, image, 1, noise=0.0, count=3)
    torch.testing.assert_close(smooth, saliency(network, image, 1), rtol=1e-4, atol=1e-7)


def test_guided_backpropagation_refuses_to_be_the_plain_gradient():
    with pytest.raises(ValueError, match="needs a ReLU, and Network has none"):
        guided_backpropagation(lenet5(), torch.rand(1, 32, 32))


def test_global_average_pooling_is_invariant_to_translation():
    network = chain(conv=nn.Conv2d(1, 3, 3, padding=1), average=nn.AdaptiveAvgPool2d(1),
                    flatten=nn.Flatten())  # fmt: skip
    images = F.pad(torch.rand(2, 1, 8, 8), (8, 8, 8, 8))
    found = invariance(network, images, torch.tensor([0, 2]), ["conv", "average"], "flatten",
                       "translation", [-4, 0, 4])  # fmt: skip
    assert found.distances["average"].amax() < 1e-6
    assert (found.distances["conv"][:, [0, 2]] > 0.1).all()
    torch.testing.assert_close(found.probability, found.probability[:, :1].expand(2, 3))


def test_a_rotation_by_90_degrees_is_exact():
    image = torch.rand(1, 2, 6, 6)
    torch.testing.assert_close(transform(image, "rotation", 90), image.rot90(1, (2, 3)))
    torch.testing.assert_close(transform(image, "scale", 1), image)


def test_a_probe_separates_classes_where_the_features_do():
    network = chain(flatten=nn.Flatten(), keep=nn.Linear(4, 4), lose=nn.Linear(4, 1))
    network.keep.weight.data = torch.eye(4)
    network.lose.weight.data.zero_()
    x = torch.randn(300, 1, 2, 2)
    y = (x[:, 0, 0, 1] > 0).long()
    found = probes(network, (x[:200], y[:200]), (x[200:], y[200:]), ["keep", "lose"])
    assert found["keep"] > 95
    majority = y[:200].mode().values
    assert found["lose"] == pytest.approx(100 * (y[200:] == majority).float().mean().item())


def test_the_most_confident_mistake_comes_first():
    probability = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.7, 0.3]])
    found = Predictions(torch.zeros(4, 1), probability, torch.tensor([0, 0, 0, 1]))
    assert found.mistakes == [1, 3, 2]


def test_the_features_are_the_input_of_the_classifier_layer():
    network, images = resnet_cifar(20), torch.rand(5, 3, 32, 32)
    found = predict_all(network, images, torch.zeros(5, dtype=torch.long), batch=2)
    scores = network.fc(found.features)
    torch.testing.assert_close(scores.softmax(1), found.probability)


def test_an_embedding_separates_distant_clusters():
    features = torch.cat([torch.randn(20, 7), torch.randn(20, 7) + 20])
    points = embedding(features)
    assert (points[:20, 0].sign() == -points[20:, 0].sign()).all()
    with pytest.raises(ValueError, match="no embedding method 'som'; choose from pca, tsne, umap"):
        embedding(features, "som")


def test_health_equals_the_standard_deviations_worked_out_by_hand():
    network = chain(a=nn.Conv2d(1, 2, 1, bias=False), relu=nn.ReLU(), flatten=nn.Flatten(),
                    b=nn.Linear(8, 3))  # fmt: skip
    network.a.weight.data = torch.tensor([[[[2.0]]], [[[-1.0]]]])
    images = torch.rand(6, 1, 2, 2)
    first, last = health(network, images, torch.zeros(6, dtype=torch.long))
    assert (first.name, last.name, first.dead) == ("a", "b", 0.5)
    assert first.weight == pytest.approx(4.5**0.5)
    assert first.activation == pytest.approx(torch.cat([2 * images, -images]).std().item())


def test_without_shortcuts_the_gradient_changes_by_orders_of_magnitude_through_depth():
    def growth(network: nn.Module) -> float:
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
        layers = health(network, torch.randn(16, 3, 32, 32), torch.arange(16) % 10)
        return layers[1].gradient / layers[-2].gradient

    assert growth(plain_cifar(56)) > 1000
    assert growth(resnet_cifar(56)) < 100


METHODS = {
    "maps": lambda n, x, y: feature_maps(n, x[0], ["conv1"]),
    "deconv": lambda n, x, y: deconv(n, x[0], "conv3_x"),
    "strongest": lambda n, x, y: strongest_activations(n, x, "conv3_x"),
    "occlusion": lambda n, x, y: occlusion(n, x[0], size=16),
    "saliency": lambda n, x, y: saliency(n, x[0]),
    "guided": lambda n, x, y: guided_backpropagation(n, x[0]),
    "integrated": lambda n, x, y: integrated_gradients(n, x[0], steps=2),
    "grad-cam": lambda n, x, y: grad_cam(n, x[0]),
    "cam": lambda n, x, y: cam(n, x[0]),
    "invariance": lambda n, x, y: invariance(n, x, y, ["conv1"], "fc", "scale", [1.5]),
    "probes": lambda n, x, y: probes(n, (x, y), (x, y), ["conv4_x"]),
    "predictions": lambda n, x, y: predict_all(n, x, y),
    "health": lambda n, x, y: health(n, x, y),
}


def state(network: nn.Module) -> tuple:
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks)
             for m in network.modules()]  # fmt: skip
    modes = [(m.training, getattr(m, "inplace", None)) for m in network.modules()]
    flags = [(p.requires_grad, p.grad, p.dtype, p.device) for p in network.parameters()]
    return hooks, modes, flags, [t.sum().item() for t in network.state_dict().values()]


def half_frozen() -> nn.Module:
    network = resnet_cifar(20).double().train()
    network.conv1.requires_grad_(False)
    network.relu1.inplace = True
    network.conv2_x.eval()
    return network


@pytest.mark.parametrize("name", METHODS)
def test_the_network_is_unchanged_afterwards(name):
    network = half_frozen()
    before = state(network)
    images, labels = torch.rand(4, 3, 32, 32), torch.tensor([0, 1, 0, 1])
    METHODS[name](network, images, labels)
    with torch.no_grad():
        METHODS[name](network, images, labels)
    assert state(network) == before


@pytest.mark.parametrize("name", METHODS)
def test_the_network_is_unchanged_after_an_error(name):
    network = half_frozen()
    before = state(network)
    with pytest.raises(ValueError, match="reads 3 channels and got 1"):
        METHODS[name](network, torch.rand(4, 1, 32, 32), torch.tensor([0, 1, 0, 1]))
    assert state(network) == before


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda n, x: deconv(n, x, "S22"), "no layer 'S22'; did you mean S2"),
        (lambda n, x: deconv(n, x, "zebra"), "its stages are C1, squash1"),
        (lambda n, x: deconv(n, x, "C1", [6]), "C1 has no map 6; choose from 0 to 5"),
        (lambda n, x: grad_cam(n, x, 10), "no class 10; choose from 0 to 9"),
        (lambda n, x: grad_cam(n, x, -1), "no class -1"),
        (lambda n, x: grad_cam(n, x, layer="F6"), r"F6 gives \(84,\), not feature maps"),
        (lambda n, x: occlusion(n, x, size=40), "1 to 32 pixels a side, not 40"),
        (lambda n, x: occlusion(n, x, stride=0), "at least 1 pixel, not 0"),
        (lambda n, x: filters(n, "F6"), "F6 is a Linear without filters; choose from C1, C3, C5"),
        (lambda n, x: saliency(n, x[:, :20]), "32x32|needs|window"),
        (lambda n, x: grad_cam(nn.Sequential(nn.Flatten(), nn.Linear(1024, 2)), x), "feature maps"),
        (lambda n, x: filters(nn.Linear(2, 2)), "Linear has no layer with filters"),
        (lambda n, x: deconv(n, x, "output", [0]), "no inverse for the operator"),
    ],
)  # fmt: skip
def test_a_mistake_is_reported_in_a_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call(lenet5(), torch.rand(1, 32, 32))


@pytest.mark.parametrize("side", [20, 50])
@pytest.mark.parametrize(
    "call",
    [
        lambda n, x: feature_maps(n, x, ["F6"]),
        lambda n, x: feature_maps(n, x, ["C1", "output"]),
        lambda n, x: deconv(n, x, "F6"),
        lambda n, x: occlusion(n, x),
        lambda n, x: grad_cam(n, x, layer="C1"),
        lambda n, x: strongest_activations(n, x[None], "F6"),
        lambda n, x: predict_all(n, x[None], torch.zeros(1, dtype=torch.long)),
    ],
)
@pytest.mark.parametrize("third_party", [False, True])
def test_an_image_of_the_wrong_size_is_refused_with_the_nearest_legal_size(call, side, third_party):
    network = nn.Sequential(OrderedDict(lenet5().named_children())) if third_party else lenet5()
    before = state(network)
    with pytest.raises(ValueError, match=r"the nearest legal size is 1x3[25]x3[25]"):
        call(network, torch.rand(1, side, side))
    assert state(network) == before


class Partial(nn.Module):
    """A third-party network with a layer that does not run, and one that returns a tuple."""

    def __init__(self):
        super().__init__()
        self.used, self.unused = nn.Conv2d(1, 2, 3), nn.Conv2d(1, 2, 3)
        self.pair = nn.AdaptiveMaxPool2d(1, return_indices=True)

    def forward(self, x):
        return self.pair(self.used(x))[0].flatten(1)


def test_a_layer_that_does_not_run_or_returns_no_tensor_is_named():
    with pytest.raises(ValueError, match="unused does not run"):
        feature_maps(Partial(), torch.rand(1, 8, 8), ["unused"])
    with pytest.raises(ValueError, match="pair returns a tuple"):
        feature_maps(Partial(), torch.rand(1, 8, 8), ["pair"])
