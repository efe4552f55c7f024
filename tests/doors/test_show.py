"""The verb `show` on the command line, and how any verb reports errors."""

import io
import json
import subprocess
import sys

import pytest

import classicnets
from classicnets import catalog
from classicnets.cli import main

DEEP = {"resnet101", "resnet152", "resnet110", "resnet1202", "plain110"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] * (n in DEEP)) for n in catalog.names()],
)
def test_no_line_is_longer_than_100_columns_without_a_terminal(run_cli, monkeypatch, name):
    monkeypatch.delenv("COLUMNS", raising=False)
    status, out, err = run_cli("show", name)
    assert (status, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 100
    head = " ".join(out.split("─")[0].split())
    assert {"layer", "output", "params", "multiply-", "saved", "receptive"} <= set(head.split())


def test_ops_splits_the_other_operations_by_kind(run_cli):
    status, out, _ = run_cli("show", "alexnet", "--ops")
    assert (status, "other ops" in out) == (0, False)
    assert "compare add multiply divide exp" in " ".join(out.split())


@pytest.mark.parametrize("formats", [("--json", "--csv"), ("--csv", "--markdown")])
def test_the_formats_exclude_each_other(run_cli, formats):
    status, out, err = run_cli("show", "lenet5", *formats)
    assert (status, out) == (2, "")
    assert f"{formats[0]} and {formats[1]} exclude each other; give one" in err


@pytest.mark.parametrize(
    ("name", "heading"),
    [
        ("lenet5", "lenet5, published error 0.95 % (MNIST)"),
        ("resnet20", "resnet20, published error 8.75 % (CIFAR-10)"),
        ("vgg_d", "vgg_d, published error 25.6 / 8.1 %"),
        ("plain20", "plain20"),
    ],
)
def test_the_published_error_has_a_unit(run_cli, name, heading):
    assert run_cli("show", name)[1].splitlines()[0] == heading


BUILDERS = """
import torch
from torch import nn

def reads_values():
    rates = torch.linspace(0, 0.1, 3)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout(rates[2].item()))

def failing(): raise KeyError("fc")

class Asserts(nn.Conv2d):
    def __init__(self): super().__init__(3, 4, 3)
    def forward(self, x):
        assert x.shape[-1] == 32, "32 pixels"

class Branches(nn.Module):
    def forward(self, x): return x if x.sum() > 0 else -x

class UsesCompiler(nn.Module):
    def forward(self, x):
        import torch._dynamo.config
        assert torch._dynamo.config.cache_size_limit > 0
        return x.relu()
"""


@pytest.fixture
def builders(tmp_path):
    """A file of builders; `builders("net")` names one."""
    (tmp_path / "mine.py").write_text(BUILDERS)
    return lambda name: f"{tmp_path / 'mine.py'}:{name}"


def test_a_builder_that_reads_values_is_supported(run_cli, builders):
    status, out, err = run_cli("show", builders("reads_values"), "--input", "3x8x8", "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["totals"]["macs"] == 4 * 3 * 9 * 6 * 6


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("failing", "does not build: KeyError: 'fc'"),
        ("Asserts", "the network's forward fails on images of 3x8x8: AssertionError: 32 pixels"),
        ("Branches", "Branches cannot be measured"),
    ],
)
def test_an_error_of_your_own_module_is_one_sentence(run_cli, builders, name, sentence):
    status, out, err = run_cli("show", builders(name), "--input", "3x8x8")
    assert (status, out) == (2, "")
    assert sentence in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "words", [("alexnet", "--batch", 10**14), ("vgg_d", "--input", "3x1x1"),
              ("alexnet", "--input", "3x\N{SUPERSCRIPT TWO}x8")]
)  # fmt: skip
def test_an_impossible_size_or_batch_is_one_sentence(run_cli, words):
    status, out, err = run_cli("show", *words)
    assert (status, out) == (2, "")
    assert err.startswith("classicnets: ")
    assert len(err.splitlines()) == 1


def test_one_image_of_one_pixel_at_the_end_is_shown_with_what_to_do(run_cli):
    status, out, err = run_cli("show", "resnet50", "--input", "3x32x32")
    assert (status, err) == (0, "")
    shown = " ".join(out.split())
    assert "Cannot train at batch 1, on one value per map: conv5_x.conv5_1.body.bn1," in shown
    assert "bn3; use a batch of at least 2, or larger images." in shown


def _raising(error: BaseException):
    def show(*args: object, **options: object) -> None:
        raise error

    return show


def test_an_interruption_is_one_line(run_cli, monkeypatch):
    monkeypatch.setattr(classicnets, "show", _raising(KeyboardInterrupt()))
    assert run_cli("show", "lenet5") == (
        130, "", "classicnets: interrupted; unfinished work is not saved\n",
    )  # fmt: skip


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("could not create a primitive"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_running_out_of_memory_is_one_sentence(run_cli, monkeypatch, error):
    monkeypatch.setattr(classicnets, "show", _raising(error))
    status, _, err = run_cli("show", "lenet5")
    assert status == 2
    assert err == "classicnets: out of memory; smaller images or a smaller batch need less\n"


def test_a_bug_of_classicnets_is_not_hidden(monkeypatch):
    monkeypatch.setattr(classicnets, "show", _raising(RuntimeError("a bug")))
    monkeypatch.setattr(sys, "argv", ["classicnets", "show", "lenet5"])
    with pytest.raises(RuntimeError, match="a bug"):
        main()


def test_a_terminal_without_the_rule_character_still_gets_the_table(monkeypatch):
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", stdout)
    monkeypatch.setattr(sys, "argv", ["classicnets", "show", "lenet5"])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    stdout.flush()
    assert "60,000" in stdout.buffer.getvalue().decode("cp1252")


SHOWN = """
import sys
from classicnets.cli import main
sys.argv = ["classicnets", "show", "lenet5", "--csv"]
try:
    main()
except SystemExit:
    pass
"""


def _after_show(code: str) -> str:
    command = [sys.executable, "-c", SHOWN + code]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.splitlines()[-1]


def test_show_does_not_import_torchs_compiler():
    assert _after_show("print('torch._dynamo' in sys.modules)") == "False"


@pytest.mark.slow
def test_torchs_compiler_works_after_show():
    code = (
        "import torch\nfrom classicnets import lenet5\n"
        "network = torch.compile(lenet5(), backend='eager')\n"
        "print(tuple(network(torch.zeros(1, 1, 32, 32)).shape))"
    )
    assert _after_show(code) == "(1, 10)"


def test_a_network_that_uses_torchs_compiler_gets_the_real_one(run_cli, builders):
    status, out, err = run_cli("show", builders("UsesCompiler"), "--input", "1x4x4", "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["totals"]["comparisons"] == 16


@pytest.mark.parametrize(
    ("size", "warned"), [("32x32x3", True), ("64x32x1", True), ("3x32x32", False), ("1x8x1", False)]
)
def test_an_input_with_its_channels_last_is_warned_of(run_cli, builders, size, warned):
    said = f"warning: --input is channels x height x width; did you mean {size[-1]}x{size[:5]}?\n"
    for verb in ("show", "design"):
        status, _, err = run_cli(verb, "resnet20", "--input", size)
        assert (status, err) == (0, said * warned)
