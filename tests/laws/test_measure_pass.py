"""The pass sees everything, counts it once, and leaves the network as it was."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules import module

from classicnets.measure import measure


class Functional(nn.Module):
    """Nothing but functions between two modules, one of them called twice."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.inside = nn.Sequential(nn.Conv2d(3, 3, 3))
        self.scale = nn.Parameter(torch.ones(3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv(x)) + x
        x = self.conv(x) + x
        return torch.flatten(F.max_pool2d(self.inside(x) * self.scale, 2), 1)


def rows(network: nn.Module, size: tuple[int, ...], **how: int) -> dict:
    return {layer.name: layer for layer in measure(network, size, **how).layers}


def test_functions_have_rows_and_repeated_ones_are_numbered():
    seen = rows(Functional(), (3, 8, 8))
    assert list(seen) == [
        "conv", "relu", "add", "conv (2)", "add_2", "inside.0", "mul", "max_pool2d", "flatten",
    ]  # fmt: skip
    assert seen["relu"].comparisons == 3 * 8 * 8
    assert seen["add"].additions == 3 * 8 * 8
    assert seen["mul"].multiplications == 3 * 6 * 6
    assert seen["max_pool2d"].comparisons == 3 * 3 * 3 * 4


def test_a_layer_called_twice_is_computed_twice_and_owned_once():
    seen = rows(Functional(), (3, 8, 8))
    assert seen["conv"].macs == seen["conv (2)"].macs == 8 * 8 * 3 * 3 * 9
    assert (seen["conv"].params, seen["conv (2)"].params) == (3 * 3 * 9 + 3, 0)
    assert seen["mul"].params == 3
    assert measure(Functional(), (3, 8, 8)).totals.params == 2 * (3 * 3 * 9 + 3) + 3


def test_a_function_inside_a_module_is_named_after_it():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x) + x

    assert list(rows(nn.Sequential(Block()), (1, 2, 2))) == ["0.body", "0.add"]


def test_identity_does_nothing_and_has_no_row():
    assert list(rows(nn.Sequential(nn.Identity(), nn.ReLU(), nn.Dropout()), (4,))) == ["1", "2"]


def hooks() -> int:
    return len(module._global_forward_hooks) + len(module._global_forward_pre_hooks)


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_left_as_it_was(training):
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout()).train(training)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    state = torch.random.get_rng_state()
    measure(net, (1, 8, 8))
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert all(m.training is training for m in net.modules())
    assert torch.equal(state, torch.random.get_rng_state())
    assert hooks() == 0


def test_hooks_are_gone_after_an_error():
    with pytest.raises(ValueError, match="1x8x8"):
        measure(nn.Sequential(nn.Conv2d(3, 2, 3)), (1, 8, 8))
    assert hooks() == 0


def test_no_weights_are_allocated():
    with torch.device("meta"):
        huge = nn.Sequential(nn.Linear(1_000_000, 1_000_000), nn.ReLU())  # 4 TB
    totals = measure(huge, (1_000_000,), batch=1_000).totals
    assert totals.macs == 10**15
    assert totals.parameter_bytes == 4 * (10**12 + 10**6)


class Branches(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class Numpy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * float(x.detach().numpy().max())


@pytest.mark.parametrize("network", [Branches(), Numpy()])
def test_a_network_that_needs_values_is_refused_in_a_sentence(network):
    with pytest.raises(ValueError, match=r"cannot be measured.*reads the values of a tensor"):
        measure(network, (1, 8, 8))


def test_one_value_a_map_cannot_be_normalised_in_training():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    with pytest.raises(ValueError, match="a batch of 2 or more would do"):
        measure(net, (1, 3, 3))
    assert measure(net, (1, 3, 3), batch=2).totals.params == 20 + 4


@pytest.mark.parametrize(("size", "batch"), [((), 1), ((0, 8, 8), 1), ((1, 8, 8), 0)])
def test_sizes_that_are_none_are_refused(size, batch):
    with pytest.raises(ValueError, match=r"must be"):
        measure(nn.ReLU(), size, batch=batch)


class Heads(nn.Module):
    """A head on the side that exists in training only and reads what the trunk reads next."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3)
        self.head = nn.Conv2d(4, 2, 1)
        self.trunk = nn.Conv2d(4, 2, 1)
        self.drop = nn.Dropout()

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = self.stem(x)
        if not self.training:
            return self.drop(self.trunk(x))
        head = self.head(x)
        return self.drop(self.trunk(x)), head


def test_heads_of_training_are_apart_but_in_the_step():
    report = measure(Heads(), (1, 6, 6))
    assert [layer.name for layer in report.layers] == ["stem", "trunk", "drop"]
    assert [layer.name for layer in report.training_only] == ["head"]
    assert report.totals.params == 40 + 10
    assert report.step.weights == 4 * (40 + 10 + 10)
    assert report.layers[1].saved_bytes == 4 * 4 * 4 * 4  # the maps both read: the trunk's
    assert report.training_only[0].saved_bytes == 0
    assert report.step.activations == report.totals.saved_bytes


def test_arithmetic_is_counted_by_kind():
    n = 4 * 6 * 6
    expected = {
        nn.ReLU(): {"comparisons": n},
        nn.BatchNorm2d(4): {"additions": 2 * n, "multiplications": n, "divisions": n},
        nn.Tanh(): {"exponentials": n, "divisions": n, "additions": 2 * n},
        nn.Sigmoid(): {"exponentials": n, "divisions": n, "additions": n},
        nn.Softmax(1): {"exponentials": n, "divisions": n, "additions": n},
        nn.MaxPool2d(2): {"comparisons": n},
        nn.AvgPool2d(3, 1): {"additions": 4 * 4 * 4 * 9, "divisions": 4 * 4 * 4},
        nn.AdaptiveAvgPool2d(1): {"additions": n, "divisions": 4},
        # windows of 3 rows and columns, at 0-2, 1-4 and so on, as torch lays them
        nn.AdaptiveAvgPool2d(4): {"additions": 4 * 8 * 8, "divisions": 4 * 4 * 4},
    }
    for layer, arithmetic in expected.items():
        row = measure(layer, (4, 6, 6)).layers[0]
        kinds = ("comparisons", "additions", "multiplications", "divisions", "exponentials", "macs")
        assert {k: v for k in kinds if (v := getattr(row, k))} == arithmetic, layer


def test_the_papers_normalisation_is_counted_by_its_formula():
    from classicnets.layers.lrn import LocalResponseNorm

    row = measure(LocalResponseNorm(size=5), (8, 3, 3)).layers[0]
    n = 8 * 3 * 3
    assert (row.additions, row.multiplications) == (4 * n + n, n + n)
    assert (row.exponentials, row.divisions, row.macs) == (n, n, 0)


def test_an_operator_without_a_rule_is_named():
    report = measure(nn.Sequential(nn.Linear(4, 4), nn.GELU()), (4,))
    assert report.uncounted == ("gelu",)
    assert "gelu" in report.text()
