"""The report on a measured network in all its formats."""

import csv
import json
import re

import pytest
from torch import Tensor, nn

from classicnets.measure import Report, measure


class Block(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.bn(self.conv(x)) + x)


def network(blocks: int = 2) -> nn.Sequential:
    net = nn.Sequential()
    net.add_module("conv1", nn.Conv2d(3, 16, 5, stride=2))
    net.add_module("relu1", nn.ReLU())
    net.add_module("pool1", nn.MaxPool2d(2))
    for i in range(blocks):
        net.add_module(f"conv2_{i + 1}", Block(16))
    net.add_module("conv3_x", nn.Sequential(nn.Conv2d(16, 32, 1), nn.ReLU()))
    net.add_module("flatten", nn.Flatten())
    net.add_module("fc", nn.Linear(32 * 7 * 7, 10))
    return net


@pytest.fixture(scope="module")
def report() -> Report:
    return measure(network(), (3, 32, 32), batch=4, name="small")


COLUMNS = (
    "params", "macs", "comparisons", "additions", "multiplications", "divisions", "exponentials",
    "activation_bytes", "saved_bytes", "parameter_bytes",
)  # fmt: skip


@pytest.mark.parametrize("column", COLUMNS)
def test_columns_add_up_to_the_totals(report, column):
    total = getattr(report.totals, column)
    assert total == sum(getattr(layer, column) for layer in report.layers)
    assert total == getattr(report.folded().totals, column)


def test_totals_are_those_of_the_network(report):
    net = network()
    assert report.totals.params == sum(p.numel() for p in net.parameters())
    assert report.totals.macs == 4 * (
        16 * 14 * 14 * 3 * 25 + 2 * 16 * 7 * 7 * 16 * 9 + 32 * 7 * 7 * 16 + 32 * 7 * 7 * 10
    )


def test_rows_have_the_names_of_the_modules(report):
    assert [layer.name for layer in report.layers] == [
        "conv1", "relu1", "pool1",
        "conv2_1.conv", "conv2_1.bn", "conv2_1.add", "conv2_1.relu",
        "conv2_2.conv", "conv2_2.bn", "conv2_2.add", "conv2_2.relu",
        "conv3_x.0", "conv3_x.1", "flatten", "fc",
    ]  # fmt: skip


def test_json_has_the_agreed_keys(report):
    contents = json.loads(report.json())
    assert (contents["name"], contents["input"], contents["batch"]) == ("small", [3, 32, 32], 4)
    assert set(contents["totals"]) >= {
        "params", "macs", "activation_bytes", "saved_bytes", "parameter_bytes",
    }  # fmt: skip
    first = contents["layers"][0]
    assert first["name"] == "conv1"
    assert first["type"] == "Conv2d"
    assert first["output"] == [16, 14, 14]
    assert first["params"] == 16 * 3 * 25 + 16
    assert first["macs"] == 4 * 14 * 14 * 16 * 3 * 25
    assert first["activation_bytes"] == 4 * 4 * 16 * 14 * 14
    assert first["saved_bytes"] == 4 * 4 * 3 * 32 * 32
    assert first["receptive_field"] == 5
    assert first["stride"] == 2
    assert contents["totals"]["macs"] == sum(layer["macs"] for layer in contents["layers"])
    memory = contents["training_memory"]
    assert memory["total"] == report.training_memory.total
    assert memory["activations"] == contents["totals"]["saved_bytes"]


def test_csv_reads_back_to_the_same_numbers(report):
    rows = list(csv.DictReader(report.csv().splitlines()))
    assert [row["name"] for row in rows] == [layer.name for layer in report.layers]
    for row, layer in zip(rows, report.layers, strict=True):
        assert row["output"] == "x".join(map(str, layer.output))
        assert all(int(row[column]) == getattr(layer, column) for column in COLUMNS)


UNITS = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def read(cell: str) -> float:
    number, _, unit = cell.replace(",", "").partition(" ")
    return float(number) * UNITS[unit]


def test_markdown_reads_back_to_the_same_numbers(report):
    head, _, *rows = (re.split(r" *\| *", line)[1:-1] for line in report.markdown().splitlines())
    for cells, layer in zip(rows, (*report.layers, report.totals), strict=True):
        row = dict(zip(head, cells, strict=True))
        assert row["layer"] == layer.name
        assert read(row["params"]) == layer.params
        assert read(row["multiply-adds"]) == pytest.approx(layer.macs, rel=0.005)
        assert read(row["compare"]) == pytest.approx(layer.comparisons, rel=0.005)
        assert read(row["memory"]) == pytest.approx(layer.activation_bytes, rel=0.005)
        assert read(row["saved"]) == pytest.approx(layer.saved_bytes, rel=0.005)


def test_a_stage_is_a_run_of_layers_with_the_same_number(report):
    stages = report.stages()
    assert [stage.label for stage in stages] == [
        "conv1–pool1", "conv2_1–conv2_2", "conv3_x", "flatten", "fc",  # noqa: RUF001
    ]  # fmt: skip
    for column in ("params", "saved_bytes", "macs"):
        assert sum(getattr(stage, column) for stage in stages) == pytest.approx(100)


def test_folding_gives_one_row_per_child(report):
    folded = report.folded().layers
    assert [layer.name for layer in folded] == [
        "conv1", "relu1", "pool1", "conv2_1", "conv2_2", "conv3_x", "flatten", "fc",
    ]  # fmt: skip
    assert folded[3].params == 16 * 16 * 9 + 32
    assert folded[3].output == (16, 7, 7)
    assert (folded[3].smallest_receptive_field, folded[3].receptive_field) == (7, 15)


def test_deep_networks_are_folded_by_default():
    deep = measure(network(blocks=20), (3, 32, 32))
    assert "conv2_7.bn" not in deep.text()
    assert "conv2_7.bn" in deep.text(fold=False)


def heads(text: str) -> list[str]:
    """The words above the columns of the table, on two lines."""
    first, second = text.splitlines()[2:4]
    return [*first.split(), *second.split()]


def test_a_narrow_table_leaves_out_columns(report):
    wide, narrow = report.text(width=120), report.text(width=80)
    assert heads(wide) == [
        "layer", "type", "output", "params", "multiply-", "other", "memory", "saved", "receptive",
        "stride", "offset", "adds", "ops", "field",
    ]  # fmt: skip
    assert "Left out" not in wide
    assert {"layer", "output", "params", "multiply-", "saved", "receptive"} <= set(heads(narrow))
    assert "type" not in heads(narrow)
    assert "Left out at this width: type, other ops, memory." in " ".join(narrow.split())
    for text, width in ((wide, 120), (narrow, 80)):
        assert max(map(len, text.splitlines())) <= width
    assert str(report) == report.text()


def test_other_operations_are_split_by_kind_on_request(report):
    ops = ["compare", "add", "multiply", "divide", "exp"]
    assert not set(ops) & set(heads(report.text()))
    split = heads(report.text(width=200, ops=True))
    first = split.index("compare")
    assert split[first : first + 5] == ops
    assert "other" not in split


def test_the_footnote_defines_a_multiply_add(report):
    text = " ".join(report.text().split())
    assert "one multiplication and one addition each" in text
    assert "the papers' FLOPs are multiply-adds" in text


def test_the_memory_of_a_training_step_is_one_sentence(report):
    text = " ".join(report.text().split())
    assert "One training step at batch 4 needs " in text
    assert re.search(r"weights .*, gradients .*, optimizer state .*, activations saved for", text)
