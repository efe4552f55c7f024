"""Weights are mapped from their file: the same answers, and nothing is read that need not be."""

import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load

import classicnets as cn
from classicnets.api.pretrained import import_weights
from classicnets.api.runs import build
from classicnets.support import tensors
from classicnets.support.modules import without_values
from classicnets.training.run import directory
from classicnets.training.run.directory import open_run


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """Weights of another package as a run: what published weights are in the cache."""
    folder = tmp_path_factory.mktemp("weights")
    network = cn.build("resnet18", classes=3)
    from classicnets.weights.bridges import BRIDGES

    names = dict(BRIDGES[0].names(network))
    torch.save({names[n]: t for n, t in network.state_dict().items()}, folder / "a.pth")
    return import_weights("resnet18", folder / "a.pth", folder / "run").directory


@pytest.fixture
def unread(monkeypatch):
    """Reading all weights to check them is an error."""

    def refuse(*_: object) -> None:
        raise AssertionError("the weights were read")

    monkeypatch.setattr(directory, "checksum", refuse)
    monkeypatch.setattr(tensors, "is_finite", refuse)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_mapped_weights_answer_bit_for_bit_as_copied_ones(run, size):
    mapped, copied = cn.load(run), build(open_run(run), None)
    copied.load_state_dict(load((run / "weights.safetensors").read_bytes()))
    images = torch.randn(size, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(mapped(images), copied.eval()(images))
    for there, here in zip(copied.parameters(), mapped.parameters(), strict=True):
        assert there.requires_grad == here.requires_grad


def test_a_change_of_mapped_weights_stays_out_of_the_file(run):
    before = (run / "weights.safetensors").read_bytes()
    network = cn.load(run)
    with torch.no_grad():
        network.get_parameter("fc.weight").zero_()
    assert (run / "weights.safetensors").read_bytes() == before
    assert cn.load(run).get_parameter("fc.weight").any()


def test_weights_that_were_checked_as_they_were_written_are_not_read_again(run, unread):
    assert sum(p.numel() for p in cn.load(run).parameters()) == 11_178_051


def test_a_copy_of_them_is_checked(run, tmp_path, unread):
    copy = shutil.copytree(run, tmp_path / "run", copy_function=shutil.copy2)
    with pytest.raises(AssertionError, match="the weights were read"):
        cn.load(copy)


def test_a_file_that_was_changed_in_its_place_is_refused(run, tmp_path):
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    found = open_run(copy)
    found.note_unchanged()
    weights, times = found.weights, found.weights.stat()
    content = bytearray(weights.read_bytes())
    content[-1] ^= 64
    with weights.open("r+b") as file:
        file.write(content)
    os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))  # only the inode's time tells
    with pytest.raises(ValueError, match=r"damaged, or of another run .*: sum of the we"):
        cn.load(copy)


def test_layers_are_built_without_drawing_values():
    state = torch.get_rng_state()
    with without_values():
        network = cn.build("resnet20")
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(network.get_buffer("bn1.running_var"), torch.ones(16))


def test_finite_values_whose_sum_overflows_are_finite():
    assert tensors.is_finite(torch.tensor([3e38, 3e38]))
    for bad in (float("nan"), float("inf"), float("-inf")):
        assert not tensors.is_finite(torch.tensor([1.0, bad]))
    assert not tensors.is_finite(torch.tensor([float("inf"), float("-inf")]))
