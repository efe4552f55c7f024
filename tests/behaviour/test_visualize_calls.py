"""A layer that runs several times means the same call in every method, as do odd networks' layers.

Expected values come from a network with one layer for each call.
"""

import threading
import warnings
from dataclasses import astuple
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from classicnets.visualize.cam import cam, grad_cam, grad_cam_plus_plus
from classicnets.visualize.deconv import deconv
from classicnets.visualize.features import (
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
from classicnets.visualize.invariance import invariance
from classicnets.visualize.layers import classifier_layer, last_spatial_layer, stages
from classicnets.visualize.occlusion import occlusion
from classicnets.visualize.predictions import predict_all
from classicnets.visualize.probes import features, probes


class Shared(nn.Module):
    """One ReLU behind two convolutions and a fully connected layer, or a ReLU behind each."""

    def __init__(self, shared: bool):
        super().__init__()
        torch.manual_seed(5)
        self.c1, self.c2 = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3)
        self.f1, self.f2 = nn.Linear(6 * 64, 7), nn.Linear(7, 5)
        self.a = nn.ReLU()
        self.b, self.c = (self.a, self.a) if shared else (nn.ReLU(), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.f2(self.c(self.f1(self.b(self.c2(self.a(self.c1(x)))).flatten(1))))


IMAGES, LABELS = torch.rand(12, 3, 12, 12), torch.arange(12) % 5
BY_LAYER = {
    "feature_maps": lambda n, layer: feature_maps(n, IMAGES[0], [layer])[0].maps,
    "grad_cam": lambda n, layer: grad_cam(n, IMAGES[0], 1, layer).values,
    "grad_cam_plus_plus": lambda n, layer: grad_cam_plus_plus(n, IMAGES[0], 1, layer).values,
    "deconv": lambda n, layer: deconv(n, IMAGES[0], layer).reconstructions,
    "strongest": lambda n, layer: strongest_activations(n, IMAGES, layer, [0, 1], batch=5).values,
    "boxes": lambda n, layer: receptive_boxes(n, (3, 12, 12), layer, torch.tensor([2, 1])),
    "occlusion": lambda n, layer: occlusion(n, IMAGES[0], 1, layer=layer, batch=7).activity,
    "probe features": lambda n, layer: torch.tensor(features(n, IMAGES, [layer], batch=5)[layer]),
    "invariance": lambda n, layer: invariance(
        n, IMAGES, LABELS, [layer], "f2", "scale", [1.2]
    ).distances[layer],
}


@pytest.mark.parametrize("name", BY_LAYER)
def test_every_method_means_the_same_call_of_a_shared_layer(name):
    one, apart = Shared(True), Shared(False)
    method = BY_LAYER[name]
    with_maps = {"a": "b", "b": "b", "c": "b", "a (1)": "a", "a (2)": "b"}  # the last with maps
    for layer, twin in with_maps.items():
        torch.testing.assert_close(method(one, layer), method(apart, twin), msg=layer)
    if not name.startswith("grad_cam"):
        torch.testing.assert_close(method(one, "a (3)"), method(apart, "c"))
    if name == "boxes":  # of a size, without an image
        assert method(one, "a (4)").tolist() == [0, 0, 12, 12]
        return
    with pytest.raises(ValueError, match=r"no call 'a \(4\)'; the layer runs 3 times in a forward"):
        method(one, "a (4)")


def test_the_default_layer_is_the_last_call_with_maps():
    one, apart = Shared(True), Shared(False)
    assert (last_spatial_layer(one, IMAGES[0]), last_spatial_layer(apart, IMAGES[0])) == ("a", "b")
    assert stages(one, IMAGES[0]) == stages(apart, IMAGES[0]) == ["c1", "c2"]
    for method in (grad_cam, grad_cam_plus_plus):
        torch.testing.assert_close(
            method(one, IMAGES[0], 1).values, method(apart, IMAGES[0], 1).values
        )
    assert health(one, IMAGES, LABELS) == health(apart, IMAGES, LABELS)


class Repeats(nn.Module):
    """A convolution that runs three times, and a classifier that runs twice and last."""

    def __init__(self):
        super().__init__()
        self.c = nn.Conv2d(3, 3, 3, padding=1)
        self.pool, self.f = nn.AdaptiveAvgPool2d(1), nn.Linear(3, 3)
        self.norm = nn.BatchNorm1d(3)  # which cannot be trained on one image

    def forward(self, x: Tensor) -> Tensor:
        x = self.c(self.c(self.c(x)))
        return self.f(input=self.norm(self.f(self.pool(x).flatten(1))))


def test_repeated_layers_with_weights_have_the_field_and_features_of_their_last_call():
    network = Repeats()
    at = torch.tensor([4, 4])
    for number, field in (("c (1)", 3), ("c (2)", 5), ("c (3)", 7), ("c", 7)):
        assert receptive_boxes(network, (3, 12, 12), number, at)[2:].tolist() == [field, field]
    assert classifier_layer(network, IMAGES[0]) == "f"
    found = predict_all(network, IMAGES, LABELS, batch=5)
    with torch.no_grad():
        expected = network.f(found.features).softmax(1)
    torch.testing.assert_close(found.probability, expected)


def test_calls_that_do_not_exist_are_refused_in_a_sentence():
    for layer, sentence in (
        ("c1 (2)", r"there is no call 'c1 \(2\)'; the layer runs once in a forward pass"),
        ("c1 (0)", r"there is no call 'c1 \(0\)'; the calls of a layer count from 1"),
        ("c9 (2)", r"the network has no layer 'c9'; did you mean"),
    ):
        with pytest.raises(ValueError, match=sentence):
            grad_cam(Shared(True), IMAGES[0], layer=layer)
    odd = nn.Sequential()
    odd.add_module("c (2)", nn.Conv2d(3, 4, 3))  # a name, not a call
    assert filters(odd, "c (2)").layer == "c (2)"


def test_layers_before_one_that_cannot_take_the_image_are_still_shown():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(5, 2))
    assert feature_maps(network, IMAGES[0], ["0"])[0].maps.shape == (4, 10, 10)
    with pytest.raises(ValueError, match="needs 5 values per image"):
        feature_maps(network, IMAGES[0], ["2"])


