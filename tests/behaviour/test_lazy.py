"""Lazy modules take their sizes from one dry pass, in every verb."""

import inspect

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin

import classicnets as cn
from classicnets.measure import measure
from classicnets.support.meta import lazy_modules, materialise

LAZY = {
    name: kind
    for name, kind in vars(nn).items()
    if inspect.isclass(kind) and issubclass(kind, LazyModuleMixin)
}
SIDES = {"1d": (9,), "2d": (9, 9), "3d": (9, 9, 9)}


def build(name: str) -> nn.Module:
    if "Norm" in name:
        return LAZY[name]()
    return LAZY[name](4) if name == "LazyLinear" else LAZY[name](4, 3)


def eager(name: str) -> nn.Module:
    kind = getattr(nn, name.removeprefix("Lazy"))
    if "BatchNorm" in name:
        return kind(3)
    if "Norm" in name:
        return kind(3, affine=True, track_running_stats=True)
    return kind(9, 4) if name == "LazyLinear" else kind(3, 4, 3)


@pytest.mark.parametrize("name", LAZY)
def test_a_lazy_module_is_measured_like_the_module_it_becomes(name):
    lazy, size = build(name), (3, *SIDES.get(name[-2:], (9,)))
    assert measure(lazy, size, batch=2).layers == measure(eager(name), size, batch=2).layers
    assert type(lazy) is LAZY[name]
    assert lazy.has_uninitialized_params()


class Heads(nn.Module):
    """A lazy head that runs in training only, after normalisation."""

    def __init__(self):
        super().__init__()
        self.norm, self.trunk, self.head = nn.BatchNorm2d(1), nn.LazyLinear(2), nn.LazyLinear(3)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = self.norm(x + 1).flatten(1)
        return (self.trunk(x), self.head(x)) if self.training else self.trunk(x)


@pytest.mark.parametrize("training", [True, False])
def test_modules_take_their_sizes_without_a_change_of_mode_or_statistics(training):
    network = Heads().train(training)
    weight = network.trunk.weight
    assert lazy_modules(network) == ["head", "trunk"]
    materialise(network, (2, 1, 4, 4))
    assert (weight.shape, network.head.weight.shape) == ((2, 16), (3, 16))
    assert all(m.training is training for m in network.modules())
    assert network.norm.num_batches_tracked == 0
    assert torch.equal(network.norm.running_mean, torch.zeros(1))
    assert not lazy_modules(network)
    assert measure(Heads(), (1, 4, 4)).training_only[0].params == 3 * 17


def test_show_of_a_file_with_lazy_modules_counts_its_parameters(tmp_path):
    file = tmp_path / "lazy.py"
    file.write_text(
        "from torch import nn\n"
        "def net():\n"
        "    conv = nn.LazyConv2d(8, 3)\n"
        "    return nn.Sequential(conv, nn.ReLU(), nn.Flatten(), nn.LazyLinear(2))\n"
    )
    totals = cn.show(f"{file}:net", (3, 8, 8)).totals
    assert totals.params == (8 * 27 + 8) + (2 * 8 * 6 * 6 + 2) == 802
    assert totals.macs == 8 * 27 * 6 * 6 + 2 * 8 * 6 * 6


class Uncalled(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.spare = nn.LazyLinear(2), nn.LazyLinear(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.flatten(1))


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        (Uncalled(), "^spare of Uncalled has no size: it is lazy and the forward does not call it"),
        (nn.Sequential(nn.LazyConv2d(8, 30)), "^the lazy modules of Sequential .* 3x8x8; its .*30"),
    ],
)
def test_lazy_modules_that_stay_without_a_size_are_refused(network, sentence):
    for verb in (lambda: cn.show(network, (3, 8, 8)), lambda: materialise(network, (2, 3, 8, 8))):
        with pytest.raises(ValueError, match=sentence):
            verb()
