"""Inputs that once gave a traceback, or more than a sentence (benchmarks/hostile.py)."""

import pickle
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from torch import nn

import classicnets as cn
from classicnets.data.sets import open_data
from classicnets.data.synthetic import shapes
from classicnets.weights.files import read_weights


@pytest.mark.parametrize("entry", [{}, {"momentum_buffer": None}])
def test_a_checkpoint_that_lacks_the_momentum_of_one_parameter(tmp_path, stop_after, entry):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                            nn.Linear(4, 4))  # fmt: skip
    changes = {"batch": "8", "optimizer": "SGD(momentum=0.9)"}
    training = cn.train(network, shapes(60), out=tmp_path / "run", overrides=changes)
    stop_after(training, 3)
    file = tmp_path / "run" / "last.pt"
    content = torch.load(file, weights_only=True)
    content["optimizer"]["state"][1] = entry
    torch.save(content, file)
    with pytest.raises(ValueError, match=r"last.pt is damaged, or the state of another optimizer"):
        cn.resume(tmp_path / "run", network=network, data=shapes(60))


def test_an_optimizer_with_another_momentum_resumes(tmp_path, stop_after):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                            nn.Linear(4, 4))  # fmt: skip
    changes = {"batch": "8", "optimizer": "CaffeSGD(momentum=0.9)"}
    training = cn.train(network, shapes(60), out=tmp_path / "run", overrides=changes)
    stop_after(training, 3)
    assert cn.resume(tmp_path / "run", network=network, data=shapes(60)).state.step == 3


class Rows(list):
    """A split of the package `datasets` whose images are this value."""

    features = {  # noqa: RUF012
        "image": type("Image", (), {})(),
        "label": type("ClassLabel", (), {"names": ["a", "b"]})(),
    }

    def __getitem__(self, key):
        labels = [k % 2 for k in range(len(self))]
        return labels if isinstance(key, str) else super().__getitem__(key)


def of_the_hub(monkeypatch, value: object, version: str = "4.0.0") -> list[str]:
    asked = []

    def load(name):
        asked.append(name)
        return {"train": Rows([{"image": value}] * 12)}

    package = SimpleNamespace(load_dataset=load, __version__=version)
    monkeypatch.setitem(sys.modules, "datasets", package)
    return asked


@pytest.mark.parametrize("value", [b"x", 3, [], {"bytes": b"x"}, None])
def test_a_row_of_the_hub_without_an_image(monkeypatch, value):
    of_the_hub(monkeypatch, value)
    with pytest.raises(ValueError, match="row 0 of the column image holds no image"):
        open_data("hf:x", 8, 3)


def test_a_version_of_datasets_that_runs_scripts_of_the_hub_is_not_asked(monkeypatch):
    asked = of_the_hub(monkeypatch, Image.new("RGB", (9, 9)), "2.19.1")
    with pytest.raises(ValueError, match=r"needs datasets 4 or later, which runs no scripts"):
        open_data("hf:x", 8, 3)
    assert asked == []


def test_weights_in_an_odd_version_of_pickle(tmp_path):
    file = tmp_path / "x.pth"
    file.write_bytes(b"\x80\x48" + pickle.dumps({"a": 1})[2:])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=r"is damaged: it is not as torch\.save writes it"):
            read_weights(file)


def test_an_archive_of_imagenette_without_validation_images(tmp_path, monkeypatch):
    monkeypatch.setenv("CLASSICNETS_DATA", str(tmp_path))
    for k in range(6):
        path = tmp_path / "imagenette" / "imagenette2-320" / "train" / "ab"[k % 2] / f"{k}.png"
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), k).save(path)
    with pytest.raises(ValueError, match="has no folder val; delete it to unpack the archive"):
        open_data("imagenette", 8, 3)