def body() -> nn.Sequential:
    torch.manual_seed(6)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(4, 5))  # fmt: skip


def _weight_norm(layer: nn.Module) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # deprecated, but still in use
        nn.utils.weight_norm(layer)


PARAMETRIZED = {
    "weight norm": parametrizations.weight_norm,
    "spectral norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "old weight norm": _weight_norm,
    "old spectral norm": nn.utils.spectral_norm,
    "pruned": lambda layer: prune.l1_unstructured(layer, "weight", amount=0.5),
}
METHODS = {
    "filters": lambda n: filters(n).weights,
    "feature_maps": lambda n: feature_maps(n, IMAGES[0], ["0"])[0].maps,
    "grad_cam": lambda n: grad_cam(n, IMAGES[0], 1).values,
    "grad_cam_plus_plus": lambda n: grad_cam_plus_plus(n, IMAGES[0], 1).values,
    "cam": lambda n: cam(n, IMAGES[0], 1).values,
    "deconv": lambda n: deconv(n, IMAGES[0], "1").reconstructions,
    "strongest": lambda n: strongest_activations(n, IMAGES, "1").values,
    "boxes": lambda n: receptive_boxes(n, (3, 12, 12), "1", torch.tensor([2, 1])),
    "occlusion": lambda n: occlusion(n, IMAGES[0], 1).activity,
    "saliency": lambda n: saliency(n, IMAGES[0], 1),
    "guided": lambda n: guided_backpropagation(n, IMAGES[0], 1),
    "integrated": lambda n: integrated_gradients(n, IMAGES[0], 1, steps=3),
    "smoothgrad": lambda n: smoothgrad(n, IMAGES[0], 1, count=2),
    "invariance": lambda n: invariance(n, IMAGES, LABELS, ["1"], "4", "scale", [1.2]).probability,
    "probes": lambda n: torch.tensor(
        list(probes(n, (IMAGES, LABELS), (IMAGES, LABELS), ["1"]).values())
    ),
    "predictions": lambda n: predict_all(n, IMAGES, LABELS).features,
    "health": lambda n: torch.tensor(
        [astuple(layer)[1:] for layer in health(n, IMAGES, LABELS)]
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", PARAMETRIZED)
def test_parametrized_weights_are_seen_as_the_weights_they_give(kind):
    network = body()
    for layer in (network[0], network[4]):
        PARAMETRIZED[kind](layer)
    network.eval()(IMAGES)  # the effective weights
    plain = body()
    for i in (0, 4):
        plain[i].weight.data.copy_(network[i].weight)
        plain[i].bias.data.copy_(network[i].bias)
    for name, method in METHODS.items():
        torch.testing.assert_close(method(network), method(plain), msg=name)
    assert classifier_layer(network, IMAGES[0]) == "4"


def test_filters_show_the_effective_weight_also_before_a_forward_pass():
    for kind in ("old weight norm", "pruned"):
        network, other = body(), body()
        other[0].weight.data *= 3
        for n in (network, other):
            PARAMETRIZED[kind](n[0])
        expected = other[0].weight.detach().clone()
        network.load_state_dict(other.state_dict())
        torch.testing.assert_close(filters(network).weights, expected)


class Odd(nn.Module):
    """A body with something that third-party networks have."""

    def __init__(self, trait: str):
        super().__init__()
        self.body, self.trait = body(), trait
        self.seen: Tensor | None = None
        if trait == "lock":
            self.lock = threading.Lock()
        if trait == "file":
            self.file = Path(__file__).open()  # noqa: SIM115
        if trait == "in place":
            self.body[1].inplace = True

    def __getitem__(self, i: int) -> nn.Module:
        return self.body[i]

    def forward(self, x: Tensor) -> Tensor:
        maps = self.body[0](x)
        maps = self.body[1](maps)
        if self.trait == "keeps":
            self.seen = maps
        return self.body[2:](maps)


def named(layer: str, network: nn.Module) -> str:
    return f"body.{layer}" if isinstance(network, Odd) else layer


@pytest.mark.parametrize("trait", ["keeps", "lock", "file", "in place"])
def test_odd_networks_are_seen_as_plain_ones(trait):
    network = Odd(trait)
    network(IMAGES)  # which keeps an activation
    methods = {
        "maps": lambda n: feature_maps(n, IMAGES[0], [named("0", n)])[0].maps,
        "deconv": lambda n: deconv(n, IMAGES[0], named("1", n)).reconstructions,
        "strongest": lambda n: strongest_activations(n, IMAGES, named("1", n)).values,
        "invariance": lambda n: invariance(
            n, IMAGES, LABELS, [named("1", n)], named("4", n), "scale", [1.2]
        ).probability,
        **{n: m for n, m in METHODS.items()
           if n not in ("feature_maps", "deconv", "strongest", "boxes", "invariance", "probes")},
    }  # fmt: skip
    for name, method in methods.items():
        torch.testing.assert_close(method(network), method(body()), msg=name)
    if trait == "file":
        network.file.close()


def scripted(module: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scripting is deprecated, but still in use
        return torch.jit.script(module)


HOOKED = [name for name in METHODS if name not in
          ("filters", "boxes", "saliency", "guided", "integrated", "smoothgrad")]  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_a_scripted_network_works_or_is_refused_by_name(name):
    network = scripted(body())
    if name in HOOKED:
        with pytest.raises(ValueError, match="Sequential is a ScriptModule, whose layers and"):
            METHODS[name](network)
    elif name == "guided":
        with pytest.raises(ValueError, match="the network hides the operator"):
            METHODS[name](network)
    else:
        expected = [0, 0, 12, 12] if name == "boxes" else METHODS[name](body())
        torch.testing.assert_close(METHODS[name](network), torch.as_tensor(expected))
    assert all(module.training for module in network.modules())


def test_a_scripted_network_that_fails_is_refused_in_a_sentence():
    with pytest.raises(ValueError, match=r"the network fails on images of \(1, 9, 9\): RuntimeErr"):
        saliency(scripted(body()), torch.rand(1, 9, 9))


def test_a_scripted_part_is_named():
    network = nn.Sequential(scripted(body()[:2]), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ValueError, match="no layer with feature maps; 0 is a ScriptModule"):
        grad_cam(network, IMAGES[0])
    with pytest.raises(ValueError, match="0 is a ScriptModule, whose layers and outputs"):
        feature_maps(network, IMAGES[0], ["0"])


class Cuts(nn.Module):
    """Scores that have no gradient, or depend on no map."""

    def __init__(self, how: str):
        super().__init__()
        self.c, self.f, self.how = nn.Conv2d(3, 4, 3), nn.Linear(4, 5), how

    def forward(self, x: Tensor) -> Tensor:
        maps = self.c(x)
        if self.how == "detached":
            maps = maps.detach()
        if self.how == "constant":
            return x.mean() + torch.zeros(len(x), 5)
        if self.how == "no_grad":
            with torch.no_grad():
                return self.f(maps.mean((2, 3)))
        return self.f(maps.mean((2, 3)))


@pytest.mark.parametrize("how", ["detached", "constant", "no_grad"])
def test_a_network_that_cuts_the_gradient_is_refused_in_a_sentence(how):
    with pytest.raises(ValueError, match="the network cuts the gradient"):
        grad_cam(Cuts(how), IMAGES[0], 1)
    if how != "constant":
        with pytest.raises(ValueError, match="the network cuts the gradient"):
            saliency(Cuts(how), IMAGES[0], 1)


def test_a_layer_that_does_not_run_is_named_by_every_method():
    network = Shared(False)
    network.unused = nn.Conv2d(3, 3, 3)
    for name, method in BY_LAYER.items():
        if name != "boxes":  # of a set size, without an image
            with pytest.raises(ValueError, match="the layer unused does not run in a forward pass"):
                method(network, "unused")


class Recurrent(nn.Module):
    """A layer with weights that returns a tuple."""

    def __init__(self):
        super().__init__()
        self.c, self.rnn, self.f = nn.Conv2d(3, 4, 3), nn.GRU(4, 6), nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        _, last = self.rnn(self.c(x).flatten(2).permute(2, 0, 1))
        return self.f(last[0])


def test_a_layer_that_returns_a_tuple_is_left_out_of_health_and_refused_elsewhere():
    assert [layer.name for layer in health(Recurrent(), IMAGES, LABELS)] == ["c", "f"]
    assert grad_cam(Recurrent(), IMAGES[0]).layer == "c"
    with pytest.raises(ValueError, match="rnn returns a tuple, not a tensor"):
        deconv(Recurrent(), IMAGES[0], "rnn")
