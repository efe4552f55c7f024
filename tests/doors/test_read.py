"""The verbs list and show as one types them, and how any verb ends."""

import io
import json
import sys

import pytest

import classicnets
from classicnets.cli import main


def test_list_finds_a_network_by_its_other_name(typed):
    status, out, _ = typed("list", "vgg16")
    assert (status, out.splitlines()[1].split()[0]) == (0, "vgg_d")


@pytest.mark.parametrize(
    ("name", "heading"),
    [
        ("lenet5", "lenet5, published error 0.95 % (MNIST)"),
        ("resnet20", "resnet20, published error 8.75 % (CIFAR-10)"),
        ("vgg_d", "vgg_d, published error 25.6 / 8.1 %"),
        ("plain20", "plain20"),
    ],
)
def test_the_published_error_has_its_unit(typed, name, heading):
    assert typed("show", name)[1].splitlines()[0] == heading


BUILDERS = """
import torch
from torch import nn

def dropping():
    rates = torch.linspace(0, 0.1, 3)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout(rates[2].item()))

def failing(): raise KeyError("fc")

class Picky(nn.Conv2d):
    def __init__(self): super().__init__(3, 4, 3)
    def forward(self, x):
        assert x.shape[-1] == 32, "32 pixels"

class Moody(nn.Module):
    def forward(self, x): return x if x.sum() > 0 else -x
"""


@pytest.fixture
def builders(tmp_path):
    """A file of builders; `builders("net")` names one."""
    (tmp_path / "mine.py").write_text(BUILDERS)
    return lambda name: f"{tmp_path / 'mine.py'}:{name}"


def test_a_builder_that_computes_with_values_is_shown(typed, builders):
    status, out, err = typed("show", builders("dropping"), "--input", "3x8x8", "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["totals"]["macs"] == 4 * 3 * 9 * 6 * 6


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("failing", "does not build: KeyError: 'fc'"),
        ("Picky", "the network's forward fails on images of 3x8x8: AssertionError: 32 pixels"),
        ("Moody", "Moody cannot be measured"),
    ],
)
def test_a_strangers_mistake_is_one_sentence(typed, builders, name, sentence):
    status, out, err = typed("show", builders(name), "--input", "3x8x8")
    assert (status, out) == (2, "")
    assert sentence in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "words", [("alexnet", "--batch", 10**14), ("resnet20", "--input", "3x1x1"),
              ("alexnet", "--input", "3x\N{SUPERSCRIPT TWO}x8")]
)  # fmt: skip
def test_a_size_that_will_not_do_is_one_sentence(typed, words):
    status, out, err = typed("show", *words)
    assert (status, out) == (2, "")
    assert err.startswith("classicnets: ")
    assert len(err.splitlines()) == 1


def _raising(error: BaseException):
    def show(*args: object, **options: object) -> None:
        raise error

    return show


def test_an_interruption_is_one_line(typed, monkeypatch):
    monkeypatch.setattr(classicnets, "show", _raising(KeyboardInterrupt()))
    assert typed("show", "lenet5") == (
        130, "", "classicnets: interrupted; unfinished work is not saved\n",
    )  # fmt: skip


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_too_little_memory_is_one_sentence(typed, monkeypatch, error):
    monkeypatch.setattr(classicnets, "show", _raising(error))
    status, _, err = typed("show", "lenet5")
    assert status == 2
    assert err == "classicnets: out of memory; smaller images or a smaller batch need less\n"


def test_an_error_of_ours_is_not_hidden(monkeypatch):
    monkeypatch.setattr(classicnets, "show", _raising(RuntimeError("a bug")))
    monkeypatch.setattr(sys, "argv", ["classicnets", "show", "lenet5"])
    with pytest.raises(RuntimeError, match="a bug"):
        main()


def test_a_terminal_that_cannot_draw_rules_gets_the_table_all_the_same(monkeypatch):
    old = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", old)
    monkeypatch.setattr(sys, "argv", ["classicnets", "show", "lenet5"])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    old.flush()
    assert "60,000" in old.buffer.getvalue().decode("cp1252")
