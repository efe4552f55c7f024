"""The forward pass is recorded completely, counted once, and leaves the network unchanged."""

import json

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules import module

from classicnets.measure import measure


class Functional(nn.Module):
    """Functions between two modules, one of which is called twice."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.inside = nn.Sequential(nn.Conv2d(3, 3, 3))
        self.scale = nn.Parameter(torch.ones(3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv(x)) + x
        x = self.conv(x) + x
        return torch.flatten(F.max_pool2d(self.inside(x) * self.scale, 2), 1)


def rows(network: nn.Module, size: tuple[int, ...]) -> dict:
    return {layer.name: layer for layer in measure(network, size).layers}


def test_functions_have_rows_and_repeated_ones_are_numbered():
    layers = rows(Functional(), (3, 8, 8))
    assert list(layers) == [
        "conv", "relu", "add", "conv (2)", "add_2", "inside.0", "mul", "max_pool2d", "flatten",
    ]  # fmt: skip
    assert layers["relu"].comparisons == 3 * 8 * 8
    assert layers["add"].additions == 3 * 8 * 8
    assert layers["mul"].multiplications == 3 * 6 * 6
    assert layers["max_pool2d"].comparisons == 3 * 3 * 3 * 4


def test_a_layer_called_twice_counts_operations_twice_and_parameters_once():
    layers = rows(Functional(), (3, 8, 8))
    assert layers["conv"].macs == layers["conv (2)"].macs == 8 * 8 * 3 * 3 * 9
    assert (layers["conv"].params, layers["conv (2)"].params) == (3 * 3 * 9 + 3, 0)
    assert layers["mul"].params == 3
    assert measure(Functional(), (3, 8, 8)).totals.params == 2 * (3 * 3 * 9 + 3) + 3


def test_a_function_inside_a_module_is_named_after_the_module():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x) + x

    assert list(rows(nn.Sequential(Block()), (1, 2, 2))) == ["0.body", "0.add"]


def test_identity_runs_no_operator_and_has_no_row():
    assert list(rows(nn.Sequential(nn.Identity(), nn.ReLU(), nn.Dropout()), (4,))) == ["1", "2"]


def hooks() -> int:
    return len(module._global_forward_hooks) + len(module._global_forward_pre_hooks)


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_left_unchanged(training):
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout()).train(training)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    state = torch.random.get_rng_state()
    measure(net, (1, 8, 8))
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert all(m.training is training for m in net.modules())
    assert torch.equal(state, torch.random.get_rng_state())
    assert hooks() == 0


def test_hooks_are_removed_after_an_error():
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
def test_a_network_that_reads_values_is_rejected_in_one_sentence(network):
    with pytest.raises(ValueError, match=r"cannot be measured .*reads the values of a tensor"):
        measure(network, (1, 8, 8))


class Normalises(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, None, None, training=True)


def test_one_value_per_map_has_costs_although_it_cannot_be_trained():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Sequential(Normalises()))
    one, two = (measure(net, (1, 3, 3), batch) for batch in (1, 2))
    assert one.totals.params == two.totals.params == 20 + 4
    for column in ("macs", "additions", "activation_bytes"):
        assert 2 * getattr(one.totals, column) == getattr(two.totals, column) > 0
    assert one.totals.macs == 2 * 9
    assert (one.single, two.single) == (("1", "2.0"), ())
    words = " ".join(one.text().split())
    assert "at batch 1, on one value per map: 1, 2.0; use a batch of at least 2, or larger" in words
    assert "one value per map" not in two.text()


@pytest.mark.parametrize(("size", "batch"), [((), 1), ((0, 8, 8), 1), ((1, 8, 8), 0)])
def test_impossible_sizes_and_batches_are_rejected(size, batch):
    with pytest.raises(ValueError, match=r"must be"):
        measure(nn.ReLU(), size, batch=batch)


class Heads(nn.Module):
    """An auxiliary head that runs in training only, on the maps that the trunk reads next."""

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


def test_training_only_heads_are_not_in_the_totals_but_in_the_training_memory():
    report = measure(Heads(), (1, 6, 6))
    assert [layer.name for layer in report.layers] == ["stem", "trunk", "drop"]
    assert [layer.name for layer in report.training_only] == ["head"]
    assert report.totals.params == 40 + 10
    assert report.training_memory.weights == 4 * (40 + 10 + 10)
    assert report.layers[1].saved_bytes == 4 * 4 * 4 * 4  # the maps both read: the trunk's
    assert report.training_only[0].saved_bytes == 0
    assert report.training_memory.activations == report.totals.saved_bytes


def test_arithmetic_is_counted_by_kind():
    n = 4 * 6 * 6
    expected = {
        nn.ReLU(): {"comparisons": n},
        nn.BatchNorm2d(4): {"additions": 2 * n, "multiplications": n, "divisions": n},
        nn.Tanh(): {"exponentials": n, "divisions": n, "additions": 2 * n},
        nn.Sigmoid(): {"exponentials": n, "divisions": n, "additions": n},
        nn.Softmax(1): {"exponentials": n, "divisions": n, "additions": n},
        nn.MaxPool2d(2): {"comparisons": n},
        nn.LayerNorm(6): {"additions": 4 * n, "multiplications": 2 * n, "divisions": n},
        nn.GroupNorm(2, 4): {"additions": 4 * n, "multiplications": 2 * n, "divisions": n},
        nn.GroupNorm(2, 4, affine=False): {
            "additions": 3 * n,
            "multiplications": n,
            "divisions": n,
        },
        nn.GELU(): {"exponentials": n, "multiplications": 3 * n, "additions": n},
        nn.Softplus(): {"comparisons": n, "exponentials": 2 * n, "additions": n},
        nn.Hardswish(): {
            "comparisons": 2 * n,
            "additions": n,
            "multiplications": n,
            "divisions": n,
        },
        nn.UpsamplingBilinear2d(scale_factor=2): {
            "multiplications": 4 * 4 * n,
            "additions": 4 * 3 * n,
        },
        nn.AvgPool2d(3, 1): {"additions": 4 * 4 * 4 * 9, "divisions": 4 * 4 * 4},
        nn.AdaptiveAvgPool2d(1): {"additions": n, "divisions": 4},
        # windows of 3 rows and columns, at 0-2, 1-4 and so on, as in torch
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


def test_an_operator_without_a_counting_rule_is_named():
    report = measure(nn.Sequential(nn.Linear(4, 4), nn.Mish()), (4,))
    assert report.uncounted == ("mish",)
    assert "mish" in report.text()


class Sparse(nn.Conv2d):
    def __init__(self, fraction: object):
        super().__init__(1, 1, 3)
        self.density = 0.1  # a name that a layer may use for something else
        self.multiply_add_fraction = fraction


@pytest.mark.parametrize(("fraction", "macs"), [(0.5, 18), (2.0, 36), (0.0, 36), ("half", 36)])
def test_a_sparse_layer_states_its_fraction_of_multiply_adds(fraction, macs):
    assert measure(Sparse(fraction), (1, 4, 4)).totals.macs == macs


def test_a_tensor_that_is_neither_parameter_nor_buffer_is_supported():
    class Centred(nn.Module):
        def __init__(self):
            super().__init__()
            self.mean = torch.rand(3, 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            return x - self.mean

    network = Centred()
    assert measure(network, (3, 4, 4)).totals.additions == 3 * 4 * 4
    assert not network.mean.is_meta


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_layer_with_torchs_old_weight_norm_is_measured():
    network = nn.Sequential(nn.utils.weight_norm(nn.Conv2d(3, 4, 3)))
    totals = measure(network, (3, 5, 5)).totals
    assert (totals.params, totals.macs) == (4 * 3 * 9 + 4 + 4, 4 * 3 * 9 * 9)


class Asserts(nn.Linear):
    def __init__(self):
        super().__init__(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        assert len(x) > 7, "eight at least"
        return super().forward(x)


class Indexes(Asserts):
    def forward(self, x: Tensor) -> Tensor:
        return [x][x.ndim]


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        (Asserts(), "^Asserts cannot take .* of 4; its forward raised AssertionError: eight at"),
        (Indexes(), "IndexError: list index out of range$"),
    ],
)
def test_any_error_of_a_network_becomes_one_sentence(network, sentence):
    with pytest.raises(ValueError, match=sentence):
        measure(network, (4,))


@pytest.mark.parametrize("batch", [10**14, 10**23])
def test_batches_larger_than_any_tensor_are_rejected(batch):
    with pytest.raises(ValueError, match=f"^{batch} images of 3x227x227 are more .*; use fewer$"):
        measure(nn.ReLU(), (3, 227, 227), batch=batch)


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(4, 2)
        self.fc2 = nn.Linear(1000, 1000)
        self.tied = self.fc1
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.tied(x)


def test_parameters_that_the_forward_pass_does_not_use_are_named():
    report = measure(Unused(), (4,))
    assert report.totals.params == 4 * 2 + 2
    assert report.unused == {"fc2": 1_001_000, "scale": 3}
    unused = "scale (3 parameters), fc2 (1,001,000 parameters)"
    assert f"Not used in the forward pass: {unused}." in " ".join(report.text().split())
    assert json.loads(report.json())["unused"] == report.unused


def test_calls_that_a_device_fuses_are_named():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.query = nn.Linear(8, 8)
            self.lstm = nn.LSTM(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            return self.lstm(F.scaled_dot_product_attention(self.query(x), x, x)[0])[0]

    report = measure(Attention(), (2, 5, 8))
    assert report.fused == ("lstm", "scaled_dot_product_attention")
    assert "and save other bytes: lstm, scaled_dot_product_attention." in " ".join(
        report.text().split()
    )
    assert measure(nn.ReLU(), (4,)).fused == ()
